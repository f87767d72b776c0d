"""The transfer matrix against naive loops; the choice of a mixture is unbiased, where choosing on all items is not."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from spillover.analysis.statistics import transfer
from spillover.analysis.statistics.transfer import split_half, transfers
from spillover.errors import SpilloverError
from spillover.records import Estimate, FinishedRun, Prediction, Result

CODES = ("en", "zh", "de", "th", "sw")
IDS = tuple(f"{i:03}" for i in range(60))


def arm(right: np.ndarray, task: str = "sentiment") -> tuple[Prediction, ...]:
    """Return predictions that are right where (items, languages) says so."""
    return tuple(
        Prediction(id, task, code, i % 2, (-1.0, -2.0) if bool(good) == (i % 2 == 0) else (-2.0, -1.0))
        for column, code in enumerate(CODES)
        for i, (id, good) in enumerate(zip(IDS, right[:, column], strict=True))
    )


def run(name: str, to: str, base: np.ndarray, tuned: np.ndarray, setting: str = "") -> FinishedRun:
    seen = (*to.split("/"), "en")
    recipe = f"{to} {setting}"
    return FinishedRun(name, recipe, "m", 1, f"{to}=>en", "sentiment", "english", seen, arm(base), arm(tuned), setting)


def coins(seed: int, chance: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).random((len(IDS), len(CODES))) < chance


@pytest.fixture(scope="module")
def runs() -> list[FinishedRun]:
    base = coins(0)
    return [
        run("zh 0", "zh", base, coins(1, 0.7)),
        run("zh 1", "zh", base, coins(2, 0.7)),
        run("de 0", "de", base, coins(3, 0.6)),
        run("de 1", "de", base, coins(4, 0.5)),
        run("zh+de 0", "zh/de", base, coins(5, 0.9)),
    ]


def accuracy(results: Iterable[Result], code: str, ids: set[str] | None = None) -> float:
    rows = [p for p in results if isinstance(p, Prediction) and p.language == code]
    own = [p for p in rows if ids is None or p.id in ids]
    return float(np.mean([p.chosen == p.gold for p in own]))


def gain(run: FinishedRun, code: str, ids: set[str] | None = None) -> float:
    return accuracy(run.arm, code, ids) - accuracy(run.reference, code, ids)


def test_every_cell_is_the_mean_gain_over_seeds(runs: list[FinishedRun]):
    (matrix,) = transfers(runs)
    assert set(matrix.languages) == set(CODES)
    assert {row.mixture for row in matrix.rows} == {"zh=>en", "de=>en", "zh/de=>en"}
    for row in matrix.rows:
        own = [run for run in runs if run.name in row.runs]
        for code, found in zip(matrix.languages, row.gains, strict=True):
            assert found.value == pytest.approx(np.mean([gain(run, code) for run in own]))
            assert found.low <= found.value <= found.high
        assert row.new is not None
        seeds = [np.mean([gain(run, code) for code in ("th", "sw")]) for run in own]
        assert row.by_seed == pytest.approx(tuple(seeds))
        assert row.new.value == pytest.approx(np.mean(seeds))
    assert matrix.new == ("th", "sw")
    assert {row.mixture: row.budget for row in matrix.rows} == {"zh=>en": 1, "de=>en": 1, "zh/de=>en": 2}


def test_the_seed_deviation_is_pooled_over_mixtures(runs: list[FinishedRun]):
    (matrix,) = transfers(runs)
    seeds = {row.mixture: row.by_seed for row in matrix.rows if len(row.runs) > 1}
    assert matrix.degrees == 2
    assert matrix.seed_deviation == pytest.approx(np.sqrt(np.mean([np.var(own, ddof=1) for own in seeds.values()])))
    alone = [each for each in runs if each.name.endswith("0")]
    (single,) = transfers(alone)
    assert (single.seed_deviation, single.degrees) == (None, 0)
    width = {row.mixture: row.new.high - row.new.low for row in matrix.rows if row.new}
    narrow = {row.mixture: row.new.high - row.new.low for row in single.rows if row.new}
    assert width["zh/de=>en"] > narrow["zh/de=>en"], "one seed, but it is known how far seeds are apart"


def test_the_best_is_chosen_on_one_half_and_measured_on_the_other(runs: list[FinishedRun]):
    (matrix,) = transfers(runs)
    (choice,) = matrix.choices  # of two languages there is one mixture alone
    first, second = ({IDS[place] for place in half} for half in split_half(IDS))
    means = {
        name: [np.mean([gain(run, code, half) for run in runs if run.mixture == name for code in ("th", "sw")])
               for half in (first, second)]
        for name in ("zh=>en", "de=>en")
    }  # fmt: skip
    best = max(means, key=lambda name: means[name][0])
    assert (choice.budget, choice.candidates, choice.chosen) == (1, 2, best)
    assert (choice.selection_gain, choice.held_out.value) == pytest.approx(tuple(means[best]))
    assert choice.other_half_choice == max(means, key=lambda name: means[name][1])
    assert choice.held_out.n == len(second)


def test_halves_share_no_item_and_are_the_same_whatever_the_order():
    first, second = split_half(IDS)
    assert sorted([*first, *second]) == list(range(len(IDS)))
    back = split_half(IDS[::-1])
    assert {IDS[place] for place in first} == {IDS[::-1][place] for place in back[0]}


@pytest.fixture
def rough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices are looked at here, not intervals, whose ends take time to find."""

    def mean(outcomes: np.ndarray, *rest: object) -> Estimate:
        value = float(np.nanmean(outcomes, axis=1).mean())
        return Estimate(value, value, value, outcomes.shape[1])

    monkeypatch.setattr(transfer, "over_seeds", mean)


def chosen(seed: int) -> tuple[float, float]:
    """Return what the best of twelve mixtures that all do nothing gains: as chosen, and on held-out items."""
    base = coins(1000 * seed)
    found = [run(f"{k}", f"{'zh' if k % 2 else 'de'}", base, coins(1000 * seed + k + 1)) for k in range(12)]
    found = [replace(each, recipe_digest=each.name, mixture=each.name) for each in found]
    (matrix,) = transfers(found)
    (choice,) = matrix.choices
    return choice.selection_gain, choice.held_out.value


@pytest.mark.usefixtures("rough")
def test_the_winners_gain_is_unbiased_and_the_naive_one_is_not():
    seemed, held_out = np.array([chosen(seed) for seed in range(60)]).T
    error = held_out.std(ddof=1) / len(held_out) ** 0.5
    assert abs(held_out.mean()) < 3 * error
    assert seemed.mean() > 5 * error, "the winner was not flattered: the test sees no selection"


@pytest.mark.usefixtures("rough")
def test_a_split_that_is_none_is_caught(monkeypatch: pytest.MonkeyPatch):
    everything = np.arange(len(IDS))
    monkeypatch.setattr(transfer, "split_half", lambda ids: (everything, everything))
    _, held_out = np.array([chosen(seed) for seed in range(20)]).T
    assert held_out.mean() > 5 * held_out.std(ddof=1) / len(held_out) ** 0.5


def test_like_mixtures_stand_beside_each_other():
    base, kinds = np.zeros((len(IDS), len(CODES)), dtype=bool), [(1, 0, 0, 0, 1), (0, 0, 1, 1, 0)]
    tuned = [np.tile(np.array(kinds[k % 2], dtype=bool), (len(IDS), 1)) & coins(k, 0.9) for k in range(6)]
    made = [replace(run(str(k), "zh", base, own), recipe_digest=str(k), mixture=str(k)) for k, own in enumerate(tuned)]
    (matrix,) = transfers(made)
    order = [int(row.mixture) % 2 for row in matrix.rows]
    assert sum(a != b for a, b in pairwise(order)) == 1
    assert abs(matrix.languages.index("en") - matrix.languages.index("sw")) == 1
    for row in matrix.rows:
        for code, found in zip(matrix.languages, row.gains, strict=True):
            assert found.value == pytest.approx(gain(made[int(row.mixture)], code))


def test_settings_are_kept_apart_and_must_share_their_items(runs: list[FinishedRun]):
    other = [replace(each, setting="labels=native", recipe_digest=f"{each.recipe_digest} native") for each in runs[:2]]
    found = transfers([*runs, *other])
    assert [(matrix.setting, len(matrix.rows)) for matrix in found] == [("", 3), ("labels=native", 1)]
    fewer = replace(runs[2], reference=runs[2].reference[1:], arm=runs[2].arm[1:])
    with pytest.raises(SpilloverError, match="sweep: sentiment, en: run zh 0 has an item '000' that de 0 lacks"):
        transfers([runs[0], fewer])
