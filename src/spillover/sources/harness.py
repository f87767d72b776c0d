"""The tasks of lm-evaluation-harness as items: a family of tasks, one per language, rendered as the harness does it.

`families` says which task is which language's. Choices are scored by this project, without the harness's
metrics. `written_families` says how answers in words are graded.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from typing import Any

from spillover.errors import SpilloverError, did_you_mean
from spillover.records import Item, Question
from spillover.sources.documents import Document, refuse_differing_answers, why_unpaired
from spillover.sources.families import FamilyError, manager, members, parts, reason, why_absent, yaml_file
from spillover.sources.family_options import FamilyOptions, split_options
from spillover.sources.pinned_sets import reading_pinned
from spillover.sources.reach import obstacle, out_of_reach, without_waiting
from spillover.sources.written_families import FILTER, WrittenFamily
from spillover.tasks import Task
from spillover.utils.formatting import plural
from spillover.utils.hub import revisions

IDS = (("sample_id",), ("story_id",), ("link", "question_number"), ("idx",), ("id",))
"""The columns that name a document in every language, where a data set has them; else it is its number in the split."""

SEED = 1234
"""The harness's own default seed for choosing exemplars."""


class Harness:
    """A family such as `xnli_{language}`; `DIR/name_{language}` looks into a folder of the user's YAML files too."""

    def __init__(self, family: str, columns: Mapping[str, str]) -> None:
        """Open a family, perhaps with options; the harness renders its items itself, so no columns are named."""
        bare, self._options = split_options(family)
        self._family, _, _ = bare.partition(FILTER)

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
                f"harness:{self._family}: {why_absent(self._family, language)}; languages that are there: "
                f"{', '.join(names)}"
            )
        if isinstance(task, WrittenFamily):
            with _in_one_sentence(self._family, names[language]):
                task.rules(language)
        rows = self._rows(language)
        if (first := next(iter(names))) != language and self._options.paired is not False:
            where, others = f"harness:{names[language]}", self._rows(first)
            reason = why_unpaired(rows, others)
            if reason and self._options.paired:
                raise SpilloverError(
                    f"{where}: nothing shows that these documents are those of {first}: {reason}; expected "
                    "translations, an id that is no row number, or no paired=true behind the family's name"
                )
            if not reason:
                refuse_differing_answers(where, rows, others, first)
        return [
            Item(task.name, row.id, language, row.texts, row.gold, answers=row.answers, delimiter=row.delimiter)
            for row in rows
        ]

    def why_unpaired(self, task: Task, languages: Sequence[str]) -> str:
        """Return why the items of some languages are no translations of each other; empty where they are.

        A language that the family lacks, or whose data cannot be had, says nothing; `items` refuses it.
        """
        if self._options.paired is not None:
            return "" if self._options.paired else "the experiment says so, with paired=false"
        names = members(self._family)
        first = next(iter(names))
        for language in languages:
            if language != first and language in names:
                try:
                    reason = why_unpaired(self._rows(language), self._rows(first))
                except SpilloverError:
                    continue
                if reason:
                    return f"{reason} (in {first} and {language})"
        return ""

    def _rows(self, language: str) -> tuple[Document, ...]:
        pinned = frozenset(revisions().get("datasets", {}).items())
        return _rows(self._family, language, self._options, pinned)


@cache
def _rows(
    family: str, language: str, options: FamilyOptions, pinned: frozenset[tuple[str, str]]
) -> tuple[Document, ...]:
    """Return every document of a language's task, or of all tasks of its group.

    pinned: data sets and their commits; others than these would be other documents.
    """
    name = members(family)[language]
    with _in_one_sentence(family, name):
        tasks = manager(family.rpartition("/")[0]).load([name])["tasks"]
    named = parts(family)[language]
    rows: list[Document] = []
    for leaf, task in tasks.items():
        with _in_one_sentence(family, leaf):
            rows += _documents(named.get(leaf, leaf.removeprefix(name)), leaf, task, options)
    with _in_one_sentence(family, name):
        _check_texts(name, rows)
    return tuple(rows)


@contextmanager
def _in_one_sentence(family: str, name: str) -> Iterator[None]:
    """Refuse, with the YAML file of a task, whatever that file, its code, its data or the hub raises."""
    try:
        with without_waiting(), reading_pinned():
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
    """Refuse a task without documents, or whose texts do not depend on the document."""
    if not rows:
        raise SpilloverError(f"harness:{name}: found no documents, expected some")
    if len(rows) > 1 and len({row.texts for row in rows}) == 1:
        raise SpilloverError(
            f"harness:{name}: found the same texts in all {len(rows)} documents, {rows[0].texts[0]!r} before each "
            "answer, expected those of columns: does `doc_to_text` name one that is not there?"
        )


def _documents(part: str, name: str, task: Any, options: FamilyOptions) -> Iterator[Document]:  # noqa: ANN401
    """Yield the documents of one task, `part` being what tells it from the other tasks of its group."""
    renderer = RENDERERS.get(task.OUTPUT_TYPE)
    if renderer is None:
        raise SpilloverError(
            f"harness:{name}: found output type {task.OUTPUT_TYPE!r}, expected {' or '.join(map(repr, RENDERERS))}"
        )
    _check_columns(name, task)
    _set_options(name, task, options)
    task.set_fewshot_seed(SEED)
    documents = list(task.eval_docs)
    for number, id in _chosen(name, documents, options):
        document = documents[number]
        try:
            yield renderer(f"{part}{id}", name, task, number, document)
        except SpilloverError:
            raise
        except Exception as error:
            raise SpilloverError(f"harness:{name}: document {number}: {reason(error)}") from error


def _set_options(name: str, task: Any, options: FamilyOptions) -> None:  # noqa: ANN401
    """Give a task another number of exemplars or another split than its YAML says."""
    if options.num_fewshot is not None:
        task.set_config("num_fewshot", options.num_fewshot)
    if options.split:
        if options.split not in task.dataset:
            raise SpilloverError(
                f"harness:{name}: split: found no {options.split!r}; {did_you_mean(options.split, task.dataset)}"
            )
        task.set_config("test_split", options.split)


def _chosen(name: str, documents: list[dict[str, Any]], options: FamilyOptions) -> list[tuple[int, str]]:
    """Return the place and the id of the documents that are read."""
    column, value = options.where
    if column and documents and column not in documents[0]:
        raise SpilloverError(f"harness:{name}: where: found no column {column!r}; {did_you_mean(column, documents[0])}")
    chosen = [
        (number, id)
        for number, (id, document) in enumerate(zip(_ids(documents), documents, strict=True))
        if not column or str(document[column]) == value
    ]
    if column and not chosen:
        there = sorted({str(document[column]) for document in documents})
        raise SpilloverError(f"harness:{name}: where: found no {column} {value!r}; {did_you_mean(value, there)}")
    return chosen[: options.limit or None]


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
    if len(answers) < 2:
        raise SpilloverError(
            f"harness:{name}: document {number}: found {plural(len(answers), 'choice')}, expected two or more"
        )
    target = task.doc_to_target(document)
    gold = answers.index(target) if target in answers else target
    if not isinstance(context, str) or not isinstance(gold, int) or not 0 <= gold < len(answers):
        raise SpilloverError(
            f"harness:{name}: document {number}: found the answer {gold!r}, expected one of {len(answers)} choices "
            "after one context"
        )
    delimiter = task.config.target_delimiter
    return Document(id, (context, *(choice for _, choice in texts)), gold, delimiter=delimiter)


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
