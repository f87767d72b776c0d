"""A task: its fields, its labels, and how a row of its table renders a question as a few-shot prompt.

A task is data: one TOML with a row per language. No other module knows how a row becomes text. Chat templates are not
applied here: the tokenizer's module wraps a prompt in one.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from spillover.errors import SpilloverError, did_you_mean
from spillover.records import Item, Prompt
from spillover.utils.text import is_file_name

LABEL_KINDS = ("english", "native", "agnostic")
"""Kinds of words for a task's labels, in choices and exemplars: English, the language's own, unrelated ones."""

PLACEHOLDER = "{language}"
"""Stands for a language's code in the name of a family of tasks."""

CLOSING = "\n\n"
"""Ends an answer: the blank line between exemplars. It is part of every scored choice, so none is another's prefix."""


def _one_line(text: str) -> str:
    if text != text.strip() or not text or "\n" in text:
        raise ValueError("a text on one line, without white space around it")
    return text


def _file_name(text: str) -> str:
    if not is_file_name(text):
        raise ValueError("the name of a folder, without a path")
    return text


Text = Annotated[str, AfterValidator(_one_line)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskLanguage(_Strict):
    """How a task reads in one language."""

    fields: tuple[Text, ...]
    """The name before each field: `Premise`, `Hypothesis`."""
    answer: Text
    """The name before the answer: `Relation`."""
    labels: tuple[Text, ...]
    """The labels' words in this language, in the order of the task's labels."""
    exemplars: tuple[tuple[Text, ...], ...]
    """The fields of each exemplar, in the order of the task's `exemplar_labels`."""


class Task(_Strict):
    """A classification task, the same in every language."""

    name: Annotated[str, AfterValidator(_file_name)]
    """Its name, as a file of this project or of a user names it."""
    fields: tuple[str, ...]
    """Names of a question's fields, as columns of a file."""
    labels: tuple[Text, ...]
    """The labels; a gold index counts in this order. These are the words of `labels = "english"`."""
    agnostic: tuple[Text, ...]
    """As many semantically unrelated labels, words that say nothing of the task: for `labels = "agnostic"`."""
    exemplar_labels: tuple[str, ...]
    """The label of each exemplar."""
    draft: bool = False
    """Whether a machine drafted some of it and nobody has confirmed it."""
    rows: dict[str, TaskLanguage]
    """Language code → how the task reads in it."""
    source: str = ""
    """Where its items come from, if it brings its own: as in `evaluate.source`."""

    @property
    def has_labels(self) -> bool:
        """Whether every item has the task's own labels as its choices; else items bring choices of their own."""
        return bool(self.labels)

    def row(self, language: str) -> TaskLanguage:
        """Return the row of a language; one sentence if the task has none."""
        if language not in self.rows:
            raise SpilloverError(
                f"task {self.name!r} has no row for language {language!r}; {did_you_mean(language, self.rows)}"
            )
        return self.rows[language]

    def label_words(self, kind: str, language: str) -> tuple[str, ...]:
        """Return the labels' words of one kind (`LABEL_KINDS`), in the order of `labels`."""
        return {"english": self.labels, "native": self.row(language).labels, "agnostic": self.agnostic}[kind]

    def choices(self, kind: str, language: str) -> tuple[str, ...]:
        """Return the choices that may follow a prompt, one per label, each with its closing delimiter.

        The blank after the prompt's colon belongs to the choice: most tokenizers join it with the word that follows.
        """
        return tuple(f" {word}{CLOSING}" for word in self.label_words(kind, language))

    def render_question(self, fields: tuple[str, ...], language: str) -> str:
        """Render a question without its answer: one `Name: text` line per field."""
        names = self.row(language).fields
        return "\n".join(f"{name}: {text}" for name, text in zip(names, fields, strict=True))

    def prompt(self, item: Item, labels: str = "english") -> Prompt:
        """Render an item as the exemplars, the item itself, and a choice for each label."""
        row, choices = self.row(item.language), self.choices(labels, item.language)
        cue = f"\n{row.answer}:"
        return Prompt(
            exemplars=tuple(
                self.render_question(fields, item.language) + cue + choices[self.labels.index(label)]
                for fields, label in zip(row.exemplars, self.exemplar_labels, strict=True)
            ),
            body=self.render_question(item.fields, item.language) + cue,
            choices=choices,
        )

    def content_free(self, language: str, labels: str = "english") -> list[Prompt]:
        """Return prompts with empty inputs, whose answers show a model's preference for a label (Zhao et al. 2021)."""
        texts = ("N/A", "[MASK]", "")
        return [self.prompt(Item(self.name, "", language, (text,) * len(self.fields), 0), labels) for text in texts]
