"""What mixtures predict of others: against least squares by hand, on planted structure, and on noise."""

import csv
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from places import ROOT
from spillover.analysis.statistics import suggest as module
from spillover.analysis.statistics.suggest import Array, Measured, Similarity, collect, suggest
from spillover.organism.grammar import MIRRORS, PIVOT, RELATED, SISTERS
from spillover.records import FinishedRun, Prediction, Suggestion

CODES = ("aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh", "ii", "jj")
TARGETS = ("aa", "bb", "cc")
CHOICES = list(combinations(CODES[3:], 2))
PLACES = np.random.default_rng(3).normal(size=(len(CODES), 2))
NEAR = Similarity("alignment", -np.linalg.norm(PLACES[:, None] - PLACES, axis=2))
OTHER = Similarity("script", (np.arange(len(CODES))[:, None] % 3 == np.arange(len(CODES)) % 3).astype(float))
LIKENESSES = (NEAR, OTHER)


@pytest.fixture(autouse=True)
def few_deals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERMUTATIONS", 99)


def mixtures(count: int, seed: int) -> tuple[tuple[str, ...], ...]:
    random = np.random.default_rng(seed)
    found: set[tuple[str, ...]] = set()
    while len(found) < count:
        found.add(tuple(sorted(random.choice(CODES, random.integers(1, 4), replace=False).tolist())))
    return tuple(sorted(found))


def nearest(mixture: tuple[str, ...], code: str) -> float:
    return max(NEAR.values[CODES.index(member), CODES.index(code)] for member in mixture)


def simulated(count: int, seed: int, like: float = 0.0, donor: float = 0.0, noise: float = 0.01) -> Measured:
    """Return gains: some for each language, some for a near neighbor, some for having `dd` in the mixture, noise."""
    random, chosen = np.random.default_rng(seed), mixtures(count, seed)
    own = random.normal(0.05, 0.03, len(CODES))
    gains = [
        [
            own[place] + like * nearest(mixture, code) + donor * ("dd" in mixture) / len(mixture)
            for place, code in enumerate(CODES)
        ]
        for mixture in chosen
    ]
    return Measured(chosen, CODES, np.array(gains) + random.normal(0, noise, (count, len(CODES))))


def asked(measured: Measured) -> Suggestion:
    return suggest(measured, LIKENESSES, CODES, TARGETS, CHOICES)


def by_hand(sample: Array, gains: Array, ridge: float) -> Array:
    """Return the coefficients of features by least squares with an intercept a language, penalized as extra rows."""
    count, languages, width = sample.shape
    features = sample.reshape(-1, width)
    intercepts = np.tile(np.eye(languages), (count, 1))
    penalty = np.hstack([np.sqrt(ridge * len(features)) * np.eye(width), np.zeros((width, languages))])
    rows = np.vstack([np.hstack([features, intercepts]), penalty])
    found: Array = np.linalg.lstsq(rows, np.concatenate([gains.ravel(), np.zeros(width)]), rcond=None)[0]
    return found


@pytest.mark.parametrize("ridge", module.RIDGES)
def test_a_mixture_left_out_is_predicted_by_least_squares_of_the_others(ridge: float) -> None:
    random = np.random.default_rng(0)
    sample, gains, aims = random.normal(size=(6, 4, 3)), random.normal(size=(6, 4)), [1, 3]
    for place in range(6):
        rest = [other for other in range(6) if other != place]
        found = by_hand(sample[rest], gains[rest], ridge)
        predicted = np.mean([sample[place, aim] @ found[:3] + found[3 + aim] for aim in aims])
        error = module.leave_one_out_error(sample, gains[..., None], aims, ridge, place)
        assert error == pytest.approx(predicted - gains[place, aims].mean())
        everything = by_hand(sample, gains, ridge)  # a twin that has seen what it predicts
        cheating = np.mean([sample[place, aim] @ everything[:3] + everything[3 + aim] for aim in aims])
        assert error != pytest.approx(cheating - gains[place, aims].mean(), abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_that_near_languages_help(seed: int) -> None:
    found = asked(simulated(12, seed, like=0.05))
    assert found.predictive
    assert found.validation is not None
    assert found.validation.error < 0.6 * found.validation.baseline
    truth = {tuple(choice): np.mean([nearest(choice, code) for code in TARGETS]) for choice in CHOICES}
    assert truth[found.candidates[0].languages] >= sorted(truth.values())[-len(truth) // 4]
    found_in_order = [truth[proposal.languages] for proposal in found.candidates]
    assert spearmanr(found_in_order, range(len(CHOICES))).statistic < -0.6


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_a_language_that_helps_whatever_the_target(seed: int) -> None:
    found = asked(simulated(14, seed, donor=0.2))
    assert found.predictive
    assert all("dd" in proposal.languages for proposal in found.candidates[:5])


def test_on_noise_it_says_that_it_does_not_know() -> None:
    """Gains that differ from mixture to mixture for no reason that anybody could know."""
    claims = 0
    for seed in range(10):
        measured = simulated(8, seed)
        luck = np.random.default_rng(seed).normal(0, 0.03, (8, 1))
        claims += asked(Measured(measured.mixtures, CODES, measured.gains + luck)).predictive
    assert claims <= 2


def test_what_is_not_known_is_not_predicted_and_comes_by_likeness() -> None:
    measured = simulated(8, 1)
    found = asked(Measured(measured.mixtures, CODES, np.random.default_rng(0).permutation(measured.gains)))
    assert not found.predictive
    assert {proposal.predicted for proposal in found.candidates} == {None}
    assert found.best is not None
    assert found.best.measured == pytest.approx(max(measured.gains[:, :3].mean(axis=1)))
    assert [p.languages for p in found.candidates] == [p.languages for p in asked(NOTHING).candidates]


NOTHING = Measured((), (), np.empty((0, 0)))


def test_without_enough_mixtures_nothing_is_claimed() -> None:
    few = simulated(module.MIN_MIXTURES - 1, 0, like=0.05)
    found = asked(few)
    assert (found.mixtures, found.validation, found.predictive) == (module.MIN_MIXTURES - 1, None, False)
    nothing = asked(NOTHING)
    assert (nothing.mixtures, nothing.validation, nothing.predictive, nothing.best) == (0, None, False, None)
    likest = max(CHOICES, key=lambda choice: np.mean([nearest(choice, code) for code in TARGETS]))
    alone = suggest(NOTHING, (NEAR,), CODES, TARGETS, CHOICES)
    assert alone.candidates[0].languages == likest
    assert len(alone.candidates) == len(CHOICES)


def test_what_is_measured_stands_beside_what_is_predicted() -> None:
    measured = simulated(12, 2, like=0.05)
    found = {frozenset(p.languages): p for p in asked(measured).candidates}
    for mixture, gains in zip(measured.mixtures, measured.gains, strict=True):
        if frozenset(mixture) in found:
            assert found[frozenset(mixture)].measured == pytest.approx(gains[:3].mean())
    assert sum(p.measured is not None for p in found.values()) == sum(
        frozenset(mixture) in found for mixture in measured.mixtures
    )


def test_neither_the_order_of_the_mixtures_nor_that_of_the_languages_matters() -> None:
    measured, random = simulated(9, 4, like=0.05), np.random.default_rng(0)
    rows, columns = random.permutation(9), random.permutation(len(CODES))
    turned = Measured(
        tuple(measured.mixtures[row] for row in rows),
        tuple(CODES[column] for column in columns),
        measured.gains[rows][:, columns],
    )
    one, other = asked(measured), asked(turned)
    assert one.validation is not None
    assert other.validation is not None
    assert (one.validation.error, one.validation.baseline) == pytest.approx(
        (other.validation.error, other.validation.baseline)
    )
    assert [p.languages for p in one.candidates] == [p.languages for p in other.candidates]


CODES_OF_RUNS = ("en", "zh", "de", "sw")


def test_gains_are_means_over_tasks_and_seeds() -> None:
    def run(name: str, seen: tuple[str, ...], seed: int) -> FinishedRun:
        random = np.random.default_rng(seed)
        base, tuned = (
            tuple(
                Prediction(str(i), task, code, i % 2, tuple(random.normal(size=2).tolist()))
                for task in ("one", "two")
                for code in ("en", "de", *(["sw"] if name == "more" else []))
                for i in range(20)
            )
            for _ in range(2)
        )
        return FinishedRun(name, name, "tiny", 0, "", "one", "english", seen, base, tuned)

    runs = [run("a", ("zh", "de", "en"), 1), run("more", ("de", "zh", "en"), 2), run("c", ("sw", "en"), 3)]
    found = collect(runs, CODES_OF_RUNS)
    assert found.mixtures == (("de", "zh"), ("sw",))
    assert set(found.languages) == {"en", "de"}

    def gain(run: FinishedRun, code: str) -> float:
        share = {
            arm: np.mean([p.chosen == p.gold for p in getattr(run, arm) if p.language == code])
            for arm in ("reference", "arm")
        }
        return float(share["arm"] - share["reference"])

    for place, code in enumerate(found.languages):
        assert found.gains[0, place] == pytest.approx(np.mean([gain(run, code) for run in runs[:2]]))
        assert found.gains[1, place] == pytest.approx(gain(runs[2], code))
    assert collect([], CODES_OF_RUNS).mixtures == ()


# The model organism, whose nearest languages are known by construction


def test_on_the_organism_it_claims_nothing_and_guesses_by_the_families_that_it_was_built_with() -> None:
    """Gains that were measured once: five languages tuned on, each alone."""
    table = csv.DictReader((ROOT / "docs" / "results" / "organism-mixtures.csv").open(encoding="utf-8"))
    rows = [row for row in table if "/" not in row["mixture"]]  # pairs were measured later, to see whether it was right
    gains = {
        (row["mixture"], row["language"]): (float(row["tuned_accuracy"]) - float(row["base_accuracy"])) / 100
        for row in rows
    }
    tuned_on, codes = dict.fromkeys(row["mixture"] for row in rows), [PIVOT, *RELATED]
    measured = Measured(
        tuple((code,) for code in tuned_on),
        tuple(codes),
        np.array([[gains[one, code] for code in codes] for one in tuned_on]),
    )
    family = {code: code[:2] for code in codes}
    likenesses = [
        Similarity("itself", np.eye(len(codes))),
        Similarity("family", np.array([[float(family[a] == family[b]) for b in codes] for a in codes])),
    ]
    pairs = list(combinations([code for code in RELATED if code != "qsc"], 2))
    found = suggest(measured, likenesses, codes, ["qsc"], pairs)
    own = measured.gains[:, codes.index("qsc")]
    naive = [own[np.arange(len(own)) != place].mean() - own[place] for place in range(len(own))]
    assert found.validation is not None
    assert found.validation.baseline == pytest.approx(np.sqrt(np.mean(np.square(naive))))
    assert not found.predictive, "five languages that help about as much as one another tell nothing"
    choices = [candidate.languages for candidate in found.candidates]
    assert set(choices[0]) & set(SISTERS), "they have the target's word order"
    assert choices[-1] == MIRRORS
    backward = suggest(measured, [Similarity("far", 1 - likenesses[1].values)], codes, ["qsc"], pairs).candidates
    assert set(backward[0].languages) & set(MIRRORS), "the order comes from the likenesses"
