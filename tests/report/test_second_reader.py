"""A second reader has the CSVs and scipy, nothing of ours, and finds every number of the report again."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, special, stats
from statsmodels.stats.proportion import proportion_confint

from spillover.analysis.statistics.gains import compare
from spillover.languages import get_language
from spillover.records import Findings, ItemScores, Prediction
from spillover.report.tables.csvs import CSVS

Row = dict[str, str]
CODES = ("en", "zh", "de", "ru", "bg", "th", "sw")
TUNED_ON = ("zh", "de")
ITEMS = 200
THREES = {f"entailment-{i}": f"entailment-{i - i % 3}" for i in range(ITEMS)}
"""The premises of one task: an item → the first that shares its premise."""


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
    comparison = compare(base, tuned, TUNED_ON, clusters={"entailment": THREES})
    sheets = []
    for task, labels in (("sentiment", 2), ("entailment", 3)):
        for code in CODES:
            arms = [[p for p in arm if (p.task, p.language) == (task, code)] for arm in (base, tuned)]
            ids, gold = tuple(p.id for p in arms[0]), tuple(p.gold for p in arms[0])
            arm_names, scores = ("base", "tuned"), tuple(tuple(p.logprobs for p in arm) for arm in arms)
            shared, texts = tuple(THREES.get(id, "") for id in ids), (("",),) * ITEMS
            sheets.append(ItemScores(task, code, ("x",) * labels, ids, texts, gold, arm_names, scores, shared))
    made = replace(findings, comparisons=(comparison,), item_scores=tuple(sheets))
    names = ("items", "gains", "summary", "splits")
    return {name: list(csv.DictReader(io.StringIO(CSVS[name](made)))) for name in names}


COLUMNS = {"base": "reference", "tuned": "arm"}
"""Name of an arm → what its columns in `gains.csv` begin with."""


class Cell:
    """What `items.csv` says of one task and language."""

    def __init__(self, rows: list[Row]) -> None:
        rows = sorted(rows, key=lambda row: row["id"])
        self.gold = np.array([int(row["gold"]) for row in rows])
        self.base, self.tuned = (
            np.array([[*map(float, r[arm].split(";"))] for r in rows]) for arm in ("base", "tuned")
        )
        self.n, self.labels = self.base.shape
        self.units = [row["cluster"] or row["id"] for row in rows]

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


def by_unit(values: NDArray[np.float64], units: list[str]) -> NDArray[np.float64]:
    """Return (units,): the sum of the values of each unit's items."""
    return np.array([values[[unit == name for unit in units]].sum() for name in dict.fromkeys(units)])


def effective(values: NDArray[np.float64], units: list[str]) -> float:
    """Return the effective number of pairs of outcomes (items, languages), as docs/statistics.md says it."""
    sums = by_unit((values - values.mean(0)).sum(1), units) / values.size
    count, outcomes = len(sums), values.size
    variance = (sums**2).sum() * count / (count - 1) * (outcomes - 1) / outcomes
    changed, value = np.abs(values).mean(), values.mean()
    shared = max(count * variance / (changed - value**2), count / outcomes)
    return float(count * (outcomes * changed + 1) / (outcomes * changed * shared + 1))


def scored(values: NDArray[np.float64], units: list[str]) -> tuple[float, float]:
    """Return the interval of a mean change: the score test solved for each end, its likelihood maximized by scipy."""
    pairs, t = effective(values, units), stats.t.ppf(0.975, len(set(units)) - 1)

    def lower(fixed: float, broken: float) -> float:
        def excess(delta: float) -> float:
            def surprise(q: float) -> float:
                chances = np.maximum([q + delta, q, 1 - 2 * q - delta], 1e-300)
                return -float(np.log(chances) @ [fixed, broken, 1 - fixed - broken])

            bounds = (max(0.0, -delta), (1 - delta) / 2)
            q = optimize.minimize_scalar(surprise, bounds=bounds, options={"xatol": 1e-11}).x
            law = stats.rv_discrete(values=([-1, 0, 1], [q, 1 - 2 * q - delta, q + delta]))
            skew = float(law.stats(moments="s")) / np.sqrt(pairs)
            distance = (fixed - broken - delta - 0.5 / pairs) / np.sqrt(law.var() / pairs)
            return float(distance - t - skew * (t**2 - 1) / 6)

        return float(optimize.brentq(excess, -0.99, fixed - broken - 1e-6, xtol=1e-8))

    fixed, broken = np.maximum(values, 0).mean(), np.maximum(-values, 0).mean()
    return lower(fixed, broken), -lower(broken, fixed)


CLOSE = 2e-5
"""Two solvers of the same equations differ by less."""


def test_accuracy_and_its_interval(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    for row in tables["gains"]:
        cell = cells[row["task"], row["language"]]
        assert float(row["chance"]) == 1 / cell.labels
        assert [*map(float, row["gold"].split(";"))] == pytest.approx(np.bincount(cell.gold) / cell.n)
        for arm in ("base", "tuned"):
            scores = getattr(cell, arm)
            right = int(cell.hits(scores).sum())
            interval = stats.binomtest(right, cell.n).proportion_ci(method="wilson")
            assert float(row[f"{COLUMNS[arm]}_score"]) == pytest.approx(right / cell.n)
            if row["task"] == "sentiment":
                assert ends(row, f"{COLUMNS[arm]}_score") == pytest.approx((interval.low, interval.high))
            else:
                rarer = 1 - cell.hits(scores) if right > cell.n / 2 else cell.hits(scores)
                wide, narrow = (stats.t.ppf(0.975, count - 1) for count in (len(set(cell.units)), cell.n))
                items = effective(rarer[:, None], cell.units) * (narrow / wide) ** 2
                expected = proportion_confint(right / cell.n * items, items, method="wilson")
                assert ends(row, f"{COLUMNS[arm]}_score") == pytest.approx(expected)
            assert float(row[f"{COLUMNS[arm]}_centered"]) == pytest.approx(cell.centered(scores))
            chosen = np.bincount(scores.argmax(1), minlength=cell.labels) / cell.n
            assert [*map(float, row[f"{COLUMNS[arm]}_chosen"].split(";"))] == pytest.approx(chosen)
            assert int(row[f"{COLUMNS[arm]}_ties"]) == sum(max(own) == sorted(own)[-2] for own in scores.tolist())


def test_auc(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    for row in tables["gains"]:
        cell = cells[row["task"], row["language"]]
        for arm in ("base", "tuned"):
            scores, areas = getattr(cell, arm), []
            for label in range(cell.labels):
                margin = scores[:, label] - special.logsumexp(np.delete(scores, label, axis=1), axis=1)
                yes, no = margin[cell.gold == label], margin[cell.gold != label]
                areas.append(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))
            assert float(row[f"{COLUMNS[arm]}_auc"]) == pytest.approx(np.mean(areas))
            assert ends(row, f"{COLUMNS[arm]}_auc")[0] < np.mean(areas) < ends(row, f"{COLUMNS[arm]}_auc")[1]


def test_differences_their_tests_and_what_they_could_show(
    tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]
):
    p_values = []
    for row in tables["gains"]:
        cell = cells[row["task"], row["language"]]
        fixed, broken = int((cell.difference > 0).sum()), int((cell.difference < 0).sum())
        assert (int(row["fixed"]), int(row["broken"])) == (fixed, broken)
        p_values.append(float(row["p"]))
        if row["task"] == "sentiment":
            assert p_values[-1] == pytest.approx(stats.binomtest(fixed, fixed + broken).pvalue)
        else:
            assert p_values[-1] == pytest.approx(flipped(by_unit(cell.difference, cell.units)), abs=0.03)
        assert float(row["difference"]) == pytest.approx((fixed - broken) / cell.n)
        values = cell.difference[:, None]
        assert ends(row, "difference") == pytest.approx(scored(values, cell.units), abs=CLOSE)
        assert int(row["difference_n"]) == len(set(cell.units))
        assert row["possible_harm"] == str(float(row["difference_high"]) < 0).lower()
        needed = detectable(values, cell.units, 0.05 / len(tables["gains"]))
        assert float(row["minimum_detectable"]) == pytest.approx(needed, abs=1e-6)
    order, worst = np.argsort(p_values), 0.0
    for step, place in enumerate(order):  # Holm
        worst = max(worst, min(1.0, (len(order) - step) * p_values[place]))
        assert float(tables["gains"][place]["p_adjusted"]) == pytest.approx(worst)


def flipped(nets: NDArray[np.float64]) -> float:
    """Return the p of turning the signs of whole units at random."""
    signs = np.random.default_rng(0).choice([-1, 1], size=(10_000, len(nets)))
    return float((np.abs(signs @ nets) >= abs(nets.sum())).mean())


def detectable(values: NDArray[np.float64], units: list[str], alpha: float) -> float:
    pairs, share = effective(values, units), np.abs(values).mean()
    return float(optimize.brentq(lambda gain: shortfall(gain, share, pairs, alpha), 1e-9, 1))


def shortfall(gain: float, discordance: float, n: float, alpha: float) -> float:
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
        assert float(row["label_prior"]) == pytest.approx(float(row["difference"]) - discrimination)
    row = tables["gains"][0]
    cell = cells[row["task"], row["language"]]

    def split(rows: NDArray[np.int_]) -> float:
        drawn = [(arm[rows] - arm[rows].mean(0)).argmax(1) == cell.gold[rows] for arm in (cell.base, cell.tuned)]
        return float(drawn[1].mean() - drawn[0].mean())

    options = {"n_resamples": 2000, "method": "percentile", "rng": 1, "vectorized": False}
    low, high = stats.bootstrap((np.arange(cell.n),), split, **options).confidence_interval
    found = ends(row, "discrimination")
    assert 0.75 < (found[1] - found[0]) / (high - low) < 1.1
    assert found == pytest.approx((low, high), abs=0.04)


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
            values = np.column_stack([own[code].difference for code in codes])
            assert float(row[name]) == pytest.approx(values.mean())
            assert ends(row, name) == pytest.approx(scored(values, own["en"].units), abs=CLOSE)
        unseen = np.column_stack([own[code].difference for code in groups["unseen"]])
        assert float(row["minimum_detectable"]) == pytest.approx(detectable(unseen, own["en"].units, 0.05), abs=1e-6)
        worst = min(own, key=lambda code: own[code].difference.mean())
        assert (row["worst_language"], float(row["worst"])) == (worst, own[worst].difference.mean())
        gains = [g for g in tables["gains"] if g["task"] == row["task"]]
        assert float(row["worst_low"]) == min(float(g["difference_low"]) for g in gains)
        for part in ("discrimination", "label_prior"):
            mean = np.mean([float(g[part]) for g in gains if g["language"] in groups["unseen"]])
            assert float(row[part]) == pytest.approx(mean)
        by_language = [own[code].difference.mean() for code in groups["unseen"]]
        assert float(row["unseen_general"]) == pytest.approx(np.mean(by_language))
        low, high = stats.t.interval(0.95, len(by_language) - 1, scale=stats.sem(by_language))
        over_items, middle = scored(unseen, own["en"].units), np.mean(by_language)
        expected = middle - np.hypot(middle - over_items[0], low), middle + np.hypot(over_items[1] - middle, high)
        assert ends(row, "unseen_general") == pytest.approx(expected, abs=CLOSE)


def test_the_splits(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    assert {row["by"] for row in tables["splits"]} == {"tier", "script", "family"}
    for row in tables["splits"]:
        codes = row["languages"].split(";")
        assert {getattr(get_language(code), row["by"]) for code in codes} == {row["name"]}
        own = [cells[row["task"], code] for code in codes]
        values = np.column_stack([cell.difference for cell in own])
        assert float(row["difference"]) == pytest.approx(values.mean())
        assert ends(row, "difference") == pytest.approx(scored(values, own[0].units), abs=CLOSE)


def test_the_verdicts_follow_from_the_numbers(tables: dict[str, list[Row]]):
    for name, column in (("gains", "difference"), ("summary", "unseen")):
        for row in tables[name]:
            low, high = ends(row, column)
            significant = name == "summary" or float(row["p_adjusted"]) < 0.05
            rules = (
                ("equivalent", low >= -0.02 and high <= 0.02),
                ("improved", significant and low > 0),
                ("harmed", significant and high < 0),
                ("inconclusive", True),
            )
            assert row["verdict"] == next(word for word, holds in rules if holds)


def test_one_wrong_score_is_noticed(tables: dict[str, list[Row]], cells: dict[tuple[str, str], Cell]):
    """The broken twin: a reader whose one label is shifted in one cell finds other numbers."""
    row, cell = tables["gains"][0], cells["sentiment", "en"]
    shifted = cell.base + np.array([0.5, 0.0])
    assert float(row["reference_score"]) != pytest.approx(cell.hits(shifted).mean())
