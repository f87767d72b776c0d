"""The tasks of lm-evaluation-harness as items: a family of tasks, one per language, rendered as the harness does it.

`families` says which task is which language's. Choices are scored by this project, without the harness's
metrics. `written_families` says how answers in words are graded.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from math import log1p
from typing import Any

from scipy.stats import pearsonr

from spillover.errors import SpilloverError, did_you_mean
from spillover.records import Item, Question
from spillover.sources.families import FamilyError, manager, members, parts, reason, yaml_file
from spillover.sources.reach import obstacle, out_of_reach, without_waiting
from spillover.sources.written_families import FILTER, WrittenFamily
from spillover.tasks import Task

IDS = (("sample_id",), ("story_id",), ("link", "question_number"), ("idx",), ("id",))
"""The columns that name a document in every language, where a data set has them; else it is its number in the split."""

SEED = 1234
"""The harness's own default seed for choosing exemplars."""

MIN_CORRELATION, MAX_P_VALUE = 0.3, 0.01
"""Least correlation of the lengths of translations, and the largest p-value at which it counts."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as the harness renders it."""

    id: str
    """What names it in every language."""
    texts: tuple[str, ...]
    """The context, then each choice; no choice where the answer is written."""
    gold: int
    """Index of the right choice; 0 where the answer is written."""
    answers: tuple[str, ...] = ()
    """The answers that count as right where the answer is written."""


class Harness:
    """A family such as `xnli_{language}`; `DIR/name_{language}` looks into a folder of the user's YAML files too."""

    def __init__(self, family: str, columns: Mapping[str, str]) -> None:
        """Open a family; the harness renders its items itself, so there are no columns to name."""
        self._family, _, _ = family.partition(FILTER)

    def questions(self, task: Task, language: str) -> list[Question]:
        """Refuse: in a rendered item nothing marks where the question ends and the cue of the answer begins."""
        raise SpilloverError(
            f"source 'harness': found {self._family!r} as a source of questions, expected one of items alone"
        )

    def item_languages(self, task: Task) -> tuple[str, ...]:
        """Return the languages that the family has."""
        return tuple(members(self._family))

    def items(self, task: Task, language: str) -> list[Item]:
        """Return a language's items: the context, then each choice.

        Raises:
            SpilloverError: the family lacks the language, its data cannot be had, it is neither multiple choice nor
                answered in words, or its documents are not the same in every language.
        """
        names = members(self._family)
        if language not in names:
            raise SpilloverError(
                f"harness:{self._family}: found no task for {language!r}; languages that are there: {', '.join(names)}"
            )
        if isinstance(task, WrittenFamily):
            with _in_one_sentence(self._family, names[language]):
                task.rules(language)
        rows = _rows(self._family, language)
        if (first := next(iter(names))) != language:
            _check_parallel(f"harness:{names[language]}", rows, _rows(self._family, first), first)
        return [Item(task.name, row.id, language, row.texts, row.gold, answers=row.answers) for row in rows]


def _check_parallel(where: str, rows: Sequence[Document], others: Sequence[Document], first: str) -> None:
    """Refuse documents that are not those of the same ids in the family's first language.

    Where ids are row numbers and the right answer is always the same choice, as in minimal pairs, neither can show that
    two rows are translations; then their lengths have to.
    """
    expected = {row.id: row for row in others}
    for row in rows:
        other = expected.get(row.id, row)
        if row.gold != other.gold:
            raise SpilloverError(
                f"{where}: document {row.id!r} has the answer {row.gold} and that of {first} has {other.gold}, "
                "expected the same documents in every language"
            )
    same_answers = all(row.answers and row.answers == expected.get(row.id, row).answers for row in rows)
    unlabeled = len({row.gold for row in (*rows, *others)}) == 1 and not same_answers
    if unlabeled and _numbered(rows) and not _related(rows, others):
        raise SpilloverError(
            f"{where}: nothing shows that these documents are those of {first}: they are known by row number, the "
            "right answer is the same choice in each, and the lengths of their texts do not agree; the report pairs "
            "items across languages, so a family that is not parallel cannot be measured; where this one is parallel, "
            "give its documents an id that is no row number"
        )


def _numbered(rows: Sequence[Document]) -> bool:
    """Whether ids are no more than a count, in each part of a group."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        part, number = re.fullmatch(r"(.*?)(\d*)\W*", row.id, re.DOTALL).groups()  # type: ignore[union-attr]
        counts.setdefault(part, []).append(int(number or -1))
    return all(numbers[0] in (0, 1) and numbers == [*range(numbers[0], numbers[-1] + 1)] for numbers in counts.values())


def _related(rows: Sequence[Document], others: Sequence[Document]) -> bool:
    """Whether long texts stand where the other language has long ones, more than chance would have it."""
    lengths = {row.id: log1p(sum(map(len, row.texts))) for row in others}
    pairs = [(log1p(sum(map(len, row.texts))), lengths[row.id]) for row in rows if row.id in lengths]
    if min((len(set(side)) for side in zip(*pairs, strict=True)), default=0) < 3:
        return False
    correlation, p_value = pearsonr(*zip(*pairs, strict=True), alternative="greater")
    return bool(correlation >= MIN_CORRELATION and p_value <= MAX_P_VALUE)


@cache
def _rows(family: str, language: str) -> tuple[Document, ...]:
    """Return every document of a language's task, or of all tasks of its group."""
    name = members(family)[language]
    with _in_one_sentence(family, name):
        tasks = manager(family.rpartition("/")[0]).load([name])["tasks"]
    named = parts(family)[language]
    rows: list[Document] = []
    for leaf, task in tasks.items():
        with _in_one_sentence(family, leaf):
            rows += _documents(named.get(leaf, leaf.removeprefix(name)), leaf, task)
    with _in_one_sentence(family, name):
        _check_texts(name, rows)
    return tuple(rows)


@contextmanager
def _in_one_sentence(family: str, name: str) -> Iterator[None]:
    """Refuse, with the YAML file of a task, whatever that file, its code, its data or the hub raises."""
    try:
        with without_waiting():
            yield
    except SpilloverError as error:
        cause = str(error).removeprefix(f"harness:{name}: ")
        raise FamilyError(f"{error}{yaml_file(family, name)}", cause) from error
    except (Exception, SystemExit) as error:  # a user's module may end the program
        if isinstance(error, ConnectionError) and obstacle():
            raise out_of_reach(f"harness:{family}") from error
        sentence = f"harness:{name}: cannot load the task: {reason(error)}{yaml_file(family, name)}"
        raise FamilyError(sentence, reason(error)) from error


def _check_texts(name: str, rows: Sequence[Document]) -> None:
    """Refuse a task without documents, of unlike numbers of choices, or whose texts do not depend on the document."""
    if not rows:
        raise SpilloverError(f"harness:{name}: found no documents, expected some")
    counts = sorted({len(row.texts) - 1 for row in rows})
    if len(counts) > 1:
        raise SpilloverError(f"harness:{name}: found items of {counts} choices, expected as many for each")
    if len(rows) > 1 and len({row.texts for row in rows}) == 1:
        raise SpilloverError(
            f"harness:{name}: found the same texts in all {len(rows)} documents, {rows[0].texts[0]!r} before each "
            "answer, expected those of columns: does `doc_to_text` name one that is not there?"
        )


def _documents(part: str, name: str, task: Any) -> Iterator[Document]:  # noqa: ANN401
    """Yield the documents of one task, `part` being what tells it from the other tasks of its group."""
    renderer = RENDERERS.get(task.OUTPUT_TYPE)
    if renderer is None:
        raise SpilloverError(
            f"harness:{name}: found output type {task.OUTPUT_TYPE!r}, expected {' or '.join(map(repr, RENDERERS))}"
        )
    _check_columns(name, task)
    task.set_fewshot_seed(SEED)
    documents = list(task.eval_docs)
    for number, (id, document) in enumerate(zip(_ids(documents), documents, strict=True)):
        try:
            yield renderer(f"{part}{id}", name, task, number, document)
        except SpilloverError:
            raise
        except Exception as error:
            raise SpilloverError(f"harness:{name}: document {number}: {reason(error)}") from error


def _check_columns(name: str, task: Any) -> None:  # noqa: ANN401
    """Refuse a word that is nearly a column's name: the harness would take the word itself for the text."""
    columns = [str(column) for column in getattr(task, "features", [])]
    for key in ("doc_to_text", "doc_to_choice", "doc_to_target"):
        word = getattr(task.config, key, None)
        if not isinstance(word, str) or not word.isidentifier() or word in columns:
            continue
        if get_close_matches(word, columns, n=1):
            raise SpilloverError(f"harness:{name}: {key}: found no column {word!r}; {did_you_mean(word, columns)}")


def _scored(id: str, name: str, task: Any, number: int, document: Any) -> Document:  # noqa: ANN401
    """Return a document's texts, as the harness scores them, and its gold index."""
    context = _context(task, document)
    requests = task.construct_requests(doc=document, ctx=context, metadata=(name, number, 1))
    answers = task.doc_to_choice(document)
    texts = [request.args for request in requests[: len(answers)]]  # more follow where the metric wants a baseline
    target = task.doc_to_target(document)
    gold = answers.index(target) if target in answers else target
    if not isinstance(context, str) or not isinstance(gold, int) or not 0 <= gold < len(answers):
        raise SpilloverError(
            f"harness:{name}: document {number}: found the answer {gold!r}, expected one of {len(answers)} choices "
            "after one context"
        )
    return Document(id, (context, *(choice for _, choice in texts)), gold)


def _written(id: str, name: str, task: Any, number: int, document: Any) -> Document:  # noqa: ANN401
    """Return a document's context and its right answers, as the harness compares them with what a model writes."""
    context, target = _context(task, document), task.doc_to_target(document)
    if task.config.doc_to_choice is not None:
        target = task.doc_to_choice(document)[target]
    answers = tuple(dict.fromkeys(str(answer) for answer in (target if isinstance(target, list) else [target])))
    if not isinstance(context, str) or not answers or "" in answers:
        raise SpilloverError(
            f"harness:{name}: document {number}: found the answer {target!r}, expected one or more after one context"
        )
    return Document(id, (context,), 0, answers)


def _context(task: Any, document: Any) -> Any:  # noqa: ANN401
    return task.fewshot_context(document, task.config.num_fewshot or 0, gen_prefix=task.doc_to_prefix(document))


RENDERERS = {"multiple_choice": _scored, "generate_until": _written}
"""The harness's output type → document as it renders it."""


def _ids(documents: list[dict[str, Any]]) -> list[str]:
    """Return what names each document in every language: the first of `IDS` that does, else its number."""
    for columns in IDS:
        if documents and all(column in documents[0] for column in columns):
            ids = [json.dumps([document[column] for column in columns])[1:-1] for document in documents]
            if len(set(ids)) == len(ids):
                return ids
    return [str(number) for number in range(len(documents))]
