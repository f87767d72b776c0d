"""A source that counts what it is asked: the starter, as if it were far away."""

from collections import Counter
from collections.abc import Iterator, Mapping

from spillover.records import Item, LabeledQuestion, Question
from spillover.sources.starter import Starter
from spillover.tasks import Task

REQUESTS: Counter[tuple[str, str, str]] = Counter()
"""(what was read, task, language) → how often, in this process."""


class Source:
    """The starter's questions, with invented answers, and its items."""

    def __init__(self, argument: str, columns: Mapping[str, str]) -> None:
        self._starter = Starter(argument, columns)

    def questions(self, task: Task, language: str) -> Iterator[Question]:
        """Yield the questions; the request counts when somebody reads the first one."""
        REQUESTS["questions", task.name, language] += 1
        yield from self._starter.questions(task, language)

    def labeled_questions(self, task: Task, language: str) -> list[LabeledQuestion]:
        REQUESTS["answers", task.name, language] += 1
        rows = enumerate(self._starter.questions(task, language))
        return [LabeledQuestion(row.task, row.id, language, row.fields, place % 2) for place, row in rows]

    def items(self, task: Task, language: str) -> list[Item]:
        REQUESTS["items", task.name, language] += 1
        return self._starter.items(task, language)

    def item_languages(self, task: Task) -> tuple[str, ...]:
        return self._starter.item_languages(task)
