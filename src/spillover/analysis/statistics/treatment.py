"""Did the treatment take? Held-out pairs before and after tuning: the manipulation check.

`docs/statistics.md` has the rules. Without a treatment that took, unchanged scores say nothing about spill-over.
"""

from collections.abc import Sequence

import numpy as np

from spillover.analysis.statistics.paired import mean_change, unbounded_mean
from spillover.analysis.statistics.pairing import Array
from spillover.records import (
    Estimate,
    Retrieval,
    RetrievalGain,
    Translation,
    TranslationGain,
    TreatmentCheck,
    Tuning,
)
from spillover.utils.formatting import listed, percent, plural, points, signed

FEWEST_PAIRS = 5
"""Fewest questions in held-out pairs for an answer."""

NO_ANSWER = "so this run does not tell whether translating helps"


def check_treatment(tuning: Tuning, taught: bool = True, control: bool = False) -> TreatmentCheck:
    """Say whether tuning taught what it was meant to teach.

    Translations took if the mean chrF rose, and is above that of the copied sources and above that against other pairs'
    references: the 95% interval of each difference lies above 0. Compared pairs took if more of them find each other.
    Held-out pairs that nearly repeat learned ones do not count, unless there are too few others.

    Args:
        tuning: what tuning did, with its held-out pairs.
        taught: whether a recipe of the mixture has pairs to learn.
        control: whether the mixture is a control, which is not meant to teach a translation.
    """
    rows, memory = _new_pairs(tuning.translations)
    translated, retrieved = translation_gains(rows), retrieval_gains(tuning.retrievals)
    answers = [_translated(translated[0])] if translated else []
    answers += [_retrieved(retrieved[0])] if retrieved else []
    if not taught:
        why = "tuning had no pairs to learn from, so there is no manipulation check"
        return TreatmentCheck(None, f"The treatment was not checked: {why}.", has_pairs=False)
    if not answers:
        why = "no pair was held out and translated (tune.validation_share, tune.translations)"
        return TreatmentCheck(None, f"Whether the treatment took is not known: {why}.")
    numbers = listed([text for _, text in answers])
    fewest = min(gains[0].difference.n for gains in (translated, retrieved) if gains)
    if fewest < FEWEST_PAIRS:
        few = f"it takes at least {FEWEST_PAIRS} held-out questions, found {fewest}"
        return TreatmentCheck(
            None, f"Whether the treatment took is not known: {few}; {numbers}.{memory}", translated, retrieved
        )
    took = all(good for good, _ in answers)
    return TreatmentCheck(took, f"{_sentence(took, control, numbers)}{memory}", translated, retrieved)


def _new_pairs(rows: Sequence[Translation]) -> tuple[Sequence[Translation], str]:
    """Return the held-out pairs that count, and a sentence about those that nearly repeat learned ones."""
    repeated = [row for row in rows if row.nearly_learned]
    others = [row for row in rows if not row.nearly_learned]
    if not repeated:
        return rows, ""
    if len({row.id for row in others}) < FEWEST_PAIRS:
        return rows, f" {len(repeated)} of these pairs nearly repeat learned ones, so memory may explain their chrF."
    gain = translation_gains(repeated)[0]
    pairs = plural(len(repeated), "more held-out pair")
    return others, (
        f" {pairs} nearly repeat{'s' * (len(repeated) == 1)} learned ones and {'does' if len(repeated) == 1 else 'do'} "
        f"not count (chrF {gain.before:.1f} → {gain.after:.1f})."
    )


def _sentence(took: bool, control: bool, numbers: str) -> str:
    if control:
        start = (
            "The control taught a translation, which it should not" if took else "As a control should, this taught none"
        )
        return f"{start}: {numbers}."
    return f"The treatment took: {numbers}." if took else f"The treatment did not take: {numbers}, {NO_ANSWER}."


def translation_gains(rows: Sequence[Translation]) -> tuple[TranslationGain, ...]:
    """Return what became of the translations: of all pairs, then of each language; nothing without pairs."""
    if not rows:
        return ()
    codes = list(dict.fromkeys(row.language for row in rows))
    others = _other_references(rows)
    scores = np.array([_scores(row, other) for row, other in zip(rows, others, strict=True)])
    groups = {"": list(range(len(rows)))} | {
        code: [place for place, row in enumerate(rows) if row.language == code] for code in codes
    }
    return tuple(
        _translation_gain(code, [rows[place] for place in places], scores[places]) for code, places in groups.items()
    )


def _scores(row: Translation, other: str | None) -> tuple[float, float, float, float]:
    """Return chrF before, after, of the source, and after tuning against another reference (nan without one)."""
    texts = (row.before, row.after, row.source)
    before, after, source = (chrf(text, row.reference) for text in texts)
    return before, after, source, np.nan if other is None else chrf(row.after, other)


def chrf(text: str, reference: str) -> float:
    """Return the chrF of a sentence (Popović 2015, as sacrebleu computes it), in [0, 100]."""
    from sacrebleu.metrics import CHRF

    return float(CHRF().sentence_score(text.strip(), [reference.strip()]).score)


def _other_references(rows: Sequence[Translation]) -> list[str | None]:
    """Return for each pair the reference of the next pair of its language that has another text; None without one."""
    others: list[str | None] = []
    for place, row in enumerate(rows):
        following = (*rows[place + 1 :], *rows[:place])
        alike = (next_.reference for next_ in following if next_.language == row.language)
        others.append(next((text for text in alike if text.strip() != row.reference.strip()), None))
    return others


def _translation_gain(code: str, rows: Sequence[Translation], scores: Array) -> TranslationGain:
    ids = np.array([row.id for row in rows])
    before, after, copied, other = scores.T
    comparable = ~np.isnan(other)
    losses = np.array([row.losses for row in rows]) if all(row.losses for row in rows) else None
    return TranslationGain(
        language=code,
        pairs=len(rows),
        before=float(before.mean()),
        after=float(after.mean()),
        difference=_mean(after - before, ids),
        copied=float(copied.mean()),
        over_copy=_mean(after - copied, ids),
        over_other=_mean((after - other)[comparable], ids[comparable]) if comparable.any() else None,
        loss_before=None if losses is None else float(losses[:, 0].mean()),
        loss_after=None if losses is None else float(losses[:, 1].mean()),
        loss_difference=None if losses is None else _mean(losses[:, 1] - losses[:, 0], ids),
    )


def _mean(values: Array, ids: np.ndarray) -> Estimate:
    """Return the mean over pairs; those of one question are one unit."""
    return unbounded_mean(values[:, None], ids)[0]


def retrieval_gains(rows: Sequence[Retrieval]) -> tuple[RetrievalGain, ...]:
    """Return how many of the compared pairs find each other: of all pairs, then of each language."""
    codes = ["", *dict.fromkeys(row.language for row in rows)] if rows else []
    gains = []
    for code in codes:
        members = [row for row in rows if code in ("", row.language)]
        changes = np.array([row.after - row.before for row in members])
        difference = mean_change(changes[:, None], np.array([row.id for row in members])).estimate()
        before, after = (float(np.mean([getattr(row, name) for row in members])) for name in ("before", "after"))
        gains.append(RetrievalGain(code, len(members), before, after, difference))
    return tuple(gains)


def _translated(gain: TranslationGain) -> tuple[bool, str]:
    """Return whether translation was learned, and the numbers in words."""
    change = gain.difference
    text = f"on {plural(gain.pairs, 'held-out pair')} chrF {gain.before:.1f} → {gain.after:.1f}"
    if np.isfinite(change.low):  # one question has no interval
        text += f" ({signed(change.low)} to {signed(change.high)})"
    faults = []
    if gain.over_copy.low <= 0:
        faults.append(f"not shown to be better than copied sources (chrF {gain.copied:.1f})")
    if gain.over_other is not None and gain.over_other.low <= 0:
        faults.append("not shown to be nearer to their own references than to others")
    if not faults:
        return change.low > 0, text
    return False, f"{text}, {' and '.join(faults)}"


def _retrieved(gain: RetrievalGain) -> tuple[bool, str]:
    change = gain.difference
    text = (
        f"of {plural(gain.pairs, 'held-out pair')} {percent(gain.before)}% → {percent(gain.after)}% find their partner "
        f"({points(change.low)} to {points(change.high)} points; contrastive tuning raises this by construction)"
    )
    return change.low > 0, text
