"""Tasks answered in words: the model writes, and a grader reads what it wrote."""

from typing import Annotated, Literal

from pydantic import Field

from spillover.records import Item, Prompt
from spillover.tasks.task import CLOSING, BaseTask, TaskLanguage, Text

COLONS = (":", "：")
"""What may follow the name of a field: a model that goes on with a question of its own writes either."""


class GenerationLanguage(TaskLanguage):
    """How a task answered in words reads in one language."""

    exemplars: tuple[tuple[Text, ...], ...]
    """The fields of each exemplar, and its answer as the last text: worked, where the task wants reasoning."""
    conclusion: str = ""
    """Words before the final answer of a worked one, such as `The answer is`; empty: the whole text is the answer."""


class GenerationTask(BaseTask):
    """A task answered in words, the same in every language."""

    kind: Literal["generation"]
    """Tells its file from that of a task with labels."""
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

        It has no labels in other words.
        """
        return Prompt(
            exemplars=tuple(
                f"{self.render_body(fields, item.language)} {answer}{CLOSING}"
                for *texts, answer in self.row(item.language).exemplars
                for fields in [tuple(texts)]
            ),
            body=self.render_body(item.fields, item.language),
            choices=(),
        )

    def content_free(self, language: str, labels: str = "english") -> list[Prompt]:
        """Return no prompt: there are no labels to prefer."""
        return []

    def limit(self, language: str) -> int:
        """Return the most tokens of an answer in a language: the same in all."""
        return self.max_tokens

    def stops(self, language: str) -> tuple[str, ...]:
        """Return the texts that end an answer in a language: the task's, and the beginning of another question."""
        name = self.row(language).fields[0]
        return (*self.stop, *(f"\n{name}{colon}" for colon in COLONS))
