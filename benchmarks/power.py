"""Which endpoint shows which gain, with how many items: the power curves in docs/statistics.md.

    python benchmarks/power.py FOLDER       # five minutes; without FOLDER the figure is drawn again from the results

Simulated: 17 languages, by the size of the gain. Measured: the model organism, tuned with several doses (questions and
steps), in FOLDER, which keeps the runs. Items are drawn with replacement from those of a run, so its own gain is the
true one. Without a gain, the arms of a random half of the items are swapped. An endpoint shows a gain if its 95%
interval over the languages not tuned on lies above 0. Writes results/power.json, results/power.md and docs/power.svg.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from spillover.analysis.statistics.paired import mean_change, unbounded_mean
from spillover.experiment import load_experiment
from spillover.organism.grammar import MIRRORS, SISTERS
from spillover.pipeline import Run
from spillover.report.figures.charts import BLUE, DASHES, GRAY, GREEN, ORANGE
from spillover.stages.evaluate import by_arm
from spillover.store import Store

Array = NDArray[np.float64]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "power.svg"

ENDPOINTS = {"accuracy": BLUE, "AUC": ORANGE, "gold margin": GREEN}
"""Endpoint → its color."""

DRAWS = 400

ACCURACY = 0.7
"""Of the reference, in the simulation."""
LANGUAGES = 17
GAINS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05)
"""True gains in accuracy of the simulation; 0 gives the false alarms."""
ITEMS = (60, 150, 600)
"""Items of the simulation."""
COMMON = {"difficulty": 0.5, "change": 0.3}
"""Part of an item's difficulty, and of its change, that all its translations share."""
NEWS = {"20% of answers changed": 0.45, "5% of answers changed": 0.03}
"""How strongly tuning moves the margins: part of a margin's variance that tuning draws anew."""

DRAWN = (30, 60, 120, 240, 480)
"""Items drawn from those of the organism."""
DOSES = {
    "125 questions, 45 steps": (125, 3),
    "250 questions, 90 steps": (250, 3),
    "500 questions, 180 steps": (500, 3),
    "1,000 questions, 119 steps": (1000, 1),
    "1,000 questions, 357 steps": (1000, 3),
}
"""Dose → questions, each in two languages, and epochs."""
UNSEEN = (*SISTERS[2:], *MIRRORS)


def simulated(
    random: np.random.Generator, items: int, gain: float, news: float, languages: int = LANGUAGES
) -> tuple[Array, NDArray[np.bool_]]:
    """Return margins of `positive`, (arms, languages, items), and whether it is gold, (items,)."""

    def mixed(common: float) -> Array:
        own = random.standard_normal((languages, items))
        return np.asarray(np.sqrt(common) * random.standard_normal(items) + np.sqrt(1 - common) * own)

    difficulty, change = mixed(COMMON["difficulty"]), mixed(COMMON["change"])
    before = norm.ppf(ACCURACY) + difficulty
    after = norm.ppf(ACCURACY + gain) + np.sqrt(1 - news) * difficulty + np.sqrt(news) * change
    gold = np.arange(items) % 2 == 0
    return np.where(gold, 1, -1) * np.stack([before, after]), gold


def shown(scores: Array, gold: NDArray[np.bool_]) -> tuple[bool, ...]:
    """Return which of `ENDPOINTS` show a gain, from margins of `positive`, (arms, languages, items)."""
    margins = np.where(gold, scores, -scores)
    hits = (margins > 0).astype(float)
    return (
        mean_change((hits[1] - hits[0]).T).estimate().low > 0,
        _shows_area(scores, gold),
        unbounded_mean((margins[1] - margins[0]).T)[0].low > 0,
    )


def _shows_area(scores: Array, gold: NDArray[np.bool_]) -> bool:
    """Whether DeLong's interval of the areas' mean difference lies above 0; an item's translations are one unit."""
    ranks, positive = rankdata(scores, axis=-1), scores[..., gold]
    negative = scores[..., ~gold]
    ups = (ranks[..., gold] - rankdata(positive, axis=-1)) / negative.shape[-1]
    downs = 1 - (ranks[..., ~gold] - rankdata(negative, axis=-1)) / positive.shape[-1]
    up, down = ((part[1] - part[0]).mean(0) for part in (ups, downs))
    deviation = np.sqrt(up.var(ddof=1) / len(up) + down.var(ddof=1) / len(down))
    return bool(up.mean() > norm.ppf(0.975) * deviation)


def simulation() -> Iterator[dict[str, Any]]:
    """Yield a row per strength of tuning, number of items, gain and endpoint."""
    for strength, news in NEWS.items():
        for items in ITEMS:
            for gain in GAINS:
                random = np.random.default_rng(items)
                draws = [shown(*simulated(random, items, gain, news)) for _ in range(DRAWS)]
                for endpoint, power in zip(ENDPOINTS, np.mean(draws, axis=0), strict=True):
                    yield {
                        "panel": strength,
                        "items": items,
                        "gain": 100 * gain,
                        "endpoint": endpoint,
                        "shown": round(100 * float(power), 1),
                    }


def organism(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row per dose, number of items and endpoint, first without a gain."""
    runs = {dose: _margins(folder, *sizes) for dose, sizes in DOSES.items()}
    scores, gold = runs[next(reversed(DOSES))]
    for dose, (rows, labels) in {"arms swapped: no gain": (scores, gold), **runs}.items():
        hits = (np.where(labels, rows, -rows) > 0).mean((1, 2))
        for items in DRAWN:
            random = np.random.default_rng(items)
            draws = [shown(*_drawn(random, rows, labels, items, dose not in DOSES)) for _ in range(DRAWS)]
            for endpoint, power in zip(ENDPOINTS, np.mean(draws, axis=0), strict=True):
                yield {
                    "panel": dose,
                    "items": items,
                    "gain": round(100 * float(hits[1] - hits[0]), 1) if dose in DOSES else 0.0,
                    "endpoint": endpoint,
                    "shown": round(100 * float(power), 1),
                }


def _margins(folder: Path, questions: int, epochs: int) -> tuple[Array, NDArray[np.bool_]]:
    """Tune the organism with a dose; return what `simulated` returns."""
    languages = json.dumps(UNSEEN)
    evaluation = ['evaluate.tasks=["organism:related"]', f"evaluate.languages={languages}", "tune.translations=0"]
    changes = [f"questions.limit={questions}", f"tune.epochs={epochs}", *evaluation]
    experiment = load_experiment(ROOT / "examples" / "organism.toml", changes)
    with closing(Store(folder, f"dose-{questions}-{epochs}")) as store:
        run = Run(experiment, store)
        predictions = by_arm(run.arms, run.predictions)
    values = [
        [[row.logprobs[1] - row.logprobs[0] for row in predictions[arm] if row.language == code] for code in UNSEEN]
        for arm in ("base", "tuned")
    ]
    return np.array(values), np.array([row.gold == 1 for row in predictions["base"] if row.language == UNSEEN[0]])


def _drawn(
    random: np.random.Generator, scores: Array, gold: NDArray[np.bool_], items: int, null: bool
) -> tuple[Array, NDArray[np.bool_]]:
    drawn = random.integers(len(gold), size=items)
    swapped = random.random(items) < 0.5 if null else np.zeros(items, dtype=bool)
    return np.where(swapped, scores[::-1][..., drawn], scores[..., drawn]), gold[drawn]


def picture(results: dict[str, list[dict[str, Any]]]) -> alt.VConcatChart:
    """Draw the simulation by gain and the organism by items, on no ground of its own."""
    charts = [
        _curves(
            [{**row, "panel": f"{row['items']} items"} for row in results["simulation"] if row["panel"] == strength],
            [f"{items} items" for items in ITEMS],
            alt.X("gain:Q", title="true gain in accuracy, points"),
        ).properties(title=f"Simulated: {LANGUAGES} languages, {strength}")
        for strength in NEWS
    ]
    charts.append(
        _curves(
            [row for row in results["organism"] if row["panel"] in DOSES],
            list(DOSES),
            alt.X("items:Q", title="items").scale(type="log", domain=(DRAWN[0], DRAWN[-1])).axis(values=DRAWN),
        ).properties(title="Measured: the model organism, four languages, by dose")
    )
    config = dict.fromkeys(("labelColor", "titleColor", "tickColor", "domainColor", "gridColor"), GRAY)
    chart = alt.vconcat(*charts, spacing=28, background="transparent")
    return (
        chart.configure_axis(**config, gridOpacity=0.25, gridDash=[2, 3])
        .configure_legend(labelColor=GRAY, titleColor=GRAY, orient="top")
        .configure_header(labelColor=GRAY, titleColor=GRAY)
        .configure_title(color=GRAY)
        .configure_view(stroke=GRAY, strokeOpacity=0.4)
    )


def _curves(rows: list[dict[str, Any]], panels: list[str], x: alt.X) -> alt.FacetChart:
    """Draw a panel per value of `panel`: how often each endpoint shows the gain, with lines at 80 and 2.5%."""
    names = list(ENDPOINTS)
    y = alt.Y("shown:Q", title="draws that show it, %").scale(domain=(0, 100))
    base = alt.Chart().encode(x=x, y=y)
    color = alt.Color("endpoint:N", title=None, sort=names).scale(domain=names, range=list(ENDPOINTS.values()))
    dashes = [list(dash) for dash in DASHES[1:4]]
    dash = alt.StrokeDash("endpoint:N", title=None, sort=names).scale(domain=names, range=dashes)
    lines = base.mark_line(strokeWidth=2, point=True, aria=False).encode(color=color, strokeDash=dash)
    marks = alt.Chart().mark_rule(color=GRAY, strokeDash=[2, 2]).encode(y=alt.datum(80))
    alarm = alt.Chart().mark_rule(color=GRAY, strokeDash=[2, 2]).encode(y=alt.datum(2.5))
    facet = alt.Facet("panel:N", title=None, sort=panels)
    layers = alt.layer(marks, alarm, lines, data=alt.Data(values=rows)).properties(width=170, height=120)
    return layers.facet(facet=facet, columns=3)


def tables(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return two Markdown tables; a cell has the shares of accuracy, AUC and gold margin."""
    parts, columns = [], {"simulation": ("gain", "points"), "organism": ("items", "items")}
    for part, (key, unit) in columns.items():
        values = sorted({row[key] for row in results[part]})
        head = " | ".join(f"{value:g} {unit}" for value in values)
        lines = [f"| {part} | {head} |", f"|---|{'---|' * len(values)}"]
        names = dict.fromkeys(_row_name(row, part) for row in results[part])
        for name in names:
            cells = [
                ", ".join(f"{r['shown']:.0f}" for r in results[part] if _row_name(r, part) == name and r[key] == value)
                for value in values
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _row_name(row: dict[str, Any], part: str) -> str:
    if part == "simulation":
        return f"{row['panel']}, {row['items']} items"
    return f"{row['panel']} ({row['gain']:+.1f} points)" if row["panel"] in DOSES else row["panel"]


def main(folder: Path | None) -> None:
    """Measure if there is a folder to measure in; write the tables and the picture."""
    stored = RESULTS / "power.json"
    if folder:
        results = {"simulation": list(simulation()), "organism": list(organism(folder))}
        lines = {key: ",\n  ".join(json.dumps(row) for row in rows) for key, rows in results.items()}
        body = ",\n".join(f' "{key}": [\n  {text}\n ]' for key, text in lines.items())
        stored.write_text(f"{{\n{body}\n}}\n", encoding="utf-8")
    results = json.loads(stored.read_text(encoding="utf-8"))
    (RESULTS / "power.md").write_text(tables(results), encoding="utf-8")
    picture(results).save(PICTURE)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
