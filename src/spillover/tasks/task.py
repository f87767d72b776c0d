"""What every task has: the names of its fields, a row per language, and how a question becomes text.

A task is data: one TOML with a row per language. No other room knows how a row becomes text. `choice` and `generation`
add what is asked for and how it is graded. Chat templates are not applied here: the tokenizer's module wraps a prompt
in one.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from spillover.errors import SpilloverError, did_you_mean
from spillover.utils.text import is_file_name

PLACEHOLDER = "{language}"
"""Stands for a language's code in the name of a family of tasks."""

CLOSING = "\n\n"
"""Ends an answer: the blank line between exemplars."""


def _one_line(text: str) -> str:
    if text != text.strip() or not text or "\n" in text:
        raise ValueError("a text on one line, without white space around it")
    return text


def _file_name(text: str) -> str:
    if not is_file_name(text):
        raise ValueError("the name of a folder, without a path")
    return text


Text = Annotated[str, AfterValidator(_one_line)]


class Table(BaseModel):
    """A table of a task's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskLanguage(Table):
    """How a question reads in one language."""

    fields: tuple[Text, ...]
    """The name before each field: `Premise`, `Hypothesis`."""
    answer: Text
    """The name before the answer: `Relation`."""


class BaseTask(Table):
    """What tasks of all kinds share."""

    name: Annotated[str, AfterValidator(_file_name)]
    """Its name, as a file of this project or of a user names it."""
    fields: tuple[str, ...]
    """Names of a question's fields, as columns of a file."""
    draft: bool = False
    """Whether a machine drafted some of it and nobody has confirmed it."""
    source: str = ""
    """The source of its items, as in `evaluate.source`; empty: the experiment names the source."""
    rows: Mapping[str, TaskLanguage]
    """Language code → how the task reads in it."""

    def row(self, language: str) -> TaskLanguage:
        """Return the row of a language; one sentence if the task has none."""
        if language not in self.rows:
            raise SpilloverError(
                f"task {self.name!r} has no row for language {language!r}; {did_you_mean(language, self.rows)}"
            )
        return self.rows[language]

    def render_question(self, fields: tuple[str, ...], language: str) -> str:
        """Render a question without its answer: one `Name: text` line per field."""
        names = self.row(language).fields
        return "\n".join(f"{name}: {text}" for name, text in zip(names, fields, strict=True))

    def render_body(self, fields: tuple[str, ...], language: str) -> str:
        """Render a question up to where its answer begins: without the blank, which belongs to the answer."""
        return f"{self.render_question(fields, language)}\n{self.row(language).answer}:"
