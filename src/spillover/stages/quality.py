"""Flags of pairs that need more than their texts: a bad score of quality estimation, text an engine cannot read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spillover.errors import SpilloverError
from spillover.experiment import TranslateConfig
from spillover.records import Pair, PairChecks, PairFlag, PairQuality, Question
from spillover.store import Store, read_records, write_records
from spillover.translate import Translator, count_flags
from spillover.translate.engine import EngineTranslator
from spillover.translate.quality import open_scorer

QUANTILES = (5, 25, 50, 75, 95)
"""Quantiles that describe the scores of a language, in percent."""

MAX_UNKNOWN = 0.05
"""Largest share of `<unk>` among the tokens of a question that an engine can still be said to read."""


@dataclass(frozen=True, slots=True)
class PairScore:
    """The score of a pair, as the store keeps it."""

    id: str
    """The question's id."""
    score: float
    """Estimated quality of the translation, in the scorer's unit."""


def pair_scores(store: Store, chosen: TranslateConfig, rows: Sequence[Pair], code: str) -> list[PairScore]:
    """Return the score of each pair, scored first if that was not done before.

    Args:
        store: holds the scores, in `quality/<language>.parquet`.
        chosen: names the scorer and its model.
        rows: the pairs of one language.
        code: the language.

    Raises:
        SpilloverError: the scorer cannot run, or does not return a finite number for each pair.
    """
    scorer, name = open_scorer(chosen.quality, chosen.quality_model), f"{code}.parquet"
    originals, translations = [_line(pair.target) for pair in rows], [_line(pair.source) for pair in rows]

    def write(folder: Path) -> None:
        scores = [float(score) for score in scorer.score(originals, translations)]
        if len(scores) != len(rows) or not np.isfinite(scores).all():
            raise SpilloverError(
                f"translate.quality: {chosen.quality!r} returned {len(scores)} scores for {len(rows)} pairs, expected "
                "a finite number for each"
            )
        records = [PairScore(pair.id, score) for pair, score in zip(rows, scores, strict=True)]
        write_records(folder / name, PairScore, records)

    inputs = [chosen.quality, scorer.version, [pair.id for pair in rows], originals, translations]
    artifact = store.get_or_make("quality", inputs, f"quality/{name}", write)
    return read_records(artifact.path / name, PairScore)


def distributions(chosen: TranslateConfig, scores: Mapping[str, Sequence[PairScore]]) -> tuple[PairQuality, ...]:
    """Return what the report says about the scores, per language."""
    return tuple(_distribution(chosen, rows, code) for code, rows in scores.items())


def _distribution(chosen: TranslateConfig, scores: Sequence[PairScore], code: str) -> PairQuality:
    values = [row.score for row in scores]
    quantiles = tuple(float(value) for value in np.quantile(values, np.array(QUANTILES) / 100))
    return PairQuality(
        code, chosen.quality, len(values), quantiles, chosen.quality_threshold, len(_worse(chosen, scores))
    )


def unreadable(translator: Translator, questions: Sequence[Question]) -> set[str] | None:
    """Return the ids of questions with too many tokens unknown to an engine; None if it cannot tell."""
    shares = translator.unknown_shares(questions) if isinstance(translator, EngineTranslator) else None
    if shares is None:
        return None
    return {question.id for question, share in zip(questions, shares, strict=True) if share > MAX_UNKNOWN}


def pair_checks(
    chosen: TranslateConfig, languages: Iterable[Sequence[Pair]], unread: set[str] | None
) -> tuple[PairChecks, ...]:
    """Count the flags of the pairs of each language, those included that only some experiments check."""
    others: list[PairFlag] = ["quality"] if chosen.quality_threshold is not None else []
    others += ["unknown"] if unread is not None else []
    return tuple(count_flags(rows, chosen.drop, others) for rows in languages)


def flagged(
    chosen: TranslateConfig, rows: Sequence[Pair], scores: Sequence[PairScore], unread: set[str] | None
) -> list[Pair]:
    """Return pairs with the flags `quality` and `unknown` beside those that they have."""
    accused: dict[PairFlag, set[str]] = {"quality": _worse(chosen, scores), "unknown": unread or set()}
    return [
        replace(pair, flags=(*pair.flags, *flags)) if flags else pair
        for pair in rows
        for flags in [tuple(flag for flag, ids in accused.items() if pair.id in ids)]
    ]


def _worse(chosen: TranslateConfig, scores: Sequence[PairScore]) -> set[str]:
    """Return the ids of pairs whose score is worse than the threshold; none without one."""
    limit = chosen.quality_threshold
    if limit is None or not scores:
        return set()
    sign = -1 if open_scorer(chosen.quality, chosen.quality_model).lower_is_better else 1
    return {row.id for row in scores if sign * row.score < sign * limit}


def _line(fields: Sequence[str]) -> str:
    """Return the texts of a question on one line: scorers read a text per line."""
    return " ".join(" ".join(fields).split())
