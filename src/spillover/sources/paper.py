"""The layout of the files published with arXiv 2405.13816.

    ap_emotion/emotion_<language>500_test.json     input, answer
    snli/snli_<language>600_test.json              premise, hypothesis, answer
    paws/paws_<language>500_test.json              sentence1, sentence2, answer
    <same>_<language>10k_train_question.json       input: a question and an instruction; answer: it in English
    <same>_en10k_train.json                        the English questions; `labeled_questions` reads their answers

A folder may hold any subset. Ids are row numbers from 0: a row is the same item in every language. `Paper` repairs the
labels that `REPAIRED` lists and no others. `AsPublished` repairs none.
"""

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from spillover.errors import SpilloverError, did_you_mean
from spillover.languages import ENGLISH
from spillover.records import Item, LabeledQuestion, Question
from spillover.sources.files import FileCache, TableRow
from spillover.sources.labels import Legend
from spillover.sources.places import by_language, file_of, require_folder
from spillover.sources.table import LabeledTable, items
from spillover.tasks import Task, has_labels

Fields = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PaperLayout:
    """Where a task's files are and what their columns are called."""

    folder: str
    """Their folder."""
    stem: str
    """What their names begin with."""
    columns: Fields
    """The columns of the task's fields, in their order."""

    @property
    def items(self) -> str:
        """Name of a file of items."""
        return f"{self.stem}_<language><number>_test.json"

    @property
    def train(self) -> str:
        """Name of a file of untranslated questions."""
        return f"{self.stem}_<language><number>_train.json"

    @property
    def translated(self) -> str:
        """Name of a file of translated questions."""
        return f"{self.stem}_<language><number>_train_question.json"


LAYOUTS = {
    "sentiment": PaperLayout("ap_emotion", "emotion", ("input",)),
    "entailment": PaperLayout("snli", "snli", ("premise", "hypothesis")),
    "paraphrase": PaperLayout("paws", "paws", ("sentence1", "sentence2")),
}

REPAIRED = {
    # every neutral item says motsigelse, every contradiction nøytral: the other 19 languages agree against it
    ("entailment", "no"): ("entailment", "motsigelse", "nøytral"),
    # the file's word for neutral is not the scorer's 中立
    ("entailment", "ja"): ("含意", "中性", "矛盾"),
    # the file's word for entailment is not the scorer's এনটেইলমেন্ট
    ("entailment", "bn"): ("ধারণ করে", "নিরপেক্ষ", "দ্বন্দ্ব"),
}
"""(task, language) → the file's words for the published labels, where they are not the published scorer's."""

PUBLISHED_EXEMPLARS = {
    "sentiment": (
        "2be51714f6ead63882f72b6f33ea2d0bdb96978a3bc33b743eb8cd182039342c",
        "082ec8709532d4105275b51ac16f69ba911b554bad011a2f8d3e14f35d732655",
    ),
}
"""Task → SHA-256 of the English texts (first fields) that the published scripts show although they are test items."""

INSTRUCTION = re.compile(r"\nTranslate the input from [^\n]+ to English:$")
NAME = re.compile(r"^[^\n:：]+[:：]", re.MULTILINE)
"""What a line of a rendered question begins with, `Premise:`."""


class Paper:
    """The published questions and items, gold repaired so that it agrees in every language."""

    def __init__(self, directory: str, columns: Mapping[str, str]) -> None:
        """Open `directory`, whose columns have fixed names."""
        if not directory:
            raise SpilloverError("source 'paper': found no directory, expected paper:DIR")
        if columns:
            raise SpilloverError(f"source 'paper:{directory}': found a column map {dict(columns)!r}, expected none")
        self._directory = require_folder(Path(directory))
        self._files = FileCache()

    def questions(self, task: Task, language: str) -> list[Question]:
        """Return the questions; a translation is refused whose English side is not that row's question."""
        layout = _layout(task)
        if language == ENGLISH:
            texts = self._english(layout)
        else:
            rows = self._files.rows(file_of(self._directory / layout.folder, layout.translated, language), language)
            texts = _parsed(rows, "input", len(layout.columns))
            originals = _parsed(rows, "answer", len(layout.columns))
            # not strict: ids that only one of the two files has make no pair
            for row, original, english in zip(rows, originals, self._english(layout), strict=False):
                if original != english:
                    raise SpilloverError(
                        f"{row.place}: column 'answer': found {original}, expected the English {english}"
                    )
        return [Question(task.name, str(number), language, fields) for number, fields in enumerate(texts)]

    def items(self, task: Task, language: str) -> list[Item]:
        """Return the items, their gold read in the words that the file uses."""
        return items(self.item_table(task, language), task.name, language)

    def item_table(self, task: Task, language: str) -> LabeledTable:
        """Return the items as they stand in their file."""
        layout = _layout(task)
        rows = self._files.rows(file_of(self._directory / layout.folder, layout.items, language), language)
        labels = _published_labels(task.name, ENGLISH)
        words = self._words(task.name, language)
        order = _order(task)
        golds = {word: order[label] for word, label in zip(words, labels, strict=True)}
        return LabeledTable(rows, layout.columns, "answer", Legend(golds))

    def _words(self, task: str, language: str) -> Fields:
        return REPAIRED.get((task, language)) or _published_labels(task, language)

    def labeled_questions(self, task: Task, language: str) -> list[LabeledQuestion]:
        """Return the untranslated questions that have an answer: none where the annotators did not agree on one."""
        layout, labels = _layout(task), _published_labels(task.name, language)
        english = _published_labels(task.name, ENGLISH)
        order = _order(task)
        legend = Legend({word: order[label] for word, label in zip(labels, english, strict=True)})
        rows = self._files.rows(file_of(self._directory / layout.folder, layout.train, language), language)
        return [
            LabeledQuestion(task.name, str(number), language, _fields(row, layout), legend.read(row, "answer"))
            for number, row in enumerate(rows)
            if row.cells.get("answer") is not None
        ]

    def item_languages(self, task: Task) -> tuple[str, ...]:
        """Return the languages that have a file of items."""
        if task.name not in LAYOUTS:
            return ()
        layout = _layout(task)
        return tuple(by_language(self._directory / layout.folder, layout.items))

    def _english(self, layout: PaperLayout) -> list[Fields]:
        """Return the English questions: from their own file, else from a translated one's answers."""
        folder = self._directory / layout.folder
        translated = by_language(folder, layout.translated)
        if translated and ENGLISH not in by_language(folder, layout.train):
            code = next(iter(translated))
            return _parsed(
                self._files.rows(file_of(folder, layout.translated, code), code), "answer", len(layout.columns)
            )
        return [_fields(row, layout) for row in self._files.rows(file_of(folder, layout.train, ENGLISH), ENGLISH)]


class AsPublished(Paper):
    """The same files with nothing repaired: a label is what the published scorer takes it for, if it knows the word."""

    def item_table(self, task: Task, language: str) -> LabeledTable:
        """Return the items as they stand, with those that the published prompts show as exemplars."""
        return replace(
            Paper.item_table(self, task, language), published_exemplar_ids=self._published_exemplar_ids(task)
        )

    def _words(self, task: str, language: str) -> Fields:
        return _published_labels(task, language)

    def _published_exemplar_ids(self, task: Task) -> frozenset[str]:
        """Find the published exemplars among the English items."""
        if task.name not in PUBLISHED_EXEMPLARS or ENGLISH not in self.item_languages(task):
            return frozenset()
        english = Paper.item_table(self, task, ENGLISH)
        return frozenset(
            str(number)
            for number, row in enumerate(english.rows)
            if hashlib.sha256(str(row.cells.get(english.fields[0])).encode()).hexdigest()
            in PUBLISHED_EXEMPLARS[task.name]
        )


def _layout(task: Task) -> PaperLayout:
    """Return where a task's files are; refuse a task that only shares a published one's name."""
    if task.name not in LAYOUTS:
        raise SpilloverError(f"source 'paper': found no task {task.name!r}; {did_you_mean(task.name, LAYOUTS)}")
    layout, labels = LAYOUTS[task.name], _published_labels(task.name, ENGLISH)
    if len(task.fields) != len(layout.columns) or set(_order(task)) != set(labels):
        raise SpilloverError(
            f"source 'paper': task {task.name!r}: found fields {task.fields} and labels {tuple(_order(task))}, "
            f"expected {len(layout.columns)} fields and the labels {labels}"
        )
    return layout


def _order(task: Task) -> dict[str, int]:
    """Return label → its index; none for a task without labels."""
    return {label: index for index, label in enumerate(task.labels if has_labels(task) else ())}


def _fields(row: TableRow, layout: PaperLayout) -> Fields:
    return tuple(row.text(column) for column in layout.columns)


def _parsed(rows: Sequence[TableRow], column: str, count: int) -> list[Fields]:
    """Parse rendered questions back to their `count` fields.

    A question is a `name: text` for each field, then the answer's cue. The names differ from file to file and
    are learned from it: of the sequences as long as that, the most frequent. So a text may span lines, and one
    of its lines may look like a name.
    """
    texts = [INSTRUCTION.sub("", row.text(column)) for row in rows]
    sequences = (tuple(NAME.findall(text)) for text in texts)
    counted = Counter(sequence for sequence in sequences if len(sequence) == count + 1)
    if not counted:
        raise SpilloverError(
            f"{rows[0].place}: column {column!r}: found {texts[0][:80]!r}, and neither there nor in any other row "
            f"{count} lines of 'name: text' and an answer's cue"
        )
    names = counted.most_common(1)[0][0]
    *named, cue = map(re.escape, names)
    shape = re.compile("".join(rf"{name}\s*(\S.*?)\s*\n" for name in named) + rf'{cue}\s*"?', re.DOTALL)
    matches = [shape.fullmatch(text) for text in texts]
    for row, text, match in zip(rows, texts, matches, strict=True):
        if match is None:
            raise SpilloverError(
                f"{row.place}: column {column!r}: found {text[:80]!r}, expected a text after each of "
                f"{names[:-1]} and then {names[-1]!r}, as in most rows"
            )
    return [match.groups() for match in matches if match]


@cache
def _published_labels(task: str, language: str) -> Fields:
    """Return the published scorer's words for a task's labels."""
    text = files("spillover").joinpath("data", "published.toml").read_text(encoding="utf-8")
    words = tomllib.loads(text)["labels"][task]
    return tuple(words.get(language) or words["all"])
