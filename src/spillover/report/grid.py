"""The report of a grid: one self-contained page with links to each run's, and its tables and pictures as files.

Pure: findings in, contents of files out. Every text of the findings is untrusted, as on a run's page.
"""

from collections import Counter

from spillover.records import BestMixture, SweepFindings, TransferMatrix
from spillover.report.figures.transfer import budget, transfer
from spillover.report.run import Content, Section, pictures, render_page
from spillover.report.tables.table import FORMATS
from spillover.report.tables.transfer import TABLES, long, over, titled
from spillover.utils.formatting import with_interval

STATES = {"done": "finished", "failed": "failed", "queued": "not run yet"}
"""State of an experiment → how readers are told of it."""


def render(findings: SweepFindings) -> dict[str, Content]:
    """Return every file of the report: its path within the report's folder → its content."""
    figures = {"transfer": transfer(findings), "budget": budget(findings)}
    tables = {name: made for name, make in TABLES.items() if (made := make(findings))}
    contents: dict[str, Content] = {
        f"tables/{name}.{ending}": write(made) for name, made in tables.items() for ending, write in FORMATS.items()
    }
    contents |= {"tables/gains.csv": long(findings)} | pictures(figures.values(), findings.name)
    files = {name: tuple(path for path in contents if path.startswith(f"tables/{name}.")) for name in tables}
    files["transfer"] = (*files.get("transfer", ()), "tables/gains.csv")
    sections = [
        Section(name, figure, tuple(tables[name]), files[name]) for name, figure in figures.items() if figure.plots
    ]
    found = Counter(standing.state for standing in findings.standings)
    page = render_page(
        "grid.html.j2",
        sections,
        ("page.js",),
        findings=findings,
        tables=tables,
        files=files,
        counts=", ".join(f"{found[state]} {words}" for state, words in STATES.items() if found[state]),
        headlines=headlines(findings),
    )
    return {"index.html": page} | contents


def headlines(findings: SweepFindings) -> list[str]:
    """Return a sentence for each matrix, and for each best mixture what it gains where it was not chosen."""
    found = []
    for matrix in findings.matrices:
        means = [row.new for row in matrix.rows if row.new]
        if means:
            up, down = sum(mean.low > 0 for mean in means), sum(mean.high < 0 for mean in means)
            found.append(
                f"{titled(matrix)}: over {over(matrix).partition(' (')[0]}, {up or 'none'} of "
                f"{len(means)} mixtures {'gains' if up < 2 else 'gain'} and {down or 'none'} "
                f"{'loses' if down < 2 else 'lose'}; an interval that includes zero is neither."
            )
        found += [_chosen(matrix, choice) for choice in matrix.choices]
    return found


def _chosen(matrix: TransferMatrix, choice: BestMixture) -> str:
    alike = choice.otherwise == choice.chosen
    return (
        f"{titled(matrix)}: of {choice.candidates} mixtures of {choice.budget} language{'s' * (choice.budget != 1)} "
        f"{choice.chosen} was chosen on half of the items; on the other half it gains {with_interval(choice.held_out)} "
        f"points, and that half would have chosen {'it too' if alike else choice.otherwise}."
    )
