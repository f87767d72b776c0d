"""The findings of a run as tables: the paper's layout, gains per language, summaries per task, the terminal's text.

Pure: findings in, tables and texts out. `tables.table` draws them.
"""

import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from spillover.languages import get_language, languages
from spillover.records import ARMS, ArmMetrics, Comparison, Findings, Gain
from spillover.report.tables import geometry
from spillover.report.tables.cost import characters, cost
from spillover.report.tables.interpretability import latent, lens, neurons, patches
from spillover.report.tables.lint import doctor, pairs
from spillover.report.tables.table import Table, terminal
from spillover.report.tables.tuning import forgetting, training, translations
from spillover.utils.formatting import MINUS, percent, points, with_interval

BLOCK = 10
"""Languages per row of the paper's tables: first its high-resource languages, then the others."""

PUBLISHED = {"sentiment": ("table1", "Mistral-7B-v0.1"), "entailment": ("table3", "Qwen1.5-14B")}
"""Task → the paper's table with a column per language, and the table's model."""

GROUPS = {"unseen": "not tuned on", "tuned": "tuned on", "pivot": "pivot"}
"""Group of a gain → its name for readers."""


def by_task(comparison: Comparison) -> list[tuple[str, list[Gain]]]:
    """Return each task, in the comparison's order, with its gains."""
    names = dict.fromkeys(gain.task for gain in comparison.gains)
    return [(name, [gain for gain in comparison.gains if gain.task == name]) for name in names]


def main(findings: Findings) -> list[Table]:
    """Return the paper's layout per task: ten languages a table; base and tuned in percent, difference in points.

    The better of base and tuned is bold. If the paper has the same mixture for the task, its rows follow.
    """
    tables = []
    for task, block in blocks(findings.comparison):
        paper = _published(task, findings)
        rows = [
            ("base", *(percent(gain.base.accuracy.value) for gain in block)),
            ("tuned", *(percent(gain.tuned.accuracy.value) for gain in block)),
            ("difference", *(points(gain.difference.value) for gain in block)),
            *_paper_rows(paper, block),
        ]
        better = [
            (arm, column)
            for column, gain in enumerate(block, start=1)
            for arm, metrics, rival in ((0, gain.base, gain.tuned), (1, gain.tuned, gain.base))
            if metrics.accuracy.value >= rival.accuracy.value
        ]
        caption = f"{task}: accuracy in percent, {findings.setup.model} tuned on {findings.setup.mixture}"
        if paper:
            caption += f" (our prompts); below, the paper's {PUBLISHED[task][1]}, tuned on this task's questions"
        header = ("", *(gain.language for gain in block))
        tables.append(Table(f"{caption}.", header, tuple(rows), bold=frozenset(better)))
    return tables


def blocks(comparison: Comparison) -> Iterator[tuple[str, list[Gain]]]:
    """Yield each task's gains in the paper's rows of ten languages, without empty rows."""
    row = {code: place // BLOCK for place, code in enumerate(languages())}
    for task, gains in by_task(comparison):
        for _, block in groupby(gains, key=lambda gain: row[gain.language]):
            yield task, list(block)


@cache
def _paper() -> dict[str, Any]:
    return tomllib.loads(files("spillover.data").joinpath("published.toml").read_text(encoding="utf-8"))


def _published(task: str, findings: Findings) -> dict[str, tuple[float, float]] | None:
    """Return language → the paper's accuracy of base and tuned in percent; None if it has no such run.

    Such a run has the same mixture, is tuned on this task's questions, and asks for English labels.
    """
    setup = findings.setup
    if task not in PUBLISHED or task != setup.question_task or setup.labels != "english":
        return None
    table = _paper()[PUBLISHED[task][0]]
    if setup.mixture not in table:
        return None
    pairs = zip(table["base"], table[setup.mixture], strict=True)
    return dict(zip(_paper()["setup"]["languages"], pairs, strict=True))


def _paper_rows(paper: dict[str, tuple[float, float]] | None, block: Sequence[Gain]) -> Iterator[tuple[str, ...]]:
    if paper is None:
        return
    shown = [paper[gain.language] for gain in block]
    yield ("paper base", *(f"{base:.1f}" for base, _ in shown))
    yield ("paper tuned", *(f"{tuned:.1f}" for _, tuned in shown))
    yield ("paper difference", *(points((tuned - base) / 100) for base, tuned in shown))


def summary(findings: Findings) -> list[Table]:
    """Return a row per task: the mean difference over languages not tuned on, tuned on and all, in points."""
    rows = [
        (s.task, with_interval(s.unseen), with_interval(s.tuned), with_interval(s.overall), s.verdict or "no verdict")
        for s in findings.comparison.summaries
    ]
    caption = "Mean difference (tuned − base) in points, with 95% intervals."
    return [Table(caption, ("task", "not tuned on", "tuned on", "all languages", "verdict"), tuple(rows))]


def gains(findings: Findings) -> list[Table]:
    """Return a table per task with a row per language, the largest gain first: the numbers of the forest plot."""
    header = (
        *("language", "group", "base", "tuned", "difference", "verdict"),
        *("fixed / broken", "p", "detectable", "discrimination", "label prior"),
    )
    caption = (
        f"gains in points, largest first. p: McNemar's test, corrected ({findings.comparison.correction}). Detectable: "
        "the smallest gain that these items show with 80% power. The gain is the sum of discrimination and label prior."
    )
    return [
        Table(
            f"{task}: {caption}",
            header,
            tuple(_gain_row(gain) for gain in sorted(gains, key=lambda gain: gain.difference.value, reverse=True)),
            keys=2,
        )
        for task, gains in by_task(findings.comparison)
    ]


def _gain_row(gain: Gain) -> tuple[str, ...]:
    return (
        get_language(gain.language).name,
        GROUPS[gain.group],
        percent(gain.base.accuracy.value),
        percent(gain.tuned.accuracy.value),
        with_interval(gain.difference),
        f"{gain.verdict}{' (possible harm)' if gain.possible_harm else ''}",
        f"{gain.fixed} / {gain.broken}",
        f"{gain.p_adjusted:.3f}",
        f"{100 * gain.minimum_detectable:.1f}",
        with_interval(gain.discrimination, "withheld"),
        with_interval(gain.label_prior, "withheld"),
    )


def accuracy(findings: Findings) -> list[Table]:
    """Return a table per task with a row per language: accuracy, raw and calibrated; AUC; labels chosen; near ties."""
    columns = ("accuracy", "centered", "contextual", "per token", "AUC", "labels chosen", "close")
    header = ("language", "items", *(f"{column}, {arm}" for arm in ARMS for column in columns))
    return [
        Table(
            f"{task}: accuracy in percent with its 95% interval; chance is {percent(gains[0].chance)}"
            f"{_unbalanced(gains)}. "
            "Centered: after centering each label. Contextual: after contextual calibration. Per token: by "
            "log-probability per token. AUC: macro AUC in percent; chance is 50. Labels chosen: shares in the task's "
            "order. Close: items whose two best labels are within 0.05 nats; half precision may order them otherwise.",
            header,
            tuple(
                (get_language(gain.language).name, str(gain.n), *_arm(gain.base, gain), *_arm(gain.tuned, gain))
                for gain in gains
            ),
        )
        for task, gains in by_task(findings.comparison)
    ]


def _unbalanced(gains: Sequence[Gain]) -> str:
    """Return the accuracy of always giving the most frequent label, if the golds are unbalanced."""
    shares = [max(gain.gold) for gain in gains if gain.discrimination is None]
    return f"; always giving the most frequent label: up to {percent(max(shares))}" if shares else ""


def _arm(arm: ArmMetrics, gain: Gain) -> tuple[str, ...]:
    accuracy = f"{percent(arm.accuracy.value)} [{percent(arm.accuracy.low)}, {percent(arm.accuracy.high)}]"
    auc = percent(arm.auc.value) if arm.auc else MINUS
    contextual, normalized = (percent(e.value) if e else MINUS for e in (arm.contextual, arm.per_token))
    chosen = " / ".join(percent(share) for share in arm.chosen)
    # Centering and the discrimination part both suppose balanced golds.
    centered = "withheld" if gain.discrimination is None else percent(arm.centered.value)
    return accuracy, centered, contextual, normalized, auc, chosen, str(arm.near_ties)


def splits(findings: Findings) -> list[Table]:
    """Return a row per task and property: the mean difference over the unseen languages that share the property."""
    rows = [
        (summary.task, split.by, split.name, with_interval(split.difference), ", ".join(split.languages))
        for summary in findings.comparison.summaries
        for split in summary.by_property
    ]
    caption = "Mean difference over the languages not tuned on that share a property, in points."
    header = ("task", "by", "which", "difference", "languages")
    return [Table(caption, header, tuple(rows), keys=3)] if rows else []


TABLES: dict[str, Callable[[Findings], list[Table]]] = {
    "main": main,
    "summary": summary,
    "gains": gains,
    "splits": splits,
    "accuracy": accuracy,
    "lens": lens,
    "geometry": geometry.geometry,
    "latent": latent,
    "neurons": neurons,
    "patches": patches,
    "training": training,
    "translations": translations,
    "forgetting": forgetting,
    "doctor": doctor,
    "pairs": pairs,
    "cost": cost,
    "characters": characters,
}
"""Name of the files → the function that makes their tables; no table if there are no findings for it."""


def summary_text(findings: Findings) -> RenderableType:
    """Return the text of a terminal at the end of a run: main table, means, and the verdict of each task."""
    parts: list[RenderableType] = []
    for caption, tables in groupby((*main(findings), *summary(findings)), key=lambda table: table.caption):
        parts += [Text(caption, style="bold"), *(part for table in tables for part in (terminal(table), Text()))]
    parts += [Text(summary.sentence) for summary in findings.comparison.summaries]
    parts += [Text(findings.comparison.sentence, style="bold")]
    parts += [
        Text(f"{items.task}: the {items.language} items were machine-translated by {items.translator}")
        for items in findings.data.translated
    ]
    return Group(*parts)
