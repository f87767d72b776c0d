"""A task: its fields, its labels, and how a row of its table renders a question as a few-shot prompt.

A task is data (one TOML with a row a language); this module is the only one that knows how a row becomes text. It
knows neither tokens nor models: an instruct model's chat template is laid around a prompt where the tokenizer is.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from spillover.errors import SpilloverError, did_you_mean
from spillover.languages import get_language as known_language
from spillover.plugins import TASK_FAMILIES, TASKS, resolve
from spillover.records import Item, Prompt
from spillover.utils.text import is_file_name

LABEL_KINDS = ("english", "native", "agnostic")
"""In which words a task's labels can be asked; the exemplars show the same words."""

PLACEHOLDER = "{language}"
"""Where a language's code stands in the name of a family of tasks."""

CLOSING = "\n\n"
"""What ends an answer: the blank line between exemplars. Part of every scored choice, so none is another's prefix."""


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
    """What precedes each field: `Premise`, `Hypothesis`."""
    answer: Text
    """What precedes the answer: `Relation`."""
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
    """As many words that say nothing of the task, for `labels = "agnostic"`."""
    exemplar_labels: tuple[str, ...]
    """The label of each exemplar."""
    draft: bool = False
    """Whether a machine drafted some of it and nobody has confirmed it."""
    rows: dict[str, TaskLanguage]
    """Language code → how the task reads in it."""
    source: str = ""
    """Where its items come from, if it brings its own: as in `evaluate.source`."""

    def row(self, language: str) -> TaskLanguage:
        """Return the row of a language; one sentence if the task has none."""
        if language not in self.rows:
            raise SpilloverError(
                f"task {self.name!r} has no row for language {language!r}; {did_you_mean(language, self.rows)}"
            )
        return self.rows[language]

    def words(self, kind: str, language: str) -> tuple[str, ...]:
        """Return the labels' words of one kind (`LABEL_KINDS`), in the order of `labels`."""
        return {"english": self.labels, "native": self.row(language).labels, "agnostic": self.agnostic}[kind]

    def choices(self, kind: str, language: str) -> tuple[str, ...]:
        """Return what may follow a prompt, one choice a label, each with its closing delimiter.

        The blank after the prompt's colon belongs to the choice: most tokenizers join it with the word that follows.
        """
        return tuple(f" {word}{CLOSING}" for word in self.words(kind, language))

    def question(self, fields: tuple[str, ...], language: str) -> str:
        """Render a question without its answer: one `Name: text` line a field."""
        names = self.row(language).fields
        return "\n".join(f"{name}: {text}" for name, text in zip(names, fields, strict=True))

    def prompt(self, item: Item, labels: str = "english") -> Prompt:
        """Render an item as the exemplars, the item itself, and a choice for each label."""
        row, choices = self.row(item.language), self.choices(labels, item.language)
        cue = f"\n{row.answer}:"
        return Prompt(
            exemplars=tuple(
                self.question(fields, item.language) + cue + choices[self.labels.index(label)]
                for fields, label in zip(row.exemplars, self.exemplar_labels, strict=True)
            ),
            body=self.question(item.fields, item.language) + cue,
            choices=choices,
        )

    def content_free(self, language: str, labels: str = "english") -> list[Prompt]:
        """Return prompts whose inputs say nothing: what a model answers anyway (Zhao et al. 2021)."""
        texts = ("N/A", "[MASK]", "")
        return [self.prompt(Item(self.name, "", language, (text,) * len(self.fields), 0), labels) for text in texts]


def _check(task: Task, where: str) -> None:
    """Refuse a table whose parts do not fit together, with the place."""
    unknown = [label for label in task.exemplar_labels if label not in task.labels]
    if unknown:
        raise SpilloverError(f"{where}: exemplar_labels: found {unknown[0]!r}; {did_you_mean(unknown[0], task.labels)}")
    for part, words in (("labels", task.labels), ("agnostic", task.agnostic)):
        if len(words) != len(task.labels) or len(set(words)) != len(words):
            raise SpilloverError(
                f"{where}: {part}: found {len(words)} words {words}, expected {len(task.labels)} different ones"
            )
    for code, row in task.rows.items():
        known_language(code, f"{where}: rows")
        expected = {
            "fields": (len(row.fields), len(task.fields)),
            "labels": (len(row.labels), len(task.labels)),
            "exemplars": (len(row.exemplars), len(task.exemplar_labels)),
            "fields of an exemplar": (
                next((n for n in map(len, row.exemplars) if n != len(task.fields)), len(task.fields)),
                len(task.fields),
            ),
        }
        for part, (found, wanted) in expected.items():
            if found != wanted:
                raise SpilloverError(f"{where}: rows.{code}: found {found} {part}, expected {wanted}")
        if len(set(row.labels)) != len(row.labels):
            raise SpilloverError(f"{where}: rows.{code}: two labels share the words {row.labels}")


def load_task(path: Path) -> Task:
    """Read a task from its TOML file."""
    try:
        table: Mapping[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
        task = Task.model_validate(table)
    except OSError as error:
        raise SpilloverError(f"{path}: cannot read the task: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SpilloverError(f"{path}: {place}: found {first['input']!r}, expected: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise SpilloverError(f"{path}: not valid TOML: {error}") from error
    if task.draft:
        raise SpilloverError(
            f"{path}: found a draft that nobody has confirmed; correct its rows, then delete the line `draft = true`"
        )
    _check(task, str(path))
    return task


@cache
def _shipped(name: str) -> Task:
    return load_task(Path(str(files("spillover").joinpath("data", "tasks", f"{name}.toml"))))


def sentiment() -> Task:
    """Is a review positive or negative? Two exemplars."""
    return _shipped("sentiment")


def entailment() -> Task:
    """Does a premise entail, contradict or leave open a hypothesis? Six exemplars."""
    return _shipped("entailment")


def paraphrase() -> Task:
    """Do two sentences mean the same? Four exemplars."""
    return _shipped("paraphrase")


def open_task(name: str, where: str = "task") -> Task:
    """Return a task by name, from a user's TOML file, a family's, or from a user's own `package.module:function`."""
    family, _, member = name.partition(":")
    if family in TASK_FAMILIES:
        of_family: Task = resolve(TASK_FAMILIES, family, where)(member)
        return of_family
    if name.endswith(".toml"):
        return load_task(Path(name))
    task: Task = resolve(TASKS, name, where)()
    return task
