"""Tasks answered in words: the model writes, and a grader reads what it wrote."""

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from pydantic import Field

from spillover.plugins import GRADERS, resolve
from spillover.records import Answer, Grade, Item, LanguageCheck, Outcome, Prompt
from spillover.tasks.answer_language import language_checks
from spillover.tasks.graders import grade_text
from spillover.tasks.reasons import reason_of
from spillover.tasks.task import CLOSING, BaseTask, TaskLanguage, Text

COLONS = (":", "：")
"""Characters that may follow the name of a field. A model that goes on with another question writes one of them."""


class GenerationLanguage(TaskLanguage):
    """How a task answered in words reads in one language."""

    exemplars: tuple[tuple[Text, ...], ...]
    """The fields of each exemplar. The last text is its answer: a worked one, if the task wants reasoning."""
    conclusion: str = ""
    """Words before the final answer of a worked one, such as `The answer is`; empty: the whole text is the answer."""


class GenerationTask(BaseTask):
    """A task answered in words, the same in every language."""

    kind: Literal["generation"]
    """Distinguishes its file from the file of a task with labels."""
    max_tokens: Annotated[int, Field(ge=1)]
    """Most tokens that the model may write for one item."""
    stop: tuple[str, ...] = (CLOSING,)
    """Texts that end an answer, beside the name of the first field, which begins another question."""
    grader: str
    """Name of a grader (`GRADERS`), or a user's own `package.module:function`."""
    answer_language: str = "item"
    """The language expected: `item` for the item's own, a code, or `any`."""
    rows: dict[str, GenerationLanguage]
    """Language code → how the task reads in it."""

    def row(self, language: str) -> GenerationLanguage:
        """Return the row of a language; one sentence if the task has none."""
        super().row(language)
        return self.rows[language]

    def prompt(self, item: Item, labels: str = "english") -> Prompt:
        """Render an item as the exemplars with their answers, and the item up to where its answer begins.

        `labels` changes nothing: there are no labels.
        """
        exemplars = self.row(item.language).exemplars
        answers = tuple(f" {answer}{CLOSING}" for *_, answer in exemplars)
        return Prompt(
            exemplars=tuple(
                self.render_body(tuple(fields), item.language) + answer
                for (*fields, _), answer in zip(exemplars, answers, strict=True)
            ),
            body=self.render_body(item.fields, item.language),
            choices=(),
            answers=answers,
        )

    def content_free(self, language: str, labels: str = "english") -> list[Prompt]:
        """Return no prompt: there are no labels to prefer."""
        return []

    def expected_language(self, language: str) -> str | None:
        """Return the code of the language that an item in `language` has to be answered in; None if any will do."""
        return {"item": language, "any": None}.get(self.answer_language, self.answer_language)

    def read(self, answer: Answer) -> Grade:
        """Return the grader's result for an answer."""
        grader = resolve(GRADERS, self.grader, f"task {self.name!r}: grader")
        return grade_text(grader, answer.text, answer.golds, answer.language, self.row(answer.language).conclusion)

    def grade(self, answers: Sequence[Answer], candidates: Collection[str]) -> list[Outcome]:
        """Grade the answers of one language.

        Args:
            answers: what the model wrote.
            candidates: codes of the languages among which an answer's language is identified.
        """
        if not answers:
            return []
        expected = self.expected_language(answers[0].language)
        checks: list[LanguageCheck | None] = [None] * len(answers)
        if expected:
            checks = [*language_checks([answer.text for answer in answers], expected, candidates)]
        outcomes = []
        for answer, check in zip(answers, checks, strict=True):
            grade, in_language = self.read(answer), (check.answer, check.lines) if check else (None, None)
            reason = reason_of(answer, grade, in_language[0] is not False)
            outcomes.append(Outcome(answer.id, answer.task, answer.language, grade.score, reason, *in_language))
        return outcomes

    def limit(self, language: str) -> int:
        """Return the most tokens of an answer in a language: the same in all."""
        return self.max_tokens

    def stops(self, language: str) -> tuple[str, ...]:
        """Return the texts that end an answer in a language: the task's, and the beginning of another question."""
        name = self.row(language).fields[0]
        return (*self.stop, *(f"\n{name}{colon}" for colon in COLONS))
