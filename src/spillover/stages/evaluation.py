"""The tasks that an experiment measures, their languages, and the sources of their items."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.languages import in_paper_order, languages
from spillover.sources import Source, open_source
from spillover.sources.labels import Stated
from spillover.tasks import Task, open_task
from spillover.utils.progress import notify

MAX_LISTED = 10
"""Most languages that a line lists."""

if TYPE_CHECKING:
    from spillover.analysis.statistics.gates import Gate


@dataclass(frozen=True, slots=True)
class ItemsOrigin:
    """The source of a task's items."""

    spec: str
    """The source, as the experiment file or the task names it: `starter`, `folder:DIR`, …"""
    columns: Mapping[str, str]
    """Field of the task, `id` or `label` → column of the files, where their names differ."""
    key: str
    """The key of the experiment that names the source."""
    markers: tuple[str, ...] | None = None
    """Texts that stand for a missing translation, if such items are left out; None if they are refused."""
    classes: Stated = ()
    """Labels in the order of the source's codes, or code → label."""

    def open(self) -> tuple[Source, str]:
        """Open the source; return it with its name in errors."""
        source = open_source(self.spec, self.columns, self.key, self.markers, self.classes)
        return source, f"{self.key} {self.spec!r}"


def listed_tasks(experiment: Experiment) -> dict[str, Task]:
    """Return the tasks that an experiment measures, by the spelling in its list.

    Raises:
        SpilloverError: two tasks have one name, so that the results of one would overwrite those of the other.
    """
    tasks = {spelling: open_task(spelling, "evaluate.tasks") for spelling in experiment.evaluate.tasks}
    spellings: dict[str, str] = {}
    for spelling, task in tasks.items():
        folder = unicodedata.normalize("NFC", task.name).casefold()  # some file systems do not tell these names apart
        other = spellings.setdefault(folder, spelling)
        if other != spelling:
            raise SpilloverError(
                f"evaluate.tasks: found {other!r} and {spelling!r}, which are both called {task.name!r}, "
                "expected tasks of different names; a task's file says it in `name`"
            )
    return tasks


def items_origin(experiment: Experiment, task: Task) -> ItemsOrigin:
    """Return the source of a task's items: the task's, else `evaluate.source`, else the questions', else starter."""
    evaluate, questions = experiment.evaluate, experiment.questions
    if task.source:
        return ItemsOrigin(task.source, {}, "evaluate.tasks")
    if evaluate.source:
        return ItemsOrigin(evaluate.source, evaluate.columns, "evaluate.source", evaluate.markers, evaluate.classes)
    markers = evaluate.markers if evaluate.markers is not None else questions.markers
    shared = ItemsOrigin(questions.source, questions.columns, "questions.source", markers, questions.classes)
    source, _ = shared.open()
    return shared if source.item_languages(task) else ItemsOrigin("starter", {}, "evaluate.source")


def measured_languages(experiment: Experiment, task: Task, source: Source) -> tuple[str, ...]:
    """Return the languages in which a task is measured, in the paper's order; none if the source has no items."""
    wanted = experiment.evaluate.languages
    if not isinstance(wanted, str):
        return in_paper_order(wanted)
    codes = source.item_languages(task)
    if wanted == "available":
        return codes
    default = languages().keys() | task.rows.keys()
    if more := tuple(code for code in codes if code not in default):
        _mention(task.name, more)
    return tuple(code for code in codes if code in default)


@cache
def _mention(task: str, codes: tuple[str, ...]) -> None:
    """Tell the user once per process that `all` leaves out languages."""
    listed = f"{', '.join(codes[:MAX_LISTED])}{' …' if len(codes) > MAX_LISTED else ''}"
    notify(
        f"{task}: evaluate.languages = 'all' leaves out {listed} ({len(codes)} in all); 'available' measures them too"
    )


def read_gates(experiment: Experiment, texts: Iterable[str]) -> "list[Gate]":
    """Return the gates that a user wrote.

    Raises:
        SpilloverError: a text is not a gate, or names something that the experiment will not measure.
    """
    texts = tuple(texts)
    if not texts:  # opening the sources of a gate's tasks can take seconds
        return []
    from spillover.analysis.statistics.gates import parse_gate, target

    targets = []
    for spelling, task in listed_tasks(experiment).items():
        source, _ = items_origin(experiment, task).open()
        codes = measured_languages(experiment, task, source)
        targets.append(target(task.name, spelling, codes, experiment.tuned_on, experiment.pivot))
    return [parse_gate(text, targets) for text in texts]
