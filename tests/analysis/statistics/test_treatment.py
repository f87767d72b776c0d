"""Whether a treatment took: known translators and known liars, and every number against scipy by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import sacrebleu
from scipy import stats

from spillover.analysis.statistics.treatment import check_treatment, retrieval_gains, translation_gains
from spillover.records import Retrieval, Translation, Tuning

ANIMALS = ("fox", "owl", "crab", "horse", "gnat", "wolf", "mule", "swan", "toad", "lynx", "viper", "bison")
PLACES = ("under the bridge", "in our garden", "near a quiet harbor", "on this cold hill")
ENGLISH = [f"The {animal} was asleep {PLACES[place % 4]}." for place, animal in enumerate(ANIMALS)]
GERMAN = [text.replace("The", "Der").replace("was asleep", "schlief").replace("the", "die") for text in ENGLISH]


def tuning(*rows: Translation, retrievals: tuple[Retrieval, ...] = ()) -> Tuning:
    return Tuning((), (), 0, 0, 0, (), rows, retrievals=retrievals)


def pairs(before: Callable[[int], str], after: Callable[[int], str]) -> list[Translation]:
    losses = [(3.0 + 0.1 * place, 2.0 + 0.05 * place**1.5) for place in range(len(ENGLISH))]
    return [
        Translation(f"q{place}", ("de", "nl")[place % 2], GERMAN[place], text + "\n", before(place), after(place), loss)
        for place, (text, loss) in enumerate(zip(ENGLISH, losses, strict=True))
    ]


def right(place: int) -> str:
    return ENGLISH[place]


def copied(place: int) -> str:
    return GERMAN[place]


def another(place: int) -> str:
    return ENGLISH[(place + 5) % len(ENGLISH)]


def garbled(place: int) -> str:
    return f"zzz {'xy' * (place % 3)}"


LIARS = {
    "copies the source": (garbled, copied, "not shown to be better than copied sources"),
    "writes another English text": (garbled, another, "not shown to be nearer to their own references than to others"),
    "could translate before": (right, right, ""),
    "never could": (garbled, garbled, "not shown to be better than copied sources"),
    "unlearned it": (right, garbled, "not shown to be better than copied sources"),
}
"""What a model does that did not learn to translate → its translations before and after, and why."""


def test_a_model_that_learned_to_translate_took() -> None:
    check = check_treatment(tuning(*pairs(garbled, right)))
    assert check.took is True
    assert check.sentence.startswith("The treatment took: on 12 held-out pairs chrF ")
    assert "→ 100.0 (+" in check.sentence
    assert "null" not in check.sentence


@pytest.mark.parametrize("lie", LIARS)
def test_a_model_that_did_not_learn_it_never_took(lie: str) -> None:
    before, after, why = LIARS[lie]
    check = check_treatment(tuning(*pairs(before, after)))
    assert check.took is False
    assert check.sentence.startswith("The treatment did not take: on 12 held-out pairs chrF ")
    assert why in check.sentence
    assert check.sentence.endswith("so this run does not tell whether translating helps.")


@pytest.mark.parametrize("lie", ["copies the source", "writes another English text"])
def test_a_higher_chrf_alone_would_believe_them(lie: str) -> None:
    """The broken twin of the rule looks at the difference of chrF and at nothing else."""
    before, after, _ = LIARS[lie]
    gain = translation_gains(pairs(before, after))[0]
    assert gain.difference.low > 0
    assert min(gain.over_copy.low, gain.over_other.low if gain.over_other else 0) <= 0


def test_every_number_is_scipys() -> None:
    rows = pairs(copied, right)
    everything, german, dutch = translation_gains(rows)
    assert [gain.language for gain in (everything, german, dutch)] == ["", "de", "nl"]
    for gain, own in ((everything, rows), (german, rows[::2]), (dutch, rows[1::2])):
        scores = np.array(
            [
                [sacrebleu.sentence_chrf(text, [row.reference.strip()]).score for text in (row.before, row.after)]
                for row in own
            ]
        )
        test = stats.ttest_rel(scores[:, 1], scores[:, 0])
        interval = test.confidence_interval(0.95)
        assert (gain.before, gain.after) == pytest.approx(tuple(scores.mean(axis=0)))
        assert (gain.difference.low, gain.difference.high) == pytest.approx((interval.low, interval.high))
        assert gain.copied == pytest.approx(gain.before), "it copied before"
        assert gain.over_copy == gain.difference
        losses = stats.ttest_rel(*np.array([row.losses for row in own]).T[::-1]).confidence_interval(0.95)
        assert gain.loss_difference is not None
        assert (gain.loss_difference.low, gain.loss_difference.high) == pytest.approx((losses.low, losses.high))


def test_pairs_of_one_question_are_one_unit() -> None:
    """Twice the same pairs in another language, under the same ids, make no interval narrower."""
    rows = pairs(copied, right)
    doubled = [*rows, *(replace(row, language="sv") for row in rows)]
    apart = [*rows, *(replace(row, language="sv", id=f"{row.id} again") for row in rows)]
    width, same, twin = (
        gain.difference.high - gain.difference.low
        for gain in (translation_gains(own)[0] for own in (rows, doubled, apart))
    )
    assert same == pytest.approx(width, rel=0.05)
    assert twin < 0.8 * width


def test_what_is_not_known_is_not_said() -> None:
    few = check_treatment(tuning(*pairs(garbled, right)[:4]))
    assert few.took is None
    assert "it takes at least 5 held-out questions, found 4; on 4 held-out pairs chrF" in few.sentence
    assert check_treatment(tuning()).took is None
    assert "tune.validation_share, tune.translations" in check_treatment(tuning()).sentence
    annotated = check_treatment(tuning(), taught=False)
    assert annotated.took is None
    assert "tuning had no pairs to learn from" in annotated.sentence


def test_the_sentence_of_a_control_expects_nothing() -> None:
    expected = check_treatment(tuning(*pairs(garbled, another)), control=True)
    assert (expected.took, expected.sentence.split(":")[0]) == (False, "As a control should, this taught none")
    assert "spill-over" not in expected.sentence
    odd = check_treatment(tuning(*pairs(garbled, right)), control=True)
    assert odd.sentence.startswith("The control taught a translation, which it should not:")


def test_a_run_of_the_first_version_has_no_losses() -> None:
    old = [replace(row, losses=()) for row in pairs(garbled, right)]
    check = check_treatment(tuning(*old))
    assert check.took is True
    assert {gain.loss_difference for gain in check.translations} == {None}


def found(shares: tuple[float, ...], before: float = 0.0) -> tuple[Retrieval, ...]:
    return tuple(Retrieval(f"q{place}", ("de", "zh")[place % 2], before, share) for place, share in enumerate(shares))


def test_compared_pairs_take_if_more_of_them_find_each_other() -> None:
    shares = (1.0, 0.5, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.5, 1.0)
    check = check_treatment(tuning(retrievals=found(shares)))
    assert check.took is True
    assert "of 10 held-out pairs 0.0% → 80.0% find their partner" in check.sentence
    assert "by construction" in check.sentence
    everything, german, chinese = retrieval_gains(found(shares))
    assert (everything.after, german.after, chinese.after) == pytest.approx((0.8, 0.7, 0.9))
    assert check_treatment(tuning(retrievals=found(shares, before=0.8))).took is False


def test_a_mixture_of_both_takes_if_both_do() -> None:
    both = found((1.0,) * 10)
    assert check_treatment(tuning(*pairs(garbled, right), retrievals=both)).took is True
    assert check_treatment(tuning(*pairs(garbled, copied), retrievals=both)).took is False
    assert check_treatment(tuning(*pairs(garbled, right), retrievals=found((0.0,) * 10))).took is False


def test_one_question_has_no_interval() -> None:
    (row,) = pairs(before=lambda _: "nothing", after=ENGLISH.__getitem__)[:1]
    sentence = check_treatment(tuning(row)).sentence
    assert "found 1; on 1 held-out pair chrF" in sentence
    assert "inf" not in sentence


def repeated(rows: list[Translation], count: int) -> list[Translation]:
    """Mark the first pairs as nearly learned."""
    return [replace(row, nearly_learned=place < count) for place, row in enumerate(rows)]


def test_pairs_that_nearly_repeat_learned_ones_do_not_count() -> None:
    """A model that remembers seven pairs and copies the rest did not learn to translate. The twin counts all pairs."""

    def remembers(place: int) -> str:
        return right(place) if place < 7 else copied(place)

    rows = pairs(garbled, remembers)
    assert check_treatment(tuning(*rows)).took is True, "the twin"
    check, others = check_treatment(tuning(*repeated(rows, 7))), check_treatment(tuning(*rows[7:]))
    assert check.took is others.took is False
    assert (check.translations, check.retrievals) == (others.translations, others.retrievals)
    scores = [
        [sacrebleu.sentence_chrf(text, [row.reference.strip()]).score for text in (row.before, row.after)]
        for row in rows[:7]
    ]
    before, after = np.mean(scores, axis=0)
    note = f" 7 more held-out pairs nearly repeat learned ones and do not count (chrF {before:.1f} → {after:.1f})."
    assert check.sentence == others.sentence + note


def test_where_nearly_all_pairs_are_repeated_all_count_with_a_caution() -> None:
    rows = pairs(garbled, right)
    check, plain = check_treatment(tuning(*repeated(rows, 8))), check_treatment(tuning(*rows))
    assert (check.took, check.translations) == (True, plain.translations)
    assert (
        check.sentence
        == f"{plain.sentence} 8 of these pairs nearly repeat learned ones, so memory may explain their chrF."
    )


def test_one_repeated_pair_is_told_in_the_singular() -> None:
    sentence = check_treatment(tuning(*repeated(pairs(garbled, right), 1))).sentence
    assert "1 more held-out pair nearly repeats learned ones and does not count" in sentence
