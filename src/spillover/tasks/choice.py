"""Tasks with labels: every label of an item is scored, and the most likely one counts as chosen."""

from collections.abc import Callable, Mapping
from typing import Literal

from spillover.records import Item, Length, Prompt
from spillover.tasks.task import CLOSING, BaseTask, TaskLanguage, Text

LABEL_KINDS = ("english", "native", "agnostic")
"""Kinds of words for a task's labels, in choices and exemplars: English, the language's own, unrelated ones."""

LENGTHS: Mapping[Length, Callable[[str], int]] = {"characters": len, "bytes": lambda text: len(text.encode())}
"""Unit → a text's length in it, as lm-evaluation-harness counts for `acc_norm` and `acc_bytes`."""


class ChoiceLanguage(TaskLanguage):
    """How a task with labels reads in one language."""

    labels: tuple[Text, ...]
    """The labels' words in this language, in the order of the task's labels."""
    exemplars: tuple[tuple[Text, ...], ...]
    """The fields of each exemplar, in the order of the task's `exemplar_labels`."""


class ChoiceTask(BaseTask):
    """A classification task, the same in every language."""

    kind: Literal["choice"] = "choice"
    """Distinguishes its file from the file of a task answered in words."""
    labels: tuple[Text, ...]
    """The labels; a gold index counts in this order. These are the words of `labels = "english"`."""
    agnostic: tuple[Text, ...]
    """Words that say nothing about the task, one per label: for `labels = "agnostic"`."""
    exemplar_labels: tuple[str, ...]
    """The label of each exemplar."""
    normalize: tuple[Length, ...] = ()
    """Lengths of the choices by which log-probabilities are divided for further accuracies, beside the plain one."""
    rows: dict[str, ChoiceLanguage]
    """Language code → how the task reads in it."""

    def row(self, language: str) -> ChoiceLanguage:
        """Return the row of a language; one sentence if the task has none."""
        super().row(language)
        return self.rows[language]

    def label_words(self, kind: str, language: str) -> tuple[str, ...]:
        """Return the labels' words of one kind (`LABEL_KINDS`), in the order of `labels`."""
        return {"english": self.labels, "native": self.row(language).labels, "agnostic": self.agnostic}[kind]

    def choices(self, kind: str, language: str) -> tuple[str, ...]:
        """Return the choices that may follow a prompt, one per label, each with its closing delimiter.

        The blank after the prompt's colon belongs to the choice: most tokenizers join it with the word that follows.
        The delimiter is part of every scored choice, so none is another's prefix.
        """
        return tuple(f" {word}{CLOSING}" for word in self.label_words(kind, language))

    def prompt(self, item: Item, labels: str = "english") -> Prompt:
        """Render an item as the exemplars, the item itself, and a choice for each label."""
        row, choices = self.row(item.language), self.choices(labels, item.language)
        answers = tuple(choices[self.labels.index(label)] for label in self.exemplar_labels)
        return Prompt(
            exemplars=tuple(
                self.render_body(fields, item.language) + answer
                for fields, answer in zip(row.exemplars, answers, strict=True)
            ),
            body=self.render_body(item.fields, item.language),
            choices=choices,
            answers=answers,
        )

    def choice_texts(self, item: Item, labels: str = "english") -> tuple[str, ...]:
        """Return the choices of an item without delimiters."""
        return self.label_words(labels, item.language)

    def lengths(self, item: Item, labels: str = "english") -> Mapping[Length, tuple[int, ...]]:
        """Return unit of length that the task asks for → length of each choice of an item."""
        texts = self.choice_texts(item, labels)
        return {unit: tuple(map(LENGTHS[unit], texts)) for unit in self.normalize}

    def content_free(self, language: str, labels: str = "english") -> list[Prompt]:
        """Return prompts with empty inputs, whose answers show a model's preference for a label (Zhao et al. 2021)."""
        texts = ("N/A", "[MASK]", "")
        return [self.prompt(Item(self.name, "", language, (text,) * len(self.fields), 0), labels) for text in texts]
