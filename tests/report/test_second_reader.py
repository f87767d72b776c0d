"""A second reader has the CSVs and scipy, nothing of ours, and finds every number of the report again."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, special, stats

from spillover.analysis.gains import compare
from spillover.findings import Findings, Sheet
from spillover.languages import language
from spillover.records import Prediction
from spillover.report.csvs import CSVS

Row = dict[str, str]
CODES = ("en", "zh", "de", "ru", "bg", "th", "sw")
TUNED_ON = ("zh", "de")
ITEMS = 200
INTERVAL = 0.012
"""Two bootstraps of 10,000 resamples differ by less, in the ends of an interval."""


def predictions(task: str, labels: int, skill: float, preference: float, seed: int) -> list[Prediction]:
    random = np.random.default_rng(seed)
    shared = random.normal(size=(ITEMS, labels))
    found = []
    for place, code in enumerate(CODES):
        scores = np.round(shared + random.normal(size=(ITEMS, labels)) - 6, 1)  # rounded: ties occur
        scores[np.arange(ITEMS), np.arange(ITEMS) % labels] += skill * (1 + place / 5)
        scores[:, 0] += preference
        rows = enumerate(scores.tolist())
        found += [Prediction(f"{task}-{i}", task, code, i % labels, tuple(row)) for i, row in rows]
    return found


@pytest.fixture(scope="module")
def tables(findings: Findings) -> dict[str, list[Row]]:
    """The CSVs of a report, read: all that the second reader has."""
    base = predictions("sentiment", 2, 0.3, 1.5, 0) + predictions("entailment", 3, 0.6, 0.5, 1)
    tuned = predictions("sentiment", 2, 1.0, 0.5, 2) + predictions("entailment", 3, 0.6, 0.2, 3)
    comparison = compare(base, tuned, TUNED_ON)
    sheets = []
    for task, labels in (("sentiment", 2), ("entailment", 3)):
        for code in CODES:
            arms = [[p for p in arm if (p.task, p.language) == (task, code)] for arm in (base, tuned)]
            ids, gold = tuple(p.id for p in arms[0]), tuple(p.gold for p in arms[0])
            scores = [tuple(p.scores for p in arm) for arm in arms]
            sheets.append(Sheet(task, code, ("x",) * labels, ids, (("",),) * ITEMS, gold, *scores))
    made = replace(findings, comparison=comparison, sheets=tuple(sheets))
    names = ("items", "gains", "summary", "splits")
    return {name: list(csv.DictReader(io.StringIO(CSVS[name](made)))) for name in names}


class Cell:
    """What `items.csv` says of one task and language."""

    def __init__(self, rows: list[Row]) -> None:
        rows = sorted(rows, key=lambda row: row["id"])
        self.gold = np.array([int(row["gold"]) for row in rows])
        self.base, self.tuned = (
            np.array([[*map(float, r[arm].split(";"))] for r in rows]) for arm in ("base", "tuned")
        )
        self.n, self.labels = self.base.shape

    def hits(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return (scores.argmax(1) == self.gold) * 1.0

    def centered(self, scores: NDArray[np.float64]) -> float:
        return float(self.hits(scores - scores.mean(0)).mean())

    @property
    def difference(self) -> NDArray[np.float64]:
        return self.hits(self.tuned) - self.hits(self.base)


@pytest.fixture(scope="module")
def cells(tables: dict[str, list[Row]]) -> dict[tuple[str, str], Cell]:
    keys = dict.fromkeys((row["task"], row["language"]) for row in tables["items"])
    return {key: Cell([r for r in tables["items"] if (r["task"], r["language"]) == key]) for key in keys}


def ends(row: Row, name: str) -> tuple[float, float]:
    return float(row[f"{name}_low"]), float(row[f"{name}_high"])


def bootstrapped(statistic: Callable[..., float], *samples: NDArray[np.float64]) -> tuple[float, float]:
    options = {"paired": True, "n_resamples": 3000, "method": "percentile", "rng": 1, "vectorized": False}
    found = stats.bootstrap(samples, statistic, **options).confidence_interval
    return found.low, found.high


def test_accuracy_and_its_interval(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    for row in tables["gains"]:
        cell = cells[row["task"], row["language"]]
        assert float(row["chance"]) == 1 / cell.labels
        assert [*map(float, row["gold"].split(";"))] == pytest.approx(np.bincount(cell.gold) / cell.n)
        for arm in ("base", "tuned"):
            scores = getattr(cell, arm)
            right = int(cell.hits(scores).sum())
            interval = stats.binomtest(right, cell.n).proportion_ci(method="wilson")
            assert float(row[f"{arm}_accuracy"]) == pytest.approx(right / cell.n)
            assert ends(row, f"{arm}_accuracy") == pytest.approx((interval.low, interval.high))
            assert float(row[f"{arm}_centered"]) == pytest.approx(cell.centered(scores))
            chosen = np.bincount(scores.argmax(1), minlength=cell.labels) / cell.n
            assert [*map(float, row[f"{arm}_chosen"].split(";"))] == pytest.approx(chosen)
            assert int(row[f"{arm}_ties"]) == sum(max(own) == sorted(own)[-2] for own in scores.tolist())


def test_auc(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    for row in tables["gains"]:
        cell = cells[row["task"], row["language"]]
        for arm in ("base", "tuned"):
            scores, areas = getattr(cell, arm), []
            for label in range(cell.labels):
                margin = scores[:, label] - special.logsumexp(np.delete(scores, label, axis=1), axis=1)
                yes, no = margin[cell.gold == label], margin[cell.gold != label]
                areas.append(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))
            assert float(row[f"{arm}_auc"]) == pytest.approx(np.mean(areas))
            assert ends(row, f"{arm}_auc")[0] < np.mean(areas) < ends(row, f"{arm}_auc")[1]


def test_differences_their_tests_and_what_they_could_show(
    tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]
):
    p_values = []
    for row in tables["gains"]:
        cell = cells[row["task"], row["language"]]
        fixed, broken = int((cell.difference > 0).sum()), int((cell.difference < 0).sum())
        assert (int(row["fixed"]), int(row["broken"])) == (fixed, broken)
        p_values.append(stats.binomtest(fixed, fixed + broken).pvalue)
        assert float(row["p"]) == pytest.approx(p_values[-1])
        assert float(row["difference"]) == pytest.approx((fixed - broken) / cell.n)
        assert ends(row, "difference") == pytest.approx(bootstrapped(np.mean, cell.difference), abs=INTERVAL)
        assert row["alarm"] == str(float(row["difference_high"]) < 0).lower()
        alpha, share = 0.05 / len(tables["gains"]), (fixed + broken) / cell.n
        needed = optimize.brentq(lambda d, a=alpha, s=share, n=cell.n: shortfall(d, s, n, a), 1e-9, 1)
        assert float(row["detectable"]) == pytest.approx(needed, abs=1e-6)
    order, worst = np.argsort(p_values), 0.0
    for step, place in enumerate(order):  # Holm
        worst = max(worst, min(1.0, (len(order) - step) * p_values[place]))
        assert float(tables["gains"][place]["p_adjusted"]) == pytest.approx(worst)


def shortfall(gain: float, discordance: float, n: int, alpha: float) -> float:
    """Return how much a gain falls short of 80% power: 0 at the detectable one (Miettinen 1968)."""
    changed = max(discordance, gain)
    power = stats.norm.isf(alpha / 2) * np.sqrt(changed) + stats.norm.ppf(0.8) * np.sqrt(changed - gain**2)
    return float(power - gain * np.sqrt(n))


def test_the_split_of_every_gain(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    """Values exactly; intervals against scipy's bootstrap that centers to the letter, which is somewhat wider."""
    for row in tables["gains"]:
        cell = cells[row["task"], row["language"]]
        discrimination = cell.centered(cell.tuned) - cell.centered(cell.base)
        assert float(row["discrimination"]) == pytest.approx(discrimination)
        assert float(row["prior"]) == pytest.approx(float(row["difference"]) - discrimination)
    row = tables["gains"][0]
    cell = cells[row["task"], row["language"]]

    def split(rows: NDArray[np.int_]) -> float:
        drawn = [(arm[rows] - arm[rows].mean(0)).argmax(1) == cell.gold[rows] for arm in (cell.base, cell.tuned)]
        return float(drawn[1].mean() - drawn[0].mean())

    low, high = bootstrapped(split, np.arange(cell.n))
    found = ends(row, "discrimination")
    assert 0.75 < (found[1] - found[0]) / (high - low) < 1.1
    assert found == pytest.approx((low, high), abs=3 * INTERVAL)


def test_the_means_over_languages(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    for row in tables["summary"]:
        own = {code: cell for (task, code), cell in cells.items() if task == row["task"]}
        groups = {
            "unseen": [code for code in own if code not in (*TUNED_ON, "en")],
            "tuned": list(TUNED_ON),
            "overall": list(own),
            "pivot": ["en"],
        }
        for name, codes in groups.items():
            means = np.mean([own[code].difference for code in codes], axis=0)
            assert float(row[name]) == pytest.approx(means.mean())
            assert ends(row, name) == pytest.approx(bootstrapped(np.mean, means), abs=INTERVAL)
        unseen = np.mean([own[code].difference for code in groups["unseen"]], axis=0)
        error = unseen.std() / np.sqrt(ITEMS)
        assert float(row["detectable"]) == pytest.approx((1.959964 + stats.norm.ppf(0.8)) * error, rel=0.04)
        worst = min(own, key=lambda code: own[code].difference.mean())
        assert (row["worst_language"], float(row["worst"])) == (worst, own[worst].difference.mean())
        gains = [g for g in tables["gains"] if g["task"] == row["task"]]
        assert float(row["worst_low"]) == min(float(g["difference_low"]) for g in gains)
        for part in ("discrimination", "prior"):
            mean = np.mean([float(g[part]) for g in gains if g["language"] in groups["unseen"]])
            assert float(row[part]) == pytest.approx(mean)
        by_language = [own[code].difference.mean() for code in groups["unseen"]]
        assert float(row["unseen_general"]) == pytest.approx(np.mean(by_language))
        found = in_general(np.column_stack([own[code].difference for code in groups["unseen"]]))
        assert ends(row, "unseen_general") == pytest.approx(found, abs=2 * INTERVAL)


def in_general(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Resample items and languages, (items, languages), as docs/statistics.md says it: literally, one by one."""
    random = np.random.default_rng(5)
    items, count = differences.shape
    factor = stats.t.ppf(0.975, count - 1) / stats.norm.ppf(0.975) * np.sqrt(count / (count - 1))
    draws = []
    for _ in range(10_000):
        means = differences[random.integers(items, size=items)].mean(0)
        added = means[random.integers(count, size=count)].mean() - means.mean()
        draws.append(means.mean() + factor * added)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def test_the_splits(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    assert {row["by"] for row in tables["splits"]} == {"tier", "script", "family"}
    for row in tables["splits"]:
        codes = row["languages"].split(";")
        assert {getattr(language(code), row["by"]) for code in codes} == {row["name"]}
        means = np.mean([cells[row["task"], code].difference for code in codes], axis=0)
        assert float(row["difference"]) == pytest.approx(means.mean())
        assert ends(row, "difference") == pytest.approx(bootstrapped(np.mean, means), abs=INTERVAL)


def test_the_verdicts_follow_from_the_numbers(tables: dict[str, list[Row]]):
    for name, column in (("gains", "difference"), ("summary", "unseen")):
        for row in tables[name]:
            low, high = ends(row, column)
            significant = name == "summary" or float(row["p_adjusted"]) < 0.05
            rules = (
                ("improved", significant and low > 0),
                ("harmed", significant and high < 0),
                ("equivalent", low >= -0.02 and high <= 0.02),
                ("inconclusive", True),
            )
            assert row["verdict"] == next(word for word, holds in rules if holds)


def test_one_wrong_score_is_noticed(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    """The broken twin: a reader whose one label is shifted in one cell finds other numbers."""
    row, cell = tables["gains"][0], cells["sentiment", "en"]
    shifted = cell.base + np.array([0.5, 0.0])
    assert float(row["base_accuracy"]) != pytest.approx(cell.hits(shifted).mean())
