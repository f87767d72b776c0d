"""What the data are for: the few questions that only the user can answer, each with a default and a flag."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain

from spillover.errors import SpilloverError, did_you_mean
from spillover.init.ask import Ask
from spillover.init.choices import RIGHT
from spillover.init.corpus import Corpus
from spillover.init.forms import NAMES_LANGUAGE
from spillover.languages import canonical
from spillover.sources.files import TableRow
from spillover.sources.labels import LETTERS, code_of
from spillover.tasks import TASKS, Task, has_labels, open_task
from spillover.utils.formatting import plural
from spillover.utils.text import is_empty, normal

LABELS = (
    "label_text", "label_name", "class_name", "label", "gold_label", "class", "category", "sentiment", "topic",
    "intent", "queue", "target",
)  # fmt: skip
"""Names of a column of labels, the preferred first."""

PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text1", "text2"),
    ("texta", "textb"), ("sentencea", "sentenceb"), ("context", "question"), ("passage", "question"),
)  # fmt: skip
"""Names of two columns whose texts belong together; case, blanks, `_` and `-` do not matter."""

MAX_CLASSES = 24
"""Most classes that a column of labels may have."""

MIN_ROWS_PER_CLASS = 4
"""Least rows per class in a column of labels that has no usual name."""

MAX_LABEL_LENGTH = 40
"""Most characters of a label."""

NONE = "none"
"""Answer that means: no column of labels."""

TUNED = ("es", "de", "zh")
"""Languages to tune on if the data have none to spare: high-resource, the first that the data lack."""

MAX_TUNED = 2
"""Most languages to tune on by default, as in the paper's first experiments."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the user decided."""

    text: tuple[str, ...]
    """Columns of a question's texts, choices included."""
    label: str
    """Column of the labels; empty: the rows have none."""
    classes: Mapping[str, str]
    """Value in that column → label, in the order of the labels."""
    task: str
    """Name of the task: one that ships, or the user's own."""
    to: tuple[str, ...]
    """Languages to tune on."""

    @property
    def shipped(self) -> Task | None:
        """The task that ships under this name; None: the task is the user's own."""
        return open_task(self.task) if self.task in TASKS else None


def decide(corpus: Corpus, ask: Ask) -> Decisions:
    """Ask what the data are for.

    Raises:
        SpilloverError: an answer is no column, no language, or does not fit the rows.
    """
    text = _columns(corpus, ask("text", "text column(s)", ",".join(_default_text(corpus))), "--text")
    answer = ask("label", f"label column, or {NONE}", _default_label(corpus, text) or NONE)
    label = "" if answer == NONE else _columns(corpus, answer, "--label")[0]
    fields = (*text, *corpus.letters)
    classes = _classes(corpus, label, ask) if label else {}
    # the labels settle the task, or that it is the user's own
    default_task = _default_task(corpus, fields, classes)
    task = ask("task", "task: one that ships or a new name", default_task, obvious=bool(classes))
    if not re.fullmatch(r"[\w-]+", task):
        raise SpilloverError(f"--task: found {task!r}, expected letters, digits, - and _")
    to = ask("to", "languages to tune on (the others show what spills over)", ",".join(default_languages(corpus)))
    codes = tuple(canonical(code.strip(), "--to") for code in to.split(","))
    if corpus.pivot in codes:
        raise SpilloverError(f"--to: found {corpus.pivot!r}, expected other languages: texts are translated from it")
    return Decisions(fields, label, classes, task, codes)


def form(value: object) -> str:
    """Return a cell of a column of labels as a text: numbers and truth values in one form."""
    code = code_of(value)
    return code if code is not None and code not in LETTERS else "" if value is None else str(value).strip()


def counts(corpus: Corpus, column: str) -> dict[str, int]:
    """Return class → number of rows in all languages, the most frequent first."""
    values = (form(row.cells.get(column)) for row in _rows(corpus))
    return dict(Counter(value for value in values if value).most_common())


def default_languages(corpus: Corpus) -> tuple[str, ...]:
    """Return the languages to tune on by default: at most half of the others, so that some stay unseen."""
    others = [code for code in corpus.rows if code != corpus.pivot]
    free = [code for code in TUNED if code not in corpus.rows]
    spare = others[: min(MAX_TUNED, len(others) // 2)]
    return tuple(spare or (free[:1] if others else free[:MAX_TUNED]))


def _rows(corpus: Corpus) -> Iterator[TableRow]:
    return chain.from_iterable(corpus.rows.values())


def _columns(corpus: Corpus, answer: str, flag: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in answer.split(","))
    for name in names:
        if name not in corpus.columns:
            raise SpilloverError(f"{flag}: found {name!r}, expected a column; {did_you_mean(name, corpus.columns)}")
    return names


def _default_text(corpus: Corpus) -> tuple[str, ...]:
    """Return two columns whose texts belong together, if they are there; else the column with the longest texts."""
    columns = corpus.columns
    plain = {re.sub(r"[\s_-]", "", column.casefold()): column for column in reversed(columns)}
    for pair in PAIRS:
        if all(name in plain for name in pair):
            return tuple(plain[name] for name in pair)
    excluded = {corpus.id, *corpus.letters}
    lengths = {
        column: sum(len(value) for row in _rows(corpus) if isinstance(value := row.cells.get(column), str))
        for column in columns
        if column not in excluded and column.casefold() not in NAMES_LANGUAGE
    }
    longest = max(lengths, key=lambda column: lengths[column], default="")
    if not longest or not lengths[longest]:
        raise SpilloverError(f"{next(_rows(corpus)).place}: found no column of texts among {', '.join(columns)}")
    stems = [column for column in columns if column.casefold() == "question"] if corpus.letters else []
    return tuple(dict.fromkeys((longest, *stems)))


def _default_label(corpus: Corpus, text: Sequence[str]) -> str:
    """Return the column of labels: one of a usual name, else one with few short values; empty where there is none."""
    columns = [column for column in corpus.columns if column not in (*text, *corpus.letters, corpus.id)]
    if corpus.letters:
        return next((column for name in RIGHT for column in columns if column.casefold() == name), "")
    classes = {column: counts(corpus, column) for column in columns}
    fitting = [
        column
        for column, values in classes.items()
        if 2 <= len(values) <= MAX_CLASSES and max(map(len, values)) <= MAX_LABEL_LENGTH
    ]
    named = (column for name in LABELS for column in fitting if column.casefold() == name)
    few = (column for column in fitting if sum(classes[column].values()) >= MIN_ROWS_PER_CLASS * len(classes[column]))
    return next(chain(named, few), "")


def _classes(corpus: Corpus, label: str, ask: Ask) -> dict[str, str]:
    """Return value → label; what numbers and truth values mean is asked."""
    if corpus.letters:
        return dict(zip(corpus.letters, corpus.letters, strict=True))
    values = sorted(counts(corpus, label), key=lambda value: (int(value) if value.isdecimal() else -1, value))
    if not 2 <= len(values) <= MAX_CLASSES:
        raise SpilloverError(
            f"--label: found {len(values)} classes in the column {label!r}, expected 2 to {MAX_CLASSES}"
        )
    if any(code_of(value) is None for value in values):
        return {value: " ".join(value.split()) for value in values}
    rows = counts(corpus, label)
    shown = ", ".join(f"{value} ({plural(rows[value], 'row')})" for value in values)
    known = corpus.classes if len(corpus.classes) == len(values) else values
    listed = ask("classes", f"what the classes {shown} mean, in this order", ",".join(known))
    names = [name.strip() for name in listed.split(",")]
    if len(names) != len(values) or len(set(names)) != len(names) or any(map(is_empty, names)):
        raise SpilloverError(f"--classes: found {listed!r}, expected {len(values)} different words with commas between")
    return dict(zip(values, names, strict=True))


def _default_task(corpus: Corpus, fields: Sequence[str], classes: Mapping[str, str]) -> str:
    """Return the task that ships with these classes; without labels, the one whose name is nearest to the file's."""
    same = [name for name in TASKS if len(open_task(name).fields) == len(fields)]
    if classes:
        words = {normal(label) for label in classes.values()}
        fitting = (
            name for name in same if has_labels(task := open_task(name)) and set(map(normal, task.labels)) == words
        )
        return next(fitting, re.sub(r"[^\w-]+", "-", corpus.name).strip("-") or "task")
    if not same:
        raise SpilloverError(
            f"found no labels, and no task that ships has {len(fields)} fields as {', '.join(fields)} are; expected "
            "rows with a label, or --text with other columns; texts without labels go behind --questions"
        )
    named = [name for name in same if set(open_task(name).fields) == set(fields)]
    near = get_close_matches(corpus.name, same, n=1)
    first = [name for name in ("sentiment", "entailment") if name in same]
    return next(chain(near, named, first), same[0])
