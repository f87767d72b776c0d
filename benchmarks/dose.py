"""What question translation does after each number of steps, against a control: a table and a picture.

    python benchmarks/dose.py EXAMPLE RUNS NAME     # examples/sentiment-dose.toml runs/sentiment-dose sentiment-dose

Reads the probes of the finished experiments of a sweep over two mixtures, the treatment first, with one seed. Writes
docs/results/NAME.csv and docs/NAME.svg, and prints the table. Both mixtures begin with the same model. A probe has few
items, and a change is paired by item: an item counts once, with its mean over languages. So the intervals say what
other items would change, and not what another tuning would.
"""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import altair as alt
import numpy as np

from spillover.analysis.statistics.paired import mean_change, unbounded_mean
from spillover.experiment import load_experiment
from spillover.models.tuning.history import read_history
from spillover.records import Estimate, Probe
from spillover.report.figures.charts import BLUE, GRAY, ORANGE, Datum
from spillover.sweep import load_grid
from spillover.utils.formatting import change_with_interval

DOCS = Path(__file__).parents[1] / "docs"

Probes = tuple[Probe, ...]

MEASURES = ("gold margin", "accuracy")
"""In nats and in points; the first is primary."""

GROUPS = {"unseen": "never tuned on", "tuned": "tuned on"}
"""Group of languages, a field of a probe → its name."""


def read(example: Path, sweep: Path) -> dict[str, Probes]:
    """Return mixture → its probes, in the order of the example."""
    order = [trial.experiment.mixture_name for trial in load_grid(example)]
    folders = [path.parent for path in sweep.glob("*/done.json")]
    probes = {
        load_experiment(folder / "experiment.toml").mixture_name: read_history(folder / "adapter").probes
        for folder in folders
    }
    return {mixture: probes[mixture] for mixture in order}


def change(before: Probe, after: Probe, group: str, measure: str) -> Estimate:
    """Return the mean change of a group of languages, with the intervals that the page has."""
    if measure == "accuracy":
        hits = np.array(getattr(after, group)) - np.array(getattr(before, group))
        result = mean_change(hits[:, None]).estimate()
        return Estimate(100 * result.value, 100 * result.low, 100 * result.high, result.n)
    margins = np.array(getattr(after, f"{group}_margins")) - np.array(getattr(before, f"{group}_margins"))
    return unbounded_mean(margins[:, None])[0]


def rows(mixtures: Mapping[str, Probes], group: str, measure: str) -> Iterator[tuple[str, int, Estimate]]:
    """Yield name, step and change since the first probe: of each mixture, then of the first less the second."""
    for mixture, (start, *later) in mixtures.items():
        for probe in later:
            yield mixture, probe.step, change(start, probe, group, measure)
    first, second = mixtures.values()
    for one, other in zip(first[1:], second[1:], strict=True):
        yield "difference", one.step, change(other, one, group, measure)


def table(mixtures: Mapping[str, Probes]) -> str:
    """Return a Markdown table: a row per probe, with the changes in languages never tuned on."""
    first, second = mixtures.values()
    heads = [f"{measure}, {name}" for measure in MEASURES for name in (*mixtures, "difference")]
    lines = [f"| step | {' | '.join(f'chrF, {name}' for name in mixtures)} | {' | '.join(heads)} |"]
    lines.append(f"|--:|{'--:|' * (len(mixtures) + len(heads))}")
    cells: dict[int, list[str]] = {}
    for measure in MEASURES:
        for _, step, result in rows(mixtures, "unseen", measure):
            cells.setdefault(step, []).append(change_with_interval(result, 2 if measure == "gold margin" else 1))
    for one, other in zip(first, second, strict=True):
        chrf = " | ".join("" if probe.chrf is None else f"{probe.chrf:.1f}" for probe in (one, other))
        lines.append(f"| {one.step} | {chrf} | {' | '.join(cells.get(one.step, [''] * len(heads)))} |")
    return "\n".join(lines)


def write(mixtures: Mapping[str, Probes], path: Path) -> None:
    """Write a row per mixture, probe, group of languages and measure, and the differences between the mixtures."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("mixture", "step", "languages", "measure", "items", "change", "low", "high", "chrf", "loss"))
        pairs = {
            (name, probe.step): (f"{probe.chrf:.2f}", f"{probe.loss:.4f}")
            for name, probes in mixtures.items()
            for probe in probes
            if probe.chrf is not None
        }
        for group, languages in GROUPS.items():
            for measure in MEASURES:
                for name, step, result in rows(mixtures, group, measure):
                    ends = (f"{number:.4f}" for number in (result.value, result.low, result.high))
                    chrf, loss = pairs.get((name, step), ("", ""))
                    writer.writerow((name, step, languages, measure, result.n, *ends, chrf, loss))


def picture(mixtures: Mapping[str, Probes]) -> alt.HConcatChart:
    """Draw chrF, and the change of each measure in languages never tuned on, by step; a line per mixture."""
    translated: list[Datum] = [
        {"mixture": name, "step": probe.step, "value": probe.chrf}
        for name, probes in mixtures.items()
        for probe in probes
        if probe.chrf is not None
    ]
    panels = [_curves(translated, "chrF of held-out translations", list(mixtures))]
    for measure, unit in (("gold margin", "nats"), ("accuracy", "points")):
        changed: list[Datum] = [
            {"mixture": name, "step": step, "value": result.value, "low": result.low, "high": result.high}
            for name, step, result in rows(mixtures, "unseen", measure)
            if name in mixtures
        ]
        panels.append(_curves(changed, f"change of {measure}, {unit}", list(mixtures)))
    config = dict.fromkeys(("labelColor", "titleColor", "tickColor", "domainColor", "gridColor"), GRAY)
    return (
        alt.hconcat(*panels, spacing=28, background="transparent")
        .configure_axis(**config, gridOpacity=0.25, gridDash=[2, 3])
        .configure_legend(labelColor=GRAY, titleColor=GRAY, orient="top", labelLimit=300)
        .configure_view(stroke=GRAY, strokeOpacity=0.4)
    )


def _curves(data: Sequence[Datum], title: str, names: list[str]) -> alt.LayerChart:
    """Draw values by step as joined dots, with an interval where a row has one. The second line is dashed."""
    color = alt.Color("mixture:N", title=None, sort=names).scale(domain=names, range=[BLUE, ORANGE])
    dash = alt.StrokeDash("mixture:N", title=None, sort=names).scale(domain=names, range=[[1, 0], [5, 5]])
    base = alt.Chart(alt.Data(values=list(data))).encode(x=alt.X("step:Q", title="optimizer step"), color=color)
    y = alt.Y("value:Q", title=title).scale(zero=False)
    layers = [base.mark_line(strokeWidth=2, point=True, aria=False).encode(y=y, strokeDash=dash)]
    if "low" in data[0]:
        zero = alt.Chart().mark_rule(color=GRAY, strokeDash=[2, 2]).encode(y=alt.datum(0))
        layers = [zero, base.mark_rule(opacity=0.5).encode(y=alt.Y("low:Q", title=title), y2="high:Q"), *layers]
    return alt.layer(*layers, data=alt.Data(values=list(data))).properties(width=210, height=170)


def main(example: Path, sweep: Path, name: str) -> None:
    """Write the rows and the picture, print the table."""
    mixtures = read(example, sweep)
    write(mixtures, DOCS / "results" / f"{name}.csv")
    picture(mixtures).save(DOCS / f"{name}.svg")
    print(table(mixtures))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
