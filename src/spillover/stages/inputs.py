"""The data that a run reads: its questions and its items.

Each source is asked once per language, since the data may be on a hub and each request may take seconds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.languages import ENGLISH
from spillover.records import Item, LabeledQuestion, Question
from spillover.sources import InspectableSource, Source, SourceOfUnpairedItems, labeled_questions, open_source
from spillover.sources.table import LabeledTable, items
from spillover.stages.evaluation import items_origin, listed_tasks, measured_languages
from spillover.stages.items import Items, balanced_subset, same_items
from spillover.tasks import Task, open_task


class Inputs:
    """The questions and items of one experiment, read on first use and remembered."""

    def __init__(self, experiment: Experiment) -> None:
        """Open nothing yet."""
        self.experiment = experiment
        self._sources: dict[str, tuple[Source, str]] = {}
        self._questions: dict[str, _Replayed] = {}
        self._tables: dict[tuple[str, str], LabeledTable] = {}
        self._items: dict[tuple[str, str], list[Item]] = {}
        self._unpaired: dict[str, str] = {}

    @cached_property
    def task(self) -> Task:
        """The task of the questions."""
        return open_task(self.experiment.questions.task, "questions.task")

    @cached_property
    def question_source(self) -> Source:
        """The source of the questions."""
        chosen = self.experiment.questions
        return open_source(chosen.source, chosen.columns, "questions.source", chosen.markers, chosen.classes)

    @cached_property
    def questions(self) -> list[Question]:
        """The questions in the language they are asked in, as many as the experiment takes."""
        chosen = self.experiment.questions
        return list(islice(self.questions_in(chosen.language), chosen.limit or None))

    def questions_in(self, language: str) -> Iterable[Question]:
        """Return the source's questions in a language. They are read only as far as the caller iterates."""
        if language not in self._questions:
            self._questions[language] = _Replayed(self.question_source.questions(self.task, language))
        return self._questions[language]

    @cached_property
    def labeled_questions(self) -> list[LabeledQuestion]:
        """The questions with their answers, in the language they are asked in, for recipes that need answers."""
        chosen = self.experiment.questions
        return labeled_questions(
            self.question_source, self.task, chosen.language, f"questions.source {chosen.source!r}"
        )

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks of the evaluation, by their spelling in `evaluate.tasks`."""
        return listed_tasks(self.experiment)

    def item_languages(self, task: Task) -> tuple[str, ...]:
        """Return the languages in which a task is measured, in the paper's order.

        Raises:
            SpilloverError: there is none.
        """
        source, where = self._source(task)
        languages = measured_languages(self.experiment, task, source)
        if not languages:
            raise SpilloverError(f"{where}: found no items of task {task.name!r} in any language")
        return languages

    def item_table(self, task: Task, language: str) -> LabeledTable | None:
        """Return a task's raw rows; None if the source has only finished items."""
        source, _ = self._source(task)
        if not isinstance(source, InspectableSource):
            return None
        key = task.name, language
        if key not in self._tables:
            self._tables[key] = source.item_table(task, language)
        return self._tables[key]

    def items_in(self, task: Task, language: str) -> list[Item]:
        """Return all of a task's items in a language, read strictly. Ids of unpaired items name their language."""
        key = task.name, language
        if key not in self._items:
            table, (source, _) = self.item_table(task, language), self._source(task)
            rows = source.items(task, language) if table is None else items(table, *key)
            if self.why_unpaired(task):
                rows = [replace(row, id=f"{language} {row.id}") for row in rows]
            self._items[key] = rows
        return self._items[key]

    def why_unpaired(self, task: Task) -> str:
        """Return why a task's items are no translations of each other; empty if an id is one item in all languages."""
        if task.name not in self._unpaired:
            source, _ = self._source(task)
            self._unpaired[task.name] = (
                source.why_unpaired(task, self.item_languages(task))
                if isinstance(source, SourceOfUnpairedItems)
                else ""
            )
        return self._unpaired[task.name]

    @cached_property
    def items(self) -> Items:
        """The items measured, per task as the experiment names it and language: the same ids in each, in one order.

        Where a task's items are not paired, each language has its own.

        Raises:
            SpilloverError: a language lacks an item that another has, no language has any, or two tasks have one name.
        """
        measured: Items = {}
        for name, task in self.tasks.items():
            languages = self.item_languages(task)
            rows = {language: self.items_in(task, language) for language in languages}
            if self.why_unpaired(task):
                chosen = {
                    code: balanced_subset(items_in, self.experiment.evaluate.limit) for code, items_in in rows.items()
                }
                measured |= {(name, code): items_in for code, items_in in chosen.items()}
                continue
            reference = rows[ENGLISH if ENGLISH in rows else languages[0]]
            ids = [item.id for item in balanced_subset(reference, self.experiment.evaluate.limit)]
            for language in languages:
                measured[name, language] = same_items(rows[language], reference, ids, self._source(task)[1])
        return measured

    def _source(self, task: Task) -> tuple[Source, str]:
        """Return the source of a task's items, and its name in errors."""
        if task.name not in self._sources:
            self._sources[task.name] = items_origin(self.experiment, task).open()
        return self._sources[task.name]


class _Replayed:
    """An iterable that is read once, as far as somebody iterates, and can be iterated again."""

    def __init__(self, rows: Iterable[Question]) -> None:
        self._read: list[Question] = []
        self._rest = iter(rows)

    def __iter__(self) -> Iterator[Question]:
        place = 0
        while True:
            while place < len(self._read):
                yield self._read[place]
                place += 1
            try:
                self._read.append(next(self._rest))
            except StopIteration:
                return
