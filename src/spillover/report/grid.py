"""The report of a grid: one self-contained page with links to the pages of its runs; tables and pictures as files.

Pure: findings in, contents of files out. Every text of the findings is untrusted, as on a run's page.
"""

from collections import Counter
from collections.abc import Sequence

from spillover.records import BestMixture, Estimate, SweepFindings, TransferMatrix
from spillover.report.figures.transfer import budget, transfer
from spillover.report.run import Content, Section, chart_texts, pictures, render_page
from spillover.report.tables.table import FORMATS
from spillover.report.tables.transfer import TABLES, gains_csv, languages_compared, titled
from spillover.utils.formatting import plural, with_interval

STATES = {"done": "finished", "failed": "failed", "queued": "not run yet"}
"""State of an experiment → its name for readers."""


def render(findings: SweepFindings) -> dict[str, Content]:
    """Return path → content of every file of the report; paths are within the report's folder."""
    figures = {"transfer": transfer(findings), "budget": budget(findings)}
    tables = {name: made for name, make in TABLES.items() if (made := make(findings))}
    contents: dict[str, Content] = {
        f"tables/{name}.{ending}": write(made) for name, made in tables.items() for ending, write in FORMATS.items()
    }
    contents |= {"tables/gains.csv": gains_csv(findings)} | pictures(figures.values(), findings.name)
    files = {name: tuple(path for path in contents if path.startswith(f"tables/{name}.")) for name in tables}
    files["transfer"] = (*files.get("transfer", ()), "tables/gains.csv")
    sections = [
        Section(name, figure, tuple(tables[name]), files[name]) for name, figure in figures.items() if figure.plots
    ]
    counts = Counter(standing.state for standing in findings.experiments)
    charts = {name: chart for section in sections for name, chart in chart_texts(section.figure).items()}
    page = render_page(
        "grid.html.j2",
        sections,
        charts,
        ("page.js",),
        findings=findings,
        tables=tables,
        files=files,
        states=STATES,
        counts=", ".join(f"{counts[state]} {name}" for state, name in STATES.items() if counts[state]),
        headlines=headlines(findings),
    )
    return {"index.html": page} | contents


def headlines(findings: SweepFindings) -> list[str]:
    """Return the page's first sentences: per matrix its gains and losses, and per best mixture its held-out gain."""
    sentences = []
    for matrix in findings.matrices:
        means = [row.new for row in matrix.rows if row.new]
        if means:
            sentences.append(_gains_and_losses(matrix, means))
        sentences += [_chosen(matrix, choice) for choice in matrix.choices]
    return sentences


def _gains_and_losses(matrix: TransferMatrix, means: Sequence[Estimate]) -> str:
    gaining, losing = sum(mean.low > 0 for mean in means), sum(mean.high < 0 for mean in means)
    return (
        f"{titled(matrix)}: over {languages_compared(matrix).partition(' (')[0]}, {gaining or 'none'} of "
        f"{plural(len(means), 'mixture')} {'gains' if gaining < 2 else 'gain'} and {losing or 'none'} "
        f"{'loses' if losing < 2 else 'lose'}. A mixture whose interval includes zero counts as neither."
    )


def _chosen(matrix: TransferMatrix, choice: BestMixture) -> str:
    other_half = "the same" if choice.other_half_choice == choice.chosen else choice.other_half_choice
    return (
        f"{titled(matrix)}: {choice.chosen} is the best of {plural(choice.candidates, 'mixture')} of "
        f"{plural(choice.budget, 'language')}, chosen on half of the items. On the other half it gains "
        f"{with_interval(choice.held_out)} points; that half would have chosen {other_half}."
    )
