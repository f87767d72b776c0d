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

from spillover.languages import languages
from spillover.records import Comparison, Findings, Gain, NextStep
from spillover.report.tables import folded_geometry, geometry
from spillover.report.tables.cost import characters, cost, license_terms
from spillover.report.tables.fertility import fertility
from spillover.report.tables.gains import accuracy, arms, by_task, gains, lengths, splits, summary, unit
from spillover.report.tables.interpretability import latent, lens, patches
from spillover.report.tables.lint import doctor, pairs, quality
from spillover.report.tables.neurons import deactivations, neurons, overlaps
from spillover.report.tables.prompts import prompts
from spillover.report.tables.table import Table, terminal
from spillover.report.tables.treatment import alignment, dose, parts, treatment
from spillover.report.tables.tuning import forgetting, training, translations
from spillover.utils.formatting import percent, points

BLOCK = 10
"""Languages per row of the paper's tables: first its high-resource languages, then the others."""

PUBLISHED = {"sentiment": ("table1", "Mistral-7B-v0.1"), "entailment": ("table3", "Qwen1.5-14B")}
"""Task → the paper's table with a column per language, and the table's model."""


def main(findings: Findings) -> list[Table]:
    """Return the paper's layout per task: ten languages a table; two arms in percent, their difference in points.

    They are the arms of the primary comparison; the better one is bold. If the paper has the same mixture for the task,
    its rows follow.
    """
    tables, comparison = [], findings.comparisons[0]
    for task, block in blocks(comparison):
        paper = _published(task, block, findings)
        rows = [
            (comparison.reference, *(percent(gain.reference.score.value) for gain in block)),
            (comparison.arm, *(percent(gain.arm.score.value) for gain in block)),
            ("difference", *(points(gain.difference.value) for gain in block)),
            *_paper_rows(paper, block),
        ]
        better = [
            (arm, column)
            for column, gain in enumerate(block, start=1)
            for arm, metrics, rival in ((0, gain.reference, gain.arm), (1, gain.arm, gain.reference))
            if metrics.score.value >= rival.score.value
        ]
        caption = f"{task}: {unit(block)} in percent, {findings.setup.model}"
        if findings.setup.mixture:
            caption += f" tuned on {findings.setup.mixture}"
        if paper:
            caption += f" (our prompts); below, the paper's {PUBLISHED[task][1]}, tuned on this task's questions"
        header = ("", *(gain.language for gain in block))
        tables.append(Table(f"{caption}.", header, tuple(rows), bold=frozenset(better)))
    return tables


def blocks(comparison: Comparison) -> Iterator[tuple[str, list[Gain]]]:
    """Yield each task's gains in the paper's rows of ten languages, without empty rows."""
    for task, members in by_task(comparison):
        row = table_rows([gain.language for gain in members])
        for _, block in groupby(members, key=lambda gain: row[gain.language]):
            yield task, list(block)


def table_rows(codes: Sequence[str]) -> dict[str, int]:
    """Return language → the table that it stands in: the paper's two tables of ten, then tens of the others."""
    places = {code: place for place, code in enumerate(languages())}
    others = [code for code in codes if code not in places]
    places |= {code: place for place, code in enumerate(others, start=BLOCK * -(-len(places) // BLOCK))}
    return {code: places[code] // BLOCK for code in codes}


@cache
def _paper() -> dict[str, Any]:
    return tomllib.loads(files("spillover.data").joinpath("published.toml").read_text(encoding="utf-8"))


def _published(task: str, block: Sequence[Gain], findings: Findings) -> dict[str, tuple[float, float]] | None:
    """Return language → the paper's accuracy of base and tuned in percent; None if it has no such run.

    Such a run has the same mixture, is tuned on this task's questions, asks for English labels, and has the block's
    languages.
    """
    setup = findings.setup
    if task not in PUBLISHED or task != setup.question_task or setup.labels != "english":
        return None
    table = _paper()[PUBLISHED[task][0]]
    if setup.mixture not in table:
        return None
    pairs = zip(table["base"], table[setup.mixture], strict=True)
    paper = dict(zip(_paper()["setup"]["languages"], pairs, strict=True))
    return paper if all(gain.language in paper for gain in block) else None


def _paper_rows(paper: dict[str, tuple[float, float]] | None, block: Sequence[Gain]) -> Iterator[tuple[str, ...]]:
    if paper is None:
        return
    shown = [paper[gain.language] for gain in block]
    yield ("paper base", *(f"{base:.1f}" for base, _ in shown))
    yield ("paper tuned", *(f"{tuned:.1f}" for _, tuned in shown))
    yield ("paper difference", *(points((tuned - base) / 100) for base, tuned in shown))


TABLES: dict[str, Callable[[Findings], list[Table]]] = {
    "main": main,
    "summary": summary,
    "arms": arms,
    "gains": gains,
    "splits": splits,
    "fertility": fertility,
    "accuracy": accuracy,
    "lengths": lengths,
    "lens": lens,
    "geometry": geometry.geometry,
    "geometry-means": folded_geometry.means,
    "geometry-languages": folded_geometry.languages,
    "latent": latent,
    "neurons": neurons,
    "overlaps": overlaps,
    "deactivations": deactivations,
    "patches": patches,
    "training": training,
    "treatment": treatment,
    "dose": dose,
    "alignment": alignment,
    "translations": translations,
    "parts": parts,
    "forgetting": forgetting,
    "prompts": prompts,
    "doctor": doctor,
    "pairs": pairs,
    "quality": quality,
    "cost": cost,
    "characters": characters,
    "licenses": license_terms,
}
"""Name of the files → the function that makes their tables; no table if there are no findings for it."""


def summary_text(findings: Findings) -> RenderableType:
    """Return the text of a terminal at the end of a run: main table, means, verdicts, next steps."""
    parts: list[RenderableType] = []
    shown = (*main(findings), *summary(findings), *arms(findings))
    for caption, tables in groupby(shown, key=lambda table: table.caption):
        parts += [Text(caption, style="bold"), *(part for table in tables for part in (terminal(table), Text()))]
    if findings.treatment:
        parts += [Text(findings.treatment.sentence, style="bold" if findings.treatment.took is False else "")]
    for comparison in findings.comparisons[::-1]:  # the primary one last, where a reader looks first
        versus = [] if comparison is findings.comparisons[0] else [Text(f"{comparison.arm} − {comparison.reference}:")]
        parts += [*versus, *(Text(summary.sentence) for summary in comparison.summaries)]
    parts += [Text(findings.comparisons[0].sentence, style="bold")]
    parts += [
        Text(f"{items.task}: the {items.language} items were machine-translated by {items.translator}")
        for items in findings.data.translated
    ]
    parts += [Text(f"Next: {step.text}{_command(step)}") for step in findings.next_steps]
    return Group(*parts)


def _command(step: NextStep) -> str:
    return f" spillover {step.command}" if step.command else ""
