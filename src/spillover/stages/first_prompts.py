"""The first prompt of each arm, as tokens, for the report. Weights are not read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from spillover.records import Cell, FirstPrompt, Prompt
from spillover.stages.arms import Arm, as_text, cells_of, of_prompts, reads
from spillover.stages.ask import asked_items
from spillover.stages.items import Items
from spillover.store import Store, read_records, write_records
from spillover.tasks import open_task

FILE = "first_prompts.parquet"


def first_prompts(store: Store, arms: Sequence[Arm], items: Items) -> list[FirstPrompt]:
    """Return each arm's prompt for the first item of its first cell that is not in the pivot, if there is one.

    In the pivot, arms that translate items or have English exemplars ask in the same way as the other arms.
    """
    prompts = list(_asked(store, arms, items))

    def write(folder: Path) -> None:
        write_records(folder / FILE, FirstPrompt, [_tokenized(*row) for row in prompts])

    inputs = [
        [cell, arm.key, id, prompt, arm.experiment.evaluate.overflow, *as_text(arm.experiment, of_prompts([prompt]))]
        for arm, cell, id, prompt in prompts
    ]
    return read_records(store.get_or_make("first_prompts", inputs, FILE, write).path / FILE, FirstPrompt)


def _asked(store: Store, arms: Sequence[Arm], items: Items) -> Iterator[tuple[Arm, Cell, str, Prompt]]:
    """Yield each arm, the cell and the id of the item, and the prompt made of it."""
    for arm in arms:
        cells, pivot = list(cells_of(arm, items)), arm.experiment.mixture.pivot
        cell, rows = next((pair for pair in cells if pair[0].language != pivot), cells[0])
        (prompt,) = arm.prompts(open_task(cell.task), asked_items(store, arm, cell, rows)[:1])
        yield arm, cell, rows[0].id, prompt


def _tokenized(arm: Arm, cell: Cell, id: str, prompt: Prompt) -> FirstPrompt:
    from spillover.models.inference.encode import encode

    model = reads(arm.experiment)
    (encoded,) = encode(model, [prompt], arm.experiment.evaluate.overflow)
    tokens = tuple(model.tokenization.pieces(encoded.prompt))
    return FirstPrompt(arm.name, cell.task, cell.language, id, encoded.prompt, tokens)
