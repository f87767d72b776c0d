"""Held-out pairs as the model has them at one moment: what it writes, its loss, and its states inside.

`tune` reads them before and after. No weight is changed here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from spillover.analysis.interpretability.alignment import States, cka, cosine, mexa_mean, retrieval, shuffled
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.queries import Query, answer_queries
from spillover.models.model import Model
from spillover.models.tuning.contrastive import mean_states, texts_of
from spillover.models.tuning.loss import IGNORED, TokenizedExample
from spillover.models.tuning.translations import translate
from spillover.records import Example, PairAlignment, Retrieval, Translation
from spillover.utils.near_duplicates import near_duplicates

Array = NDArray[np.float64]

METRICS = {"retrieval": retrieval, "mexa-mean": mexa_mean, "cosine": cosine, "cka": cka}
"""Metrics of alignment that need no more than the mean states of pairs."""

FEWEST_ALIGNED = 4
"""Fewest pairs of a language whose alignment is measured, as for the items of a task."""

SHUFFLES = 50
"""Shuffled pairings, whose mean is what a metric has by chance."""

PAIRS_AT_ONCE = 32
"""Pairs whose states are read in one pass."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Examples that were never learned."""

    translated: tuple[TokenizedExample, ...] = ()
    """Those of parts whose target is a translation."""
    nearly_learned: tuple[bool, ...] = ()
    """Whether each of these is nearly the same as an example that is learned."""
    compared: tuple[TokenizedExample, ...] = ()
    """Those of phases that compare the two texts of a pair inside the model."""
    depth: float = 1.0
    """The relative depth at which these are compared."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model makes of held-out examples."""

    translations: list[str]
    """Greedy translations."""
    losses: list[float]
    """Mean loss of each target's tokens, nats."""
    states: Array
    """(2, pairs, width) mean states of the first and the second texts of the compared pairs."""


def nearly_learned(held_out: Sequence[Example], learned: Iterable[Example]) -> tuple[bool, ...]:
    """Return for each held-out example whether a learned one of its language is nearly the same in both texts.

    A model that remembers the learned one translates it without being able to translate.
    """
    entries: dict[str, list[tuple[str, ...]]] = {}
    for example in learned:
        entries.setdefault(example.language, []).append((example.source, example.target))
    near = [False] * len(held_out)
    for language in dict.fromkeys(example.language for example in held_out):
        places = [place for place, example in enumerate(held_out) if example.language == language]
        texts = [(held_out[place].source, held_out[place].target) for place in places]
        for match in near_duplicates(texts, entries.get(language, [])):
            near[places[match.query]] = True
    return tuple(near)


def read(reader: PrefixReader, held_out: HeldOut) -> Reading:
    """Return what the model, as it is now, makes of the examples."""
    reader.model.network.eval()
    return Reading(
        translate(reader, [row.example for row in held_out.translated]),
        target_losses(reader, held_out.translated),
        _states(reader.model, held_out),
    )


@torch.inference_mode()
def target_losses(reader: PrefixReader, rows: Sequence[TokenizedExample]) -> list[float]:
    """Return the mean of −ln p(token | all before it) over the target tokens of each example, nats."""
    starts = [row.labels.count(IGNORED) for row in rows]
    queries = [
        Query(row.tokens[:-1], tuple(enumerate(row.tokens[start:], start - 1)))
        for row, start in zip(rows, starts, strict=True)
    ]
    answers = answer_queries(reader, queries) if queries else []
    return [-sum(log_p for log_p, _ in answer) / len(answer) for answer in answers]


def translations(held_out: HeldOut, before: Reading, after: Reading) -> tuple[Translation, ...]:
    """Return what was translated before and after tuning."""
    texts, losses = (before.translations, after.translations), (before.losses, after.losses)
    rows = zip(held_out.translated, *texts, *losses, held_out.nearly_learned, strict=True)
    return tuple(
        Translation(
            row.example.id,
            row.example.language,
            row.example.source,
            row.example.target,
            one,
            other,
            (loss, later),
            near,
        )
        for row, one, other, loss, later, near in rows
    )


def retrievals(held_out: HeldOut, before: Reading, after: Reading) -> tuple[Retrieval, ...]:
    """Return for each compared pair whether its texts find each other among those of its language."""
    shares = np.zeros((2, len(held_out.compared)))
    for places in _by_language(held_out).values():
        for moment, reading in enumerate((before, after)):
            shares[moment, places] = _hits(reading.states[:, places])
    rows = zip(held_out.compared, *shares.tolist(), strict=True)
    return tuple(Retrieval(row.example.id, row.example.language, *moments) for row, *moments in rows)


def alignments(held_out: HeldOut, before: Reading, after: Reading) -> Iterator[PairAlignment]:
    """Yield the alignment of the compared pairs, per language of enough pairs and metric."""
    for language, places in _by_language(held_out).items():
        count = len(places)
        if count < FEWEST_ALIGNED:
            continue
        pairings = shuffled(count, SHUFFLES)
        moments = [
            States(body_mean=states, last=states, component=states[:, :, 0])
            for states in (before.states[:, places], after.states[:, places])
        ]
        for name, metric in METRICS.items():
            values = [metric(states, pairings)[:, 0, 1] for states in moments]
            numbers = [float(number) for value in values for number in (value[0], value[1:].mean())]
            yield PairAlignment(language, name, count, *numbers)


@torch.inference_mode()
def _states(model: Model, held_out: HeldOut) -> Array:
    rows, parts = held_out.compared, []
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        texts = texts_of(rows[start : start + PAIRS_AT_ONCE])
        means = mean_states(model, texts, held_out.depth).double().cpu().numpy()
        parts.append(means.reshape(2, len(texts) // 2, -1))
    return np.concatenate(parts, axis=1) if parts else np.zeros((2, 0, 0))


def _hits(states: Array) -> Array:
    """Return the share of directions in which each pair's texts are nearest, (pairs,); a tie is no hit."""
    unit = states / np.linalg.norm(states, axis=2, keepdims=True)
    cosines = unit[0] @ unit[1].T
    others = np.where(np.eye(len(cosines), dtype=bool), -np.inf, cosines)
    partners = np.diagonal(cosines)
    result: Array = ((partners > others.max(axis=1)) * 1.0 + (partners > others.max(axis=0))) / 2
    return result


def _by_language(held_out: HeldOut) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, row in enumerate(held_out.compared):
        places.setdefault(row.example.language, []).append(place)
    return places
