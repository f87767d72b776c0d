"""Accuracy by log-probability per character and per byte of the choice, against a loop over items."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from spillover.analysis.statistics.gains import compare
from spillover.records import Length, Outcome, Prediction

WORDS = ("да", "yes, indeed", "ええ", "no")
UNITS: tuple[Length, ...] = ("characters", "bytes")
LENGTHS: Mapping[Length, tuple[int, ...]] = {
    "characters": tuple(map(len, WORDS)),
    "bytes": tuple(len(word.encode()) for word in WORDS),
}


def arm(seed: int, skill: float, codes: Sequence[str] = ("th", "sw")) -> list[Prediction]:
    random, rows = np.random.default_rng(seed), []
    for code in codes:
        for i in range(80):
            scores = random.normal(size=4) - 0.7 * np.array(LENGTHS["characters"])
            scores[i % 4] += skill
            rows.append(Prediction(f"{i}", "cloze", code, i % 4, tuple(scores.tolist()), lengths=LENGTHS))
    return rows


def outcomes(rows: Sequence[Prediction], unit: Length) -> list[Outcome]:
    """Return what becomes of each item if its scores are divided by lengths; the first of equal ones counts."""
    found = []
    for row in rows:
        per_unit = [score / length for score, length in zip(row.logprobs, row.lengths[unit], strict=True)]
        right = per_unit.index(max(per_unit)) == row.gold
        found.append(Outcome(row.id, row.task, row.language, float(right), "right" if right else "wrong"))
    return found


BASE, TUNED = arm(0, 0.5), arm(1, 2.0)
FIELDS = {"characters": "per_character", "bytes": "per_byte"}


@pytest.mark.parametrize("unit", UNITS)
def test_accuracies_and_intervals_are_those_of_the_answers_that_a_loop_chooses(unit: Length) -> None:
    found = compare(BASE, TUNED, [])
    expected = compare(outcomes(BASE, unit), outcomes(TUNED, unit), [])
    for gain, other in zip(found.gains, expected.gains, strict=True):
        assert gain.reference.choices and gain.arm.choices and gain.choices
        assert getattr(gain.reference.choices, FIELDS[unit]) == other.reference.score
        assert getattr(gain.arm.choices, FIELDS[unit]) == other.arm.score
        assert getattr(gain.choices, FIELDS[unit]) == other.difference
    assert getattr(found.summaries[0], FIELDS[unit]) == expected.summaries[0].unseen
    assert expected.summaries[0].unseen != found.summaries[0].unseen, "the twin, which divides by nothing"


def test_the_two_lengths_differ_where_letters_take_several_bytes() -> None:
    gain = compare(BASE, TUNED, []).gains[0]
    assert gain.arm.choices and gain.arm.choices.per_character != gain.arm.choices.per_byte


def test_the_endpoint_stays_the_plain_accuracy_and_nothing_is_added_unless_asked() -> None:
    base, tuned = ([replace(row, lengths={}) for row in rows] for rows in (BASE, TUNED))
    found, without = compare(BASE, TUNED, []), compare(base, tuned, [])
    assert found.summaries[0].unseen == without.summaries[0].unseen
    gain, summary = without.gains[0], without.summaries[0]
    assert gain.choices and gain.arm.choices
    for record in (gain.choices, gain.arm.choices, summary):
        assert record.per_character is None and record.per_byte is None


def test_a_choice_without_a_text_is_never_the_best() -> None:
    """As in lm-evaluation-harness, where its score divided by 0 is −∞."""
    empty: Mapping[Length, tuple[int, ...]] = {"characters": (0, 2), "bytes": (0, 2)}
    rows = [Prediction(f"{i}", "cloze", "th", i % 2, (-0.1, -9.0), lengths=empty) for i in range(4)]
    gain = compare(rows, rows, []).gains[0]
    assert gain.arm.choices and gain.arm.choices.per_character
    assert (gain.arm.score.value, gain.arm.choices.per_character.value, gain.arm.choices.chosen) == (0.5, 0.5, (1, 0))
    right = [replace(row, gold=1) for row in rows]
    gain = compare(right, right, []).gains[0]
    assert gain.arm.choices and gain.arm.choices.per_character
    assert (gain.arm.score.value, gain.arm.choices.per_character.value) == (0, 1)
