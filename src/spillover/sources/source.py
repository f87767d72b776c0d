"""Sources of questions and items: their protocols, and how one is opened.

Each kind of source has a module of its own, which knows how its texts are stored.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Protocol, runtime_checkable

from spillover.errors import SpilloverError
from spillover.plugins import SOURCES, resolve
from spillover.records import Item, LabeledQuestion, Question
from spillover.sources.labels import Stated
from spillover.sources.table import LabeledTable
from spillover.tasks import Task


class Source(Protocol):
    """A place that questions and items come from. The same id in two languages is the same question or item."""

    def questions(self, task: Task, language: str) -> Iterable[Question]:
        """Return the questions of a task in a language, without any answer; perhaps read one by one as they are needed.

        Raises:
            SpilloverError: there is no such file, or it is not as it should be.
        """

    def items(self, task: Task, language: str) -> list[Item]:
        """Return the items of a task in a language. Raises as `questions` does."""

    def item_languages(self, task: Task) -> tuple[str, ...]:
        """Return the languages that have items of a task, in the paper's order; none is no error."""


@runtime_checkable
class InspectableSource(Protocol):
    """A source that returns its items unchecked, so that `lint` can list all their faults."""

    def item_table(self, task: Task, language: str) -> LabeledTable:
        """Return the items of a task in a language as they stand. Raises if there are no rows."""


@runtime_checkable
class LabeledSource(Source, Protocol):
    """A source that has the answers to its questions too."""

    def labeled_questions(self, task: Task, language: str) -> list[LabeledQuestion]:
        """Return the questions that have an answer, with it, for the rival recipes. Raises as `questions` does."""


@runtime_checkable
class SourceWithGaps(Source, Protocol):
    """A source that can leave a row out in every language where one language lacks its text."""

    def leaving_out(self, markers: Sequence[str]) -> "SourceWithGaps":
        """Return the source without such rows; `markers` are texts in place of a missing one, beside blanks."""


@runtime_checkable
class SourceOfUnpairedItems(Source, Protocol):
    """A source whose items may be other items in every language."""

    def why_unpaired(self, task: Task, languages: Sequence[str]) -> str:
        """Return why the items of some languages are no translations of each other; empty where they are."""


def labeled_questions(source: Source, task: Task, language: str, where: str) -> list[LabeledQuestion]:
    """Return a source's questions with their answers.

    Raises:
        SpilloverError: it has none; `where` names the key that the source came from.
    """
    labeled = source.labeled_questions(task, language) if isinstance(source, LabeledSource) else []
    if not labeled:
        raise SpilloverError(f"{where}: found no answers to questions of {task.name!r} in {language}, expected some")
    return labeled


def open_source(
    spec: str, columns: Mapping[str, str], where: str, markers: Sequence[str] | None = None, classes: Stated = ()
) -> Source:
    """Open a source named `starter`, `folder:DIR`, `paper:DIR`, `hub:ID`, or a user's own `package.module:Thing`.

    Args:
        spec: the name, and after a colon what the source is opened with.
        columns: field of the task, `id` or `label` → column of the file; only what is named otherwise there.
        where: the key that `spec` came from, for errors.
        markers: what stands for a missing translation, beside a blank text, if such rows are left out in every
            language; None: they are refused.
        classes: which labels the codes in the source's files stand for, for all tasks or for each; empty: not stated.
    """
    name, _, argument = spec.partition(":")
    if name not in SOURCES:
        if os.path.exists(spec):  # noqa: PTH110 - Path raises for a name that is too long
            raise SpilloverError(
                f"{where}: found the path {spec!r}, expected its kind before it, such as folder:{spec}"
            )
        name, argument = spec, ""
    thing = resolve(SOURCES, name, where)
    if classes and "classes" not in signature(thing).parameters:
        key = f"{where.partition('.')[0]}.classes"
        raise SpilloverError(f"{key}: found {classes!r}, but the source {name!r} reads its labels without")
    source: Source = thing(argument, columns, classes=classes) if classes else thing(argument, columns)
    if markers is None:
        return source
    if not isinstance(source, SourceWithGaps):
        raise SpilloverError(
            f"{where}: found missing = 'leave-out' with the source {spec!r}, expected one that can leave rows out, "
            "such as folder:DIR; `hub:` does so by itself for sets that mark missing translations"
        )
    return source.leaving_out(markers)
