"""The work behind fertility: the items' texts as tokens of the base model."""

from pathlib import Path

from spillover.analysis.statistics.fertility import fertility
from spillover.experiment import Experiment
from spillover.languages import ENGLISH, UNSPACED_SCRIPTS, get_language
from spillover.records import Fertility
from spillover.stages.arms import reads
from spillover.stages.items import Items
from spillover.store import Store, read_records, write_records
from spillover.tasks import open_task


def measure_fertility(store: Store, experiment: Experiment, items: Items) -> list[Fertility]:
    """Return the fertility of each task and language, tokenized first if it was not."""
    from spillover.models.locate import fingerprint, locate

    texts = {key: ["\n".join(item.fields) for item in rows] for key, rows in items.items() if rows}
    ids = {key: [item.id for item in rows] for key, rows in items.items()}

    def write(folder: Path) -> None:
        encode = reads(experiment).tokenization.encode
        counts = {key: sum(map(len, encode(of_cell))) for key, of_cell in texts.items()}
        rows = []
        for (task, code), of_cell in texts.items():
            paired = ids.get((task, ENGLISH)) == ids[task, code]
            english = counts.get((task, ENGLISH)) if paired else None
            spaced = get_language(code).script not in UNSPACED_SCRIPTS
            rows.append(fertility(open_task(task).name, code, of_cell, counts[task, code], english, spaced))
        write_records(folder / "fertility.parquet", Fertility, rows)

    inputs = [fingerprint(locate(experiment.model.name)), [[*key, *of_cell] for key, of_cell in texts.items()]]
    inputs += [list(ids.values()), [get_language(code).script for _, code in texts]]
    artifact = store.get_or_make("fertility", inputs, "fertility.parquet", write)
    return read_records(artifact.path / "fertility.parquet", Fertility)
