"""A folder of a user's own files: `DIR/<task>/<items|questions>/<language>.<json|jsonl|csv|tsv|parquet>[.gz]`.

This module knows which columns a task needs. `files` reads the files.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path

from spillover.errors import SpilloverError, did_you_mean
from spillover.records import Item, LabeledQuestion, Question
from spillover.sources.files import FileCache, TableRow
from spillover.sources.gaps import Table, gaps
from spillover.sources.labels import Stated, of_task, open_legend
from spillover.sources.places import FORMAT, by_language, file_of, require_folder
from spillover.sources.remarks import remark
from spillover.sources.table import IDS, LabeledTable, id_column, items, with_ids
from spillover.tasks import TASKS, ChoiceTask, Task, open_task

NAME = f"<language>.{FORMAT}"

CLUSTER = "cluster"
"""Name of the column of clusters, unless `columns` says another."""

UNPAIRED = "?paired=false"
"""Stands behind a folder whose languages have different items, as it does behind a family of the harness."""


class Folder:
    """Questions and items in files, one per task and language. Any subset may be there.

    A file is read once: open the folder again to see what was changed in it.
    """

    def __init__(self, directory: str, columns: Mapping[str, str], classes: Stated = ()) -> None:
        """Open `directory`.

        Args:
            directory: the folder; with `?paired=false` behind it, the same id is another item in every language.
            columns: field, `id`, `label` or `answer` → the files' own column name; an empty one for `id`: the row's
                number.
            classes: which labels the numbers and letters in a label column stand for.
        """
        if not directory:
            raise SpilloverError("source 'folder': found no directory, expected folder:DIR")
        self._paired = not directory.endswith(UNPAIRED)
        self._directory = require_folder(Path(directory.removesuffix(UNPAIRED)))
        self._columns, self._classes = columns, classes
        self._files = FileCache()
        self._markers: Sequence[str] | None = None
        self._lacking: dict[tuple[str, str], dict[str, str]] = {}

    def leaving_out(self, markers: Sequence[str]) -> "Folder":
        """Return the folder without the rows that lack a text in any language; `markers` stand for such a text."""
        folder = copy(self)
        folder._markers, folder._lacking = tuple(markers), {}
        return folder

    def questions(self, task: Task, language: str) -> list[Question]:
        """Return the questions; a label column, should there be one, is never read."""
        rows = self._rows(task, "questions", language)
        columns = self._fields(task)
        return [
            Question(task.name, id, language, tuple(row.text(column) for column in columns))
            for id, row in with_ids(rows, self._id(task, rows))
        ]

    def items(self, task: Task, language: str) -> list[Item]:
        """Return the items; a label is the task's own word, that language's, or a code whose order is stated."""
        return items(self.item_table(task, language), task.name, language)

    def item_table(self, task: Task, language: str) -> LabeledTable:
        """Return the items as they stand in their file."""
        return self._labeled_table(task, "items", language)

    def labeled_questions(self, task: Task, language: str) -> list[LabeledQuestion]:
        """Return the questions with their answers, from a label column as in a file of items."""
        rows = items(self._labeled_table(task, "questions", language), task.name, language)
        return [
            LabeledQuestion(item.task, item.id, item.language, item.fields, item.gold, *item.answers[:1])
            for item in rows
        ]

    def item_languages(self, task: Task) -> tuple[str, ...]:
        """Return the languages that have a file of items."""
        return tuple(by_language(self._directory / task.name / "items", NAME))

    def why_unpaired(self, task: Task, languages: Sequence[str]) -> str:
        """Return that the experiment says so, if it does: files alone are taken for translations of each other."""
        return "" if self._paired else "the experiment says so, with paired=false"

    def _labeled_table(self, task: Task, kind: str, language: str) -> LabeledTable:
        rows, fields, label = self._rows(task, kind, language), self._fields(task), self._column(answer_column(task))
        legend = None
        if isinstance(task, ChoiceTask):
            stated = of_task(self._classes, task.name)
            legend = open_legend(label_index(task, language), task.labels, rows, label, fields, stated)
        return LabeledTable(rows, fields, label, legend, self._id(task, rows), self._cluster(rows))

    def _rows(self, task: Task, kind: str, language: str) -> list[TableRow]:
        table = self._table(task, kind, language)
        if self._markers is None:
            return list(table.rows)
        lacking = self._lacking_rows(task, kind, self._markers)
        rows = [row for key, row in zip(table.keys(), table.rows, strict=True) if key not in lacking]
        if not rows:
            raise SpilloverError(f"{self._directory / task.name / kind}: found no row with a text in every language")
        return rows

    def _table(self, task: Task, kind: str, language: str) -> Table:
        check_columns(self._columns, task)
        rows = self._files.rows(file_of(self._directory / task.name / kind, NAME, language), language)
        self._check_ids(task, kind, language, rows)
        return Table(rows, self._fields(task), self._id(task, rows))

    def _lacking_rows(self, task: Task, kind: str, markers: Sequence[str]) -> dict[str, str]:
        """Return the ids of rows without a text in some language, each with the first such language; computed once."""
        if (task.name, kind) not in self._lacking:
            folder = self._directory / task.name / kind
            tables = {code: self._table(task, kind, code) for code in by_language(folder, NAME)}
            lacking = gaps(tables, markers)
            self._lacking[task.name, kind] = lacking
            if lacking:
                key, code = next(iter(lacking.items()))
                remark(
                    folder,
                    f"{len(lacking)} {kind} are left out in every language, since a translation is missing "
                    f"(first: {key!r} in {code})",
                )
        return self._lacking[task.name, kind]

    def _check_ids(self, task: Task, kind: str, language: str, rows: Sequence[TableRow]) -> None:
        """Refuse rows without ids that are not those of the first language: not as many, or it has ids."""
        column, folder = self._id(task, rows), self._directory / task.name / kind
        # of a language with two files, nothing says which one counts
        first, *others = ((code, paths[0]) for code, paths in by_language(folder, NAME).items() if len(paths) == 1)
        if column is None and others and self._paired:
            names = ", ".join(IDS[:3])
            remark(folder, f"found no column of ids ({names}, …), so a row's number is its id in every language")
        if language == first[0] or not self._paired:
            return
        reference = self._files.rows(first[1], first[0])
        expected = self._id(task, reference)
        if (column is None) != (expected is None):
            has, lacks = (rows, first[1].name) if column else (reference, _file(rows))
            raise SpilloverError(
                f"{_file(has)}: found the ids in the column {column or expected!r}, and none in {lacks}; expected ids "
                "in the files of all languages, or in none"
            )
        if column is None and len(rows) != len(reference):
            raise SpilloverError(
                f"{_file(rows)}: found {len(rows)} rows, and {len(reference)} in {first[1].name}; without a column of "
                f"ids a row's number is its id, so expected as many; a column of ids is called {IDS[0]}, or as "
                "`columns` says"
            )

    def _id(self, task: Task, rows: Sequence[TableRow]) -> str | None:
        """Return the column of the ids; None where a row's number is its id."""
        if "id" in self._columns:
            return self._columns["id"] or None
        return id_column(rows, (*self._fields(task), self._column(answer_column(task))))

    def _cluster(self, rows: Sequence[TableRow]) -> str | None:
        """Return the column of the clusters: the one that `columns` says, else one of that name without empty cells."""
        if CLUSTER in self._columns or all(row.cells.get(CLUSTER) for row in rows):
            return self._column(CLUSTER)
        return None

    def _fields(self, task: Task) -> tuple[str, ...]:
        return tuple(self._column(field) for field in task.fields)

    def _column(self, name: str) -> str:
        return self._columns.get(name, name)


def check_columns(columns: Mapping[str, str], task: Task) -> None:
    """Refuse a name that no task has; one map serves all tasks of an evaluation."""
    fields = [field for name in TASKS for field in open_task(name).fields]
    names = dict.fromkeys(("id", "label", "answer", CLUSTER, *task.fields, *fields))
    for name in columns:
        if name not in names:
            expected = "a field, 'id', 'label', 'answer' or 'cluster'"
            raise SpilloverError(f"columns: found {name!r}, expected {expected}; {did_you_mean(name, names)}")


def answer_column(task: Task) -> str:
    """Return the name of the column with the right answers: labels, or answers in words."""
    return "label" if isinstance(task, ChoiceTask) else "answer"


def label_index(task: ChoiceTask, language: str) -> dict[str, int]:
    """Return word → index of the label it means: the task's own words, and those of the language."""
    # where one word is in both, the task's own meaning wins
    kinds = (task.row(language).labels, task.labels)
    return {word: gold for labels in kinds for gold, word in enumerate(labels)}


def _file(rows: Sequence[TableRow]) -> str:
    return rows[0].place.rpartition(": ")[0]
