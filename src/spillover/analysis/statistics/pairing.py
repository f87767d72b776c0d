"""Pair two arms: results are matched item by item, or refused with a sentence about the difference."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.statistics.clusters import Clusters
from spillover.errors import SpilloverError
from spillover.languages import get_language, in_paper_order
from spillover.records import REASONS, Length, Outcome, Prediction, Reason, Result

Array = NDArray[np.float64]
Golds = NDArray[np.int_]
Units = NDArray[np.str_]
UnitNumbers = NDArray[np.int_]
Rows = Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Scores of the labels of one arm in one task and language."""

    logprobs: Array
    """(items, labels) log-probabilities, nats; −inf where an item has fewer labels."""
    logprobs_per_token: Array | None
    """(items, labels) log-probabilities per token, nats, −inf likewise; None if scoring was not `exact`."""
    content_free: Array | None
    """(labels,) log-probabilities after a content-free prompt; None without such a prompt."""
    by_length: Mapping[Length, Array]
    """Unit of length → (items, labels) log-probabilities per unit of the choice, nats; empty unless the task asks."""


@dataclass(frozen=True, slots=True)
class ChoiceScores:
    """The part of a pair of cells that only tasks with labels have."""

    gold: Golds
    """(items,) index of the right label."""
    reference: LabelScores
    """Scores of the one arm."""
    arm: LabelScores
    """Scores of the other."""

    @property
    def labels(self) -> int:
        """Number of labels: the largest of any item."""
        return int(self.reference.logprobs.shape[1])

    @property
    def numbers(self) -> Golds:
        """(items,) number of labels of each item."""
        result: Golds = np.isfinite(self.reference.logprobs).sum(axis=1)
        return result


@dataclass(frozen=True, slots=True)
class PairedCell:
    """One task and language in both arms, items sorted by id."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    ids: tuple[str, ...]
    """(items,)"""
    units: Units
    """(items,) the independent unit of each item: the first id of its cluster, or its own."""
    reference: Array
    """(items,) scores in the one arm, in [0, 1]."""
    arm: Array
    """(items,) scores in the other."""
    reasons: tuple[tuple[Reason, ...], tuple[Reason, ...]]
    """(arms, items) why each item has its score."""
    in_language: Array
    """(arms, 2, items) whether the answer, and its lines, are in the language asked for; nan where none is told."""
    choices: ChoiceScores | None
    """The scores of the labels; None for answers in words."""

    @property
    def difference(self) -> Array:
        """(items,) arm − reference: for choices 1 where an item was fixed, −1 where it was broken, else 0."""
        return self.arm - self.reference


def is_correct(scores: Array, gold: Golds) -> Array:
    """Return (items,): 1 where the label with the highest score (the first of several) is gold, else 0."""
    result: Array = (scores.argmax(axis=1) == gold).astype(np.float64)
    return result


def pair_arms(
    reference: Iterable[Result],
    arm: Iterable[Result],
    clusters: Mapping[str, Clusters] | None = None,
    names: tuple[str, str] = ("base", "tuned"),
) -> list[PairedCell]:
    """Return the cells, tasks in the order given and languages in the paper's.

    Args:
        reference: results of the one arm: predictions in cells with labels, outcomes in the others.
        arm: results of the other, of the same items.
        clusters: task → its clusters; an item that is in none is independent of the others.
        names: what errors call the two arms.

    Raises:
        SpilloverError: there is nothing; the arms do not share cells, items, golds and numbers of labels; an item
            has another number of labels in another language; an item occurs twice; a score is not finite, or an
            outcome's not in [0, 1].
    """
    arms = {name: _by_cell(results) for name, results in zip(names, (reference, arm), strict=True)}
    one, other = (arms[name] for name in names)
    if not one and not other:
        raise SpilloverError("found no predictions, expected those of at least one task and language in both arms")
    for first, second in (names, names[::-1]):
        for task, code in arms[first].keys() - arms[second].keys():
            raise SpilloverError(f"{task}, {code}: found in the {first} arm only, expected the same cells in both")
    tasks = dict.fromkeys(task for task, _ in one)
    keys = [(task, code) for task in tasks for code in in_paper_order(c for t, c in one if t == task)]
    clusters_of = clusters or {}
    cells = [_pair(key, names, one[key], other[key], clusters_of.get(key[0], {})) for key in keys]
    for task in tasks:
        _check_numbers(task, [cell for cell in cells if cell.task == task])
    return cells


def _check_numbers(task: str, cells: Sequence[PairedCell]) -> None:
    """Refuse an item that has another number of labels in another language; 0 stands for an answer in words."""
    first: dict[str, tuple[int, str]] = {}
    kinds = {cell.choices is None: cell.language for cell in cells}
    if len(kinds) > 1:
        raise SpilloverError(f"{task}: found labels in {kinds[False]} and none in {kinds[True]}, expected one kind")
    for cell in cells:
        for id, number in zip(cell.ids, cell.choices.numbers.tolist() if cell.choices else (), strict=False):
            other, language = first.setdefault(id, (number, cell.language))
            if other != number:
                raise SpilloverError(
                    f"{task}, item {id!r}: found {other} labels in {language} and {number} in {cell.language}, "
                    "expected as many in every language"
                )


def item_table(cells: Sequence[PairedCell], measure: Callable[[PairedCell], Array]) -> tuple[UnitNumbers, Array]:
    """Put the items of one task's cells beside one another.

    measure: returns (numbers, items) of a cell. Returns the number of each item's independent unit, (items,), since
    numbers are compared faster than ids, and the numbers, (numbers, items, languages), nan where a language lacks the
    item.
    """
    unit_of: dict[str, str] = {}
    for cell in cells:
        unit_of.update(zip(cell.ids, cell.units.tolist(), strict=True))
    rows = {id: row for row, id in enumerate(sorted(unit_of))}
    parts = [measure(cell) for cell in cells]
    values = np.full((len(parts[0]), len(rows), len(cells)), np.nan)
    for column, (cell, part) in enumerate(zip(cells, parts, strict=True)):
        values[:, [rows[id] for id in cell.ids], column] = part
    return np.unique([unit_of[id] for id in rows], return_inverse=True)[1], values


def _by_cell(results: Iterable[Result]) -> dict[tuple[str, str], dict[str, Result]]:
    cells: dict[tuple[str, str], dict[str, Result]] = {}
    for result in results:
        id = result.id if isinstance(result, Prediction) else result.item
        rows = cells.setdefault((result.task, result.language), {})
        if not rows:
            get_language(result.language, _where(result))
        if id in rows:
            raise SpilloverError(f"{_where(result)}: found twice in one arm, expected once")
        if isinstance(result, Prediction):
            _check_prediction(result)
        elif not 0 <= result.score <= 1 or (result.score == 1) != (result.reason == "right"):
            raise SpilloverError(
                f"{_where(result)}: found score {result.score} with reason {result.reason!r}, expected a score in "
                "[0, 1] and the reason 'right' for 1 alone"
            )
        rows[id] = result
    return cells


def _where(result: Result) -> str:
    """Return what errors call a result."""
    id = result.id if isinstance(result, Prediction) else result.item
    return f"{result.task}, {result.language}, item {id!r}"


def _check_prediction(prediction: Prediction) -> None:
    labels = len(prediction.logprobs)
    if labels < 2 or not all(map(isfinite, prediction.logprobs)):
        raise SpilloverError(
            f"{_where(prediction)}: found scores {prediction.logprobs}, expected two or more finite numbers"
        )
    if not 0 <= prediction.gold < labels:
        raise SpilloverError(
            f"{_where(prediction)}: found gold {prediction.gold}, expected an index below {labels}, the number of "
            "labels"
        )


def _pair(key: tuple[str, str], names: tuple[str, str], one: Rows, other: Rows, clusters: Clusters) -> PairedCell:
    where = ", ".join(key)
    odd = sorted(one.keys() ^ other.keys())
    if odd:
        name = names[0] if odd[0] in one else names[1]
        raise SpilloverError(
            f"{where}: found {len(odd)} items in one arm only (first {odd[0]!r}, in {name}), "
            "expected the same items in both"
        )
    ids = tuple(sorted(one))
    rows = [one[id] for id in ids], [other[id] for id in ids]
    predictions = [[row for row in results if isinstance(row, Prediction)] for results in rows]
    counts = {len(part) for part in predictions}
    if counts not in ({0}, {len(ids)}):
        raise SpilloverError(f"{where}: found label scores of some items only, expected them of all or of none")
    choices = _choice_scores(where, *predictions) if predictions[0] else None
    if choices:
        scores = [is_correct(arm.logprobs, choices.gold) for arm in (choices.reference, choices.arm)]
        reasons = [tuple(REASONS[0] if right else REASONS[1] for right in part.tolist()) for part in scores]
        in_language = np.full((2, 2, len(ids)), np.nan)
    else:
        outcomes = [[row for row in results if isinstance(row, Outcome)] for results in rows]
        scores = [np.array([o.score for o in part], dtype=np.float64) for part in outcomes]
        reasons = [tuple(o.reason for o in part) for part in outcomes]
        in_language = np.array([_in_language(part) for part in outcomes])
    return PairedCell(
        *key,
        ids=ids,
        units=np.array([clusters.get(id, id) for id in ids]),
        reference=scores[0],
        arm=scores[1],
        reasons=(reasons[0], reasons[1]),
        in_language=in_language,
        choices=choices,
    )


def _in_language(outcomes: Sequence[Outcome]) -> list[list[float]]:
    flags = [[o.answer_in_language for o in outcomes], [o.lines_in_language for o in outcomes]]
    return [[np.nan if flag is None else float(flag) for flag in row] for row in flags]


def outcome(result: Result) -> Outcome:
    """Return the outcome of an item; of a prediction it is right if the label with the highest score is gold."""
    if isinstance(result, Outcome):
        return result
    right = result.chosen == result.gold
    return Outcome(result.id, result.task, result.language, float(right), REASONS[0] if right else REASONS[1])


def _choice_scores(where: str, one: Sequence[Prediction], other: Sequence[Prediction]) -> ChoiceScores:
    labels = max(len(prediction.logprobs) for prediction in one)
    for before, after in zip(one, other, strict=True):
        golds = (before.gold, after.gold)
        if golds[0] != golds[1]:
            raise SpilloverError(f"{where}, item {before.id!r}: found golds {golds} in the two arms, expected the same")
        counts = (len(before.logprobs), len(after.logprobs))
        if counts[0] != counts[1]:
            raise SpilloverError(
                f"{where}, item {before.id!r}: found {counts} scores in the two arms, expected as many in each"
            )
    return ChoiceScores(np.array([p.gold for p in one]), _label_scores(one, labels), _label_scores(other, labels))


def _label_scores(predictions: Sequence[Prediction], labels: int) -> LabelScores:
    content_free = predictions[0].content_free
    per_token = [p.logprobs_per_token for p in predictions]
    logprobs = _padded([p.logprobs for p in predictions], labels)
    with np.errstate(divide="ignore"):  # a choice without a text is never the best, as in lm-evaluation-harness
        by_length = {
            unit: logprobs / _padded([p.lengths[unit] for p in predictions], labels, 1)
            for unit in predictions[0].lengths
        }
    return LabelScores(
        logprobs=logprobs,
        logprobs_per_token=_padded(per_token, labels) if all(per_token) else None,
        content_free=np.array(content_free) if content_free and np.isfinite(content_free).all() else None,
        by_length=by_length,
    )


def _padded(rows: Sequence[Sequence[float]], labels: int, padding: float = -np.inf) -> Array:
    """Return (items, labels), with a padding behind the numbers of an item with fewer labels."""
    if all(len(row) == labels for row in rows):
        return np.array(rows, dtype=np.float64)
    table = np.full((len(rows), labels), padding)
    for row, scores in zip(table, rows, strict=True):
        row[: len(scores)] = scores
    return table
