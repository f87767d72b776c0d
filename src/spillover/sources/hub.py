"""Data sets of the Hugging Face hub, or folders laid out as they are, read row by row with `datasets`.

    hub:ID  hub:ID:CONFIG        downloaded once, then read from the disk
    stream:ID  stream:ID:CONFIG  read as far as needed, nothing kept: for sets larger than the disk

Questions come from `train`, items from `test` (in XQuAD from `validation`). A set in `PRESETS` needs no column map; a
map replaces the preset. In a preset without a column of ids, row numbers from 0 are ids: a row is the same question in
every language. In other sets it is the column of ids, if there is one.
Rows without text, or without a gold label (SNLI's −1), are left out: nobody can mend them on the hub. A row that
PAWS-X could not translate into one language is left out in all languages, so that they have the same rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import isnan

from spillover.errors import SpilloverError, did_you_mean
from spillover.languages import ENGLISH, in_paper_order, lookup
from spillover.records import Item, Question
from spillover.sources.files import TableRow
from spillover.sources.folder import answer_column, check_columns, label_index
from spillover.sources.hub_set import HubSet
from spillover.sources.labels import Stated, of_task, open_legend
from spillover.sources.table import answers, id_column, id_of
from spillover.tasks import ChoiceTask, Task

QUESTIONS_SPLIT = "train"
"""Split with the questions."""
UNLABELED = (None, -1, "-1", "-", "")
"""Values of a label's column where annotators did not agree."""


@dataclass(frozen=True, slots=True)
class HubLayout:
    """Where a data set has its texts and labels."""

    columns: tuple[str, ...]
    """Columns of the task's fields, in their order."""
    configs: Mapping[str, str]
    """Language code → the configuration with its rows."""
    task: str = ""
    """Name of the set's task; empty: any task with as many fields."""
    label: str = "label"
    """Column of the label; empty: the set has no labels, and serves only for tuning."""
    labels: tuple[str, ...] = ()
    """The task's labels in the order in which the set numbers them; empty: the task's own words and numbers."""
    id: str | None = ""
    """Column of the id; empty: the row's number; None: the column with a usual name (`table.IDS`), if any."""
    items_split: str = "test"
    """Split with the items."""
    missing_marker: str = ""
    """The text in place of a missing translation, beside an empty one; such rows are left out in every language."""


NLI = ("entailment", "neutral", "contradiction")
PRESETS = {
    "fancyzhx/amazon_polarity": HubLayout(
        ("content",), {"en": "amazon_polarity"}, "sentiment", labels=("negative", "positive")
    ),
    "stanfordnlp/snli": HubLayout(("premise", "hypothesis"), {"en": "plain_text"}, "entailment", labels=NLI),
    "google-research-datasets/paws": HubLayout(
        ("sentence1", "sentence2"), {"en": "labeled_final"}, "paraphrase", labels=("different", "same")
    ),
    "facebook/xnli": HubLayout(
        ("premise", "hypothesis"),
        {code: code for code in ("en", "bg", "de", "es", "fr", "hi", "ru", "sw", "th", "zh")},
        "entailment",
        labels=NLI,
    ),
    "google-research-datasets/paws-x": HubLayout(
        ("sentence1", "sentence2"),
        {code: code for code in ("en", "de", "es", "fr", "ja", "zh")},
        "paraphrase",
        labels=("different", "same"),
        missing_marker="NS",
    ),
    "openai/gsm8k": HubLayout(("question",), {"en": "main"}, label=""),
    "juletxara/mgsm": HubLayout(
        ("question",),
        {code: code for code in ("en", "zh", "de", "fr", "es", "ja", "ru", "th", "sw", "bn")},
        "arithmetic",
        label="answer_number",
    ),
    "google/xquad": HubLayout(
        ("context", "question"),
        {code: f"xquad.{code}" for code in ("en", "zh", "de", "es", "ru", "hi", "th")},
        "reading",
        label="answers",
        id="id",
        items_split="validation",
    ),
}
"""Id of a data set → its layout. In XNLI and PAWS-X a row is the same in every language: `parallel` translates them."""


class Hub:
    """Questions and items of one data set."""

    def __init__(
        self, argument: str, columns: Mapping[str, str], streaming: bool = False, classes: Stated = ()
    ) -> None:
        """Open `ID` or `ID:CONFIG`.

        Args:
            argument: what follows `hub:`.
            columns: field, `id` or `label` → the set's own column name; an empty one for `id`: the row's number.
            streaming: whether rows are read one by one, without keeping them.
            classes: which labels the numbers of a set stand for, where its classes have no names.
        """
        self._id, _, self._config = argument.partition(":")
        if not self._id:
            raise SpilloverError("source 'hub': found no data set, expected hub:ID or hub:ID:CONFIG")
        self._set = HubSet(self._id, streaming)
        self._columns, self._classes = columns, classes

    def questions(self, task: Task, language: str) -> Iterator[Question]:
        """Yield the questions as they are read; the label's column is never looked at."""
        layout = self._layout(task)
        for id, row in self._rows(layout, language, "questions"):
            yield Question(task.name, id, language, tuple(row.text(column) for column in layout.columns))

    def items(self, task: Task, language: str) -> list[Item]:
        """Return the items; a label is the task's word, that language's, or a number that the set gives a name."""
        layout = self._layout(task)
        if not layout.label:
            raise SpilloverError(f"source 'hub:{self._id}': found no labels, expected some; it serves tuning only")
        rows = [(id, row) for id, row in self._rows(layout, language, "items") if _is_labeled(row.value(layout.label))]
        legend = None
        if isinstance(task, ChoiceTask):
            stated = layout.labels or of_task(self._classes, task.name)
            cells = [row for _, row in rows]
            legend = open_legend(label_index(task, language), task.labels, cells, layout.label, layout.columns, stated)
        return [
            Item(
                task.name,
                id,
                language,
                tuple(row.text(column) for column in layout.columns),
                legend.read(row, layout.label) if legend else 0,
                cluster=row.name(self._columns["cluster"]) if "cluster" in self._columns else "",
                answers=() if legend else answers(row, layout.label),
            )
            for id, row in rows
        ]

    def item_languages(self, task: Task) -> tuple[str, ...]:
        """Return the languages that have labeled rows of the task; none for a set of another task."""
        preset = self._preset()
        if preset and preset.task != task.name:
            return ()
        layout = self._layout(task)
        return in_paper_order(code for code in layout.configs if self._has_labels(layout, code))

    def _has_labels(self, layout: HubLayout, language: str) -> bool:
        if self._preset():
            return bool(layout.label)
        if layout.items_split not in self._set.splits(layout.configs[language]):
            return False
        rows = self._cells(layout, layout.configs[language], layout.items_split)
        return any(layout.label in cells for cells in islice(rows, 1))

    def _preset(self) -> HubLayout | None:
        return None if self._columns or self._config else PRESETS.get(self._id)

    def _layout(self, task: Task) -> HubLayout:
        """Return the preset, if there is one and it fits the task, else what the column map and the set itself say."""
        preset = self._preset()
        if preset and (preset.task not in ("", task.name) or len(preset.columns) != len(task.fields)):
            raise SpilloverError(
                f"source 'hub:{self._id}': found the task {task.name!r} with fields {task.fields}, expected "
                f"{preset.task or 'a task with one field'!r}, or a column map"
            )
        if preset:
            return preset
        check_columns(self._columns, task)
        named = {name: self._columns.get(name, name) for name in (*task.fields, answer_column(task))}
        fields = tuple(named[name] for name in task.fields)
        return HubLayout(fields, self._configs(), task.name, named[answer_column(task)], id=self._columns.get("id"))

    def _configs(self) -> dict[str, str]:
        """Return language → configuration: those named by a language, else the only one, taken for English."""
        names = self._set.configurations()
        if self._config in names:
            return {lookup(self._config) or ENGLISH: self._config}
        by_language = configurations_by_language(names)
        if not self._config and (by_language or len(names) == 1):
            return by_language or {ENGLISH: names[0]}
        raise SpilloverError(
            f"source 'hub:{self._id}': found configuration {self._config!r}, expected hub:ID:CONFIG; "
            f"{did_you_mean(self._config, names)}"
        )

    def _rows(self, layout: HubLayout, language: str, kind: str) -> Iterator[tuple[str, TableRow]]:
        """Yield each row that has its texts, with its id."""
        if language not in layout.configs:
            several = [name for name in self._set.configurations() if lookup(name) == language]
            subject = f"the configurations {', '.join(several)} for" if len(several) > 1 else "no"
            raise SpilloverError(
                f"source 'hub:{self._id}': found {subject} {language!r}; languages that are there: "
                f"{', '.join(layout.configs)}; hub:ID:CONFIG names one configuration"
            )
        split = layout.items_split if kind == "items" else QUESTIONS_SPLIT
        place = f"{self._id} {layout.configs[language]}/{split}"
        column, seen = layout.id, set[str]()
        read = [layout.configs[language], *(config for config in layout.configs.values() if layout.missing_marker)]
        parallel = zip(*(self._cells(layout, config, split) for config in read), strict=False)
        for number, (cells, *others) in enumerate(parallel):
            row = TableRow(f"{place}: row {number}", cells)
            if column is None:
                column = id_column([row], (*layout.columns, layout.label)) or ""
            if not all(_filled(TableRow(row.place, texts), layout) for texts in (cells, *others)):
                continue
            id = id_of(row, number, column or None)
            if id in seen:
                raise SpilloverError(f"{row.place}: found the id {id!r} again, expected each once")
            if column:
                seen.add(id)
            yield id, row

    def _cells(self, layout: HubLayout, config: str, split: str) -> Iterator[dict[str, object]]:
        """Yield the rows as the library reads them; a label that has a name in the set by that name."""
        rows = self._set.rows(config, split)
        names = getattr((rows.features or {}).get(layout.label), "names", ())
        try:
            for cells in rows:
                number = cells.get(layout.label)
                named = not layout.labels and isinstance(number, int) and 0 <= number < len(names)
                yield cells | {layout.label: names[number]} if named else cells
        except Exception as error:
            raise self._set.unreadable(error) from error


stream = partial(Hub, streaming=True)
"""`Hub`, reading rows one by one and keeping none."""


def configurations_by_language(names: Sequence[str]) -> dict[str, str]:
    """Return language → its configuration: the one called by its code, else the only one that names it, as `zh-CN`."""
    groups: dict[str, list[str]] = {}
    for name in names:
        if code := lookup(name):
            groups.setdefault(code, []).append(name)
    return {
        code: code if code in group else group[0] for code, group in groups.items() if code in group or len(group) == 1
    }


def _is_labeled(value: object) -> bool:
    is_nan = isinstance(value, float) and isnan(value)  # the gap of a table of numbers
    return value not in UNLABELED and not is_nan


def _filled(row: TableRow, layout: HubLayout) -> bool:
    texts = [row.value(column) for column in layout.columns]
    return all(text is not None and str(text).strip() not in ("", layout.missing_marker) for text in texts)
