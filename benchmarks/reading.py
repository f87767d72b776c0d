"""The reading that a `Run` saves: 20 languages × 600 items of a source like the hub, each stage's inputs read once.

The source loads a file with `datasets` on every request, as `hub:` does, and counts its requests. The rival reads the
same inputs anew in every stage. The two ways take turns, and the fastest of each counts. No model is needed. Writes a
JSON file and, beside it, a table.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import datasets

from data import SOURCE, joined, questions
from saving import add_out, save
from spillover.experiment import parse_experiment
from spillover.languages import languages
from spillover.pipeline import Run
from spillover.records import Item, Question
from spillover.store import Store
from spillover.tasks import Task, open_task
from spillover.utils.environment import machine

TASK = open_task("sentiment")
PARTS: dict[str, Callable[[Run], object]] = {
    "lint": lambda run: (run.questions, run.items),
    "translate": lambda run: run.pairs,
    "build": lambda run: run.training_set,
    "tune": lambda run: run.training_set,
    "evaluate": lambda run: run.items,
    "analyze": lambda run: run.traced_items,
    "forgetting": lambda run: run.likelihood_items,
    "report": lambda run: (run.items, run.pairs, run.training_set, list(run.translation_costs())),
}
"""Stage → its inputs."""


class CountingHub:
    """A source that loads a data set per request, and counts requests and seconds."""

    folder: ClassVar = Path()
    requests: ClassVar[Counter[str]] = Counter()
    seconds: ClassVar = 0.0

    def __init__(self, argument: str, columns: Mapping[str, str]) -> None:
        """Ignore both: the files are in `folder`."""

    def questions(self, task: Task, language: str) -> list[Question]:
        """Return the questions."""
        return [Question(task.name, row["id"], language, (row["text"],)) for row in _load("questions", language)]

    def items(self, task: Task, language: str) -> list[Item]:
        """Return the items."""
        return [Item(task.name, row["id"], language, (row["text"],), row["gold"]) for row in _load("items", language)]

    def item_languages(self, task: Task) -> tuple[str, ...]:
        """Return all languages."""
        return tuple(languages())


@dataclass(frozen=True)
class Reading:
    """The reading of one run."""

    requests: int
    """Number of requests to the source."""
    most: int
    """Largest number of requests for one kind of row in one language."""
    source_seconds: float
    """Seconds within the source."""
    seconds: float
    """Seconds in all."""


def _load(kind: str, language: str) -> datasets.Dataset:
    start = time.perf_counter()
    file = str(CountingHub.folder / kind / f"{language}.jsonl")
    rows = datasets.load_dataset(
        "json", data_files=file, split="train", cache_dir=str(CountingHub.folder / "cache")
    ).to_list()
    CountingHub.requests[f"{kind} {language}"] += 1
    CountingHub.seconds += time.perf_counter() - start
    return rows


def write_rows(folder: Path, items: int, asked: int) -> None:
    """Write items of every language, and questions of three."""
    for code in languages():
        starter = SOURCE.items(TASK, code)
        texts = joined([item.fields[0] for item in starter], items)
        rows = [{"id": str(n), "text": t, "gold": starter[n % len(starter)].gold} for n, t in enumerate(texts)]
        _write(folder / "items" / f"{code}.jsonl", rows)
    for code in ("en", "zh", "de"):
        rows = [{"id": f"q{q.id}", "text": q.fields[0]} for q in questions(code, asked)]
        _write(folder / "questions" / f"{code}.jsonl", rows)


def _write(file: Path, rows: list[dict[str, object]]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(new_run: Callable[[], Run], shared: bool) -> Reading:
    """Read the inputs of every stage from one run, or each stage's from a new one."""
    CountingHub.requests, CountingHub.seconds = Counter(), 0.0
    start, run = time.perf_counter(), new_run()
    for work in PARTS.values():
        work(run if shared else new_run())
    seconds, counts = time.perf_counter() - start, CountingHub.requests
    return Reading(counts.total(), max(counts.values()), round(CountingHub.seconds, 1), round(seconds, 1))


def table(result: Mapping[str, Mapping[str, float]], facts: Mapping[str, object]) -> str:
    """Return the results as Markdown."""
    head = "| | requests | most per language | seconds in the source | seconds in all |\n|---|---:|---:|---:|---:|\n"
    rows = "".join(f"| {name} | {' | '.join(map(str, row.values()))} |\n" for name, row in result.items())
    notes = "".join(f"| {name} | {value} |\n" for name, value in facts.items())
    return f"# Reading of a run's inputs\n\n{head}{rows}\n| | |\n|---|---|\n{notes}"


def main() -> None:
    """Measure both ways and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=600, help="items per language")
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each way, in turn; the fastest counts")
    add_out(parser, "reading")
    options = parser.parse_args()
    datasets.disable_progress_bars()
    source = "__main__:CountingHub"
    mixture = {"allow_overlap": True}
    evaluate = {"tasks": [TASK.name], "source": source}
    experiment = parse_experiment({"questions": {"source": source}, "mixture": mixture, "evaluate": evaluate}, "here")
    with TemporaryDirectory() as scratch:
        CountingHub.folder = Path(scratch)
        write_rows(CountingHub.folder, options.items, options.questions)
        store = Store(CountingHub.folder / "runs", "run")
        read(lambda: Run(experiment, store), shared=True)  # fills the caches of `datasets`, and stores the pairs
        repeats = [
            [read(lambda: Run(experiment, store), shared) for shared in (False, True)] for _ in range(options.repeats)
        ]
        anew, once = (min(readings, key=lambda reading: reading.seconds) for readings in zip(*repeats, strict=True))
        result = {"each stage reads anew": asdict(anew), "one `Run`": asdict(once)}
        store.close()
    sizes = {"items": f"{len(languages())} × {options.items}", "questions": f"3 × {options.questions}"}
    facts = {**sizes, **dict(machine()), "date": date.today().isoformat()}
    save(options.out, {"facts": facts, "readings": result}, table(result, facts))


if __name__ == "__main__":
    main()
