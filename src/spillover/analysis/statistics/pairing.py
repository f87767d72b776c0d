"""Pair two arms: predictions are matched item by item, or refused with a sentence about the difference."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.statistics.clusters import Clusters
from spillover.errors import SpilloverError
from spillover.languages import get_language, in_paper_order
from spillover.records import ARMS, Prediction

Array = NDArray[np.float64]
Golds = NDArray[np.int_]
Units = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class ArmScores:
    """Scores of one arm in one task and language."""

    logprobs: Array
    """(items, labels) log-probabilities, nats."""
    logprobs_per_token: Array | None
    """(items, labels) log-probabilities per token, nats; None if scoring was not `exact`."""
    content_free: Array | None
    """(labels,) log-probabilities after a content-free prompt; None without such a prompt."""


@dataclass(frozen=True, slots=True)
class PairedCell:
    """One task and language in both arms, items sorted by id."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    ids: tuple[str, ...]
    """(items,)"""
    gold: Golds
    """(items,) index of the right label."""
    base: ArmScores
    """The arm without adapter."""
    tuned: ArmScores
    """The arm with adapter."""
    units: Units
    """(items,) the independent unit of each item: the first id of its cluster, or its own."""

    @property
    def difference(self) -> Array:
        """(items,): 1 where an item was fixed, −1 where it was broken, else 0."""
        return is_correct(self.tuned.logprobs, self.gold) - is_correct(self.base.logprobs, self.gold)


def is_correct(scores: Array, gold: Golds) -> Array:
    """Return (items,): 1 where the label with the highest score (the first of several) is gold, else 0."""
    result: Array = (scores.argmax(axis=1) == gold).astype(np.float64)
    return result


def pair_arms(
    base: Iterable[Prediction], tuned: Iterable[Prediction], clusters: Mapping[str, Clusters] | None = None
) -> list[PairedCell]:
    """Return the cells, tasks in the order given and languages in the paper's.

    `clusters`: task → its clusters; an item that is in none is independent of the others.

    Raises:
        SpilloverError: there is nothing; the arms do not share cells, items, golds and number of labels; an
            item occurs twice; a score is not finite.
    """
    arms = {"base": _by_cell(base), "tuned": _by_cell(tuned)}
    if not arms["base"] and not arms["tuned"]:
        raise SpilloverError("found no predictions, expected those of at least one task and language in both arms")
    for one, other in (ARMS, ARMS[::-1]):
        for task, code in arms[one].keys() - arms[other].keys():
            raise SpilloverError(f"{task}, {code}: found in the {one} arm only, expected the same cells in both")
    tasks = dict.fromkeys(task for task, _ in arms["base"])
    keys = [(task, code) for task in tasks for code in in_paper_order(c for t, c in arms["base"] if t == task)]
    clusters_of = clusters or {}
    cells = [_pair(key, arms["base"][key], arms["tuned"][key], clusters_of.get(key[0], {})) for key in keys]
    for task in tasks:
        labels = sorted({cell.base.logprobs.shape[1] for cell in cells if cell.task == task})
        if len(labels) > 1:
            raise SpilloverError(f"{task}: found {labels} labels in different languages, expected one number")
    return cells


def _by_cell(predictions: Iterable[Prediction]) -> dict[tuple[str, str], dict[str, Prediction]]:
    cells: dict[tuple[str, str], dict[str, Prediction]] = defaultdict(dict)
    for prediction in predictions:
        where = f"{prediction.task}, {prediction.language}, item {prediction.id!r}"
        get_language(prediction.language, where)
        if prediction.id in cells[prediction.task, prediction.language]:
            raise SpilloverError(f"{where}: found twice in one arm, expected once")
        if len(prediction.logprobs) < 2 or not np.isfinite(prediction.logprobs).all():
            raise SpilloverError(f"{where}: found scores {prediction.logprobs}, expected two or more finite numbers")
        if not 0 <= prediction.gold < len(prediction.logprobs):
            raise SpilloverError(
                f"{where}: found gold {prediction.gold}, expected an index below {len(prediction.logprobs)}, "
                "the number of labels"
            )
        cells[prediction.task, prediction.language][prediction.id] = prediction
    return dict(cells)


def _pair(
    key: tuple[str, str], base: Mapping[str, Prediction], tuned: Mapping[str, Prediction], clusters: Clusters
) -> PairedCell:
    where = ", ".join(key)
    odd = sorted(base.keys() ^ tuned.keys())
    if odd:
        arm = "base" if odd[0] in base else "tuned"
        raise SpilloverError(
            f"{where}: found {len(odd)} items in one arm only (first {odd[0]!r}, in {arm}), "
            "expected the same items in both"
        )
    ids = tuple(sorted(base))
    labels = len(base[ids[0]].logprobs)
    for id in ids:
        golds = (base[id].gold, tuned[id].gold)
        if golds[0] != golds[1]:
            raise SpilloverError(f"{where}, item {id!r}: found golds {golds} in the two arms, expected the same")
        counts = (len(base[id].logprobs), len(tuned[id].logprobs))
        if counts != (labels, labels):
            raise SpilloverError(
                f"{where}, item {id!r}: found {counts} scores in the two arms, expected {labels} in each"
            )
    return PairedCell(
        *key,
        ids=ids,
        gold=np.array([base[id].gold for id in ids]),
        base=_scores([base[id] for id in ids]),
        tuned=_scores([tuned[id] for id in ids]),
        units=np.array([clusters.get(id, id) for id in ids]),
    )


def _scores(predictions: Sequence[Prediction]) -> ArmScores:
    content_free = predictions[0].content_free
    per_token = [p.logprobs_per_token for p in predictions]
    return ArmScores(
        logprobs=np.array([p.logprobs for p in predictions], dtype=np.float64),
        logprobs_per_token=np.array(per_token) if all(per_token) else None,
        content_free=np.array(content_free) if content_free and np.isfinite(content_free).all() else None,
    )
