"""The report of a run: one self-contained page, and every table and picture as a file beside it.

Pure: findings in, contents of files out. Every text of the findings is untrusted. The template escapes it, and the data
of the charts can hold no tag. The page's content security policy allows the scripts of this package and nothing else.
"""

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from spillover.languages import ENGLISH, get_language, known_languages
from spillover.records import FALSE_ALARM_RATE, Comparison, Findings, Setup
from spillover.report.blocks import Block, beside, charts_beside, compact
from spillover.report.card import card
from spillover.report.chart_library import VEGA_LITE, bundle
from spillover.report.explorer import first_language, packed_explorations
from spillover.report.figures.charts import DASHES, LANGUAGE, STYLES
from spillover.report.figures.figure import Figure
from spillover.report.figures.geometry import geometry
from spillover.report.figures.run import FIGURES, for_file, for_page
from spillover.report.items import packed, packed_answers
from spillover.report.questions import questions
from spillover.report.tables.csvs import CSVS
from spillover.report.tables.folded_geometry import language_file, pair_file
from spillover.report.tables.run import TABLES
from spillover.report.tables.table import FORMATS, Table
from spillover.utils.formatting import minutes_and_seconds, nats_with_interval, plural, points, with_interval

PIXELS = 2.0
"""Resolution of PNG pictures, in pixels per pixel of the chart."""

TABLES_OF = {
    "gains": ("gains", "splits", "fertility"),
    "comparisons": ("arms",),
    "accuracy": ("accuracy", "lengths"),
    "answers": (),
    "lens": ("latent", "lens"),
    "neurons": ("neurons", "overlaps", "deactivations"),
    "patches": ("patches",),
    "geometry": ("geometry", "geometry-means", "geometry-languages", "geometry-pairs"),
    "training": ("training",),
    "dose": ("dose",),
}
"""Figure → names of the tables with its numbers."""

Content = str | bytes


@dataclass(frozen=True, slots=True)
class Section:
    """A figure with its numbers."""

    name: str
    """Name of the figure, and the anchor in the page."""
    figure: Figure
    """The figure."""
    tables: tuple[Table, ...]
    """Tables of its numbers."""
    files: tuple[str, ...]
    """Paths of the same tables as files, within the report's folder."""


def render(findings: Findings) -> dict[str, Content]:
    """Return path → content of every file of the report; paths are within the report's folder.

    `index.html` needs no other file, except the items and the explorer of a large run. The others hold its tables
    (Markdown, LaTeX, CSV), its charts and the card with the verdict (SVG, PNG).
    """
    subtitle = described(findings.setup)
    figures: dict[str, Figure] = {}
    charts: dict[str, str] = {}
    drawn: dict[str, Content] = {}
    for name, draw in (FIGURES | {"geometry": geometry}).items():
        figure = draw(findings)
        charts |= chart_texts(figure)
        drawn |= pictures([figure], subtitle)
        figures[name] = figure.without_rows()
    tables = {name: made for name, make in TABLES.items() if (made := make(findings))}
    contents = _table_files(findings, tables) | drawn | card(findings)
    sections = [
        Section(
            name=name,
            figure=figure,
            tables=tuple(table for part in TABLES_OF[name] for table in tables.get(part, ())),
            files=tuple(path for part in TABLES_OF[name] for path in _named(part, contents)),
        )
        for name, figure in figures.items()
        if figure.plots
    ]
    blocks, files_beside = beside(
        {
            "items": [*packed(findings.item_scores), *packed_answers(findings.item_answers)],
            "explorer": packed_explorations(findings),
        }
    )
    charts, chart_files = charts_beside(charts)
    loads = bool(files_beside or chart_files)
    page = _page(findings, sections, tables, tuple(contents), blocks, charts, loads)
    return {"index.html": page} | contents | files_beside | chart_files


def described(setup: Setup) -> str:
    """Return the model, and what it was tuned on."""
    return f"{setup.model}, tuned on {setup.mixture}" if setup.mixture else setup.model


def _table_files(findings: Findings, tables: Mapping[str, list[Table]]) -> dict[str, Content]:
    contents: dict[str, Content] = {}
    for name, made in tables.items():
        contents |= {f"tables/{name}.{ending}": write(made) for ending, write in FORMATS.items()}
    for name, write_csv in CSVS.items():  # a table is rounded, these are not
        text = write_csv(findings)
        has_rows = text.count("\n") > 1
        if name in tables or (name not in TABLES and has_rows):
            contents[f"tables/{name}.csv"] = text
    if findings.internals.folded_geometry:  # as CSV it would be a hundred megabytes
        contents["tables/geometry-languages.parquet"] = language_file(findings)
        contents["tables/geometry-pairs.parquet"] = pair_file(findings)
    return contents


def pictures(figures: Iterable[Figure], subtitle: str) -> dict[str, Content]:
    """Return every chart of the figures as SVG and PNG."""
    contents: dict[str, Content] = {}
    for figure in figures:
        for plot in figure.plots:
            chart = for_file(figure, plot, subtitle)
            svg = vl_convert.vegalite_to_svg(chart, vl_version=VEGA_LITE, config=STYLES["picture"])
            contents[f"figures/{plot.name}.svg"] = svg
            contents[f"figures/{plot.name}.png"] = vl_convert.svg_to_png(svg, scale=PIXELS)
    return contents


def _named(table: str, paths: Iterable[str]) -> list[str]:
    """Return the files of a table."""
    return [path for path in paths if path.startswith(f"tables/{table}.")]


def _page(
    findings: Findings,
    sections: list[Section],
    tables: Mapping[str, list[Table]],
    paths: Collection[str],
    blocks: Mapping[str, Sequence[Block]],
    charts: Mapping[str, str],
    loads: bool,
) -> str:
    comparison, explored = findings.comparisons[0], blocks["explorer"]
    measured = list(dict.fromkeys(block["code"] for block in blocks["items"]))
    return render_page(
        "page.html.j2",
        sections,
        charts,
        ("page.js", "blocks.js", "items.js", "explorer.js"),
        loads=loads,
        findings=findings,
        comparison=comparison,
        tables=tables,
        questions=questions(findings, {section.name for section in sections}, tables.keys()),
        names={code: language.name for code, language in known_languages().items()},
        harmed=[gain for gain in comparison.gains if gain.verdict == "harmed"],
        alarms=[gain for gain in comparison.gains if gain.possible_harm and gain.verdict != "harmed"],
        pivot=next((get_language(gain.language).name for gain in comparison.gains if gain.group == "pivot"), "Pivot"),
        strayed=[gain for gain in comparison.gains if gain.language_harm],
        chance=FALSE_ALARM_RATE * len(comparison.gains),
        errors=sum(defect.severity == "error" for defect in findings.data.defects),
        named=partial(_named, paths=paths),
        restricted=[row for row in findings.licenses if row.restriction and row.role != "model"],  # a model is known
        language=get_language,
        points=points,
        nats=nats_with_interval,
        parameter=LANGUAGE,
        total=minutes_and_seconds(sum(cost.seconds for cost in findings.costs)),
        sheets=_inert(blocks["items"]),
        explored=explored,
        explorations=_inert(explored),
        first=first_language(explored),
        dashes=DASHES,
        compared=_inert([comparison.reference, comparison.arm]),
        measured=measured,
        reference=_reference(comparison, measured),
    )


def _reference(comparison: Comparison, measured: Collection[str]) -> str:
    """Return the language shown beside another one: English, else the pivot; empty if neither is measured."""
    pivots = [gain.language for gain in comparison.gains if gain.group == "pivot"]
    return next((code for code in (ENGLISH, *pivots) if code in measured), "")


def chart_texts(figure: Figure) -> dict[str, str]:
    """Return name → chart of a figure for a page, as JSON of Vega-Lite."""
    return {plot.name: compact(for_page(figure, plot)) for plot in figure.plots}


def render_page(
    template: str,
    sections: Sequence[Section],
    charts: Mapping[str, str],
    scripts: Sequence[str],
    loads: bool = False,
    **about: object,
) -> str:
    """Return a self-contained page. It runs the charts' library and the `scripts`, nothing else.

    loads: whether these may load others, the blocks of items beside the page. A page opened as a file has no origin
    that a policy could name, so the policy then trusts what its own scripts load.
    """
    style, running = _resource("page.css"), [bundle(), *map(_resource, scripts)]
    allowed = [*map(_hash, running), *(["'strict-dynamic'"] if loads else [])]
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        sections={section.name: section for section in sections},
        plural=plural,
        spread=with_interval,
        specs={name: _inert_text(chart) for name, chart in charts.items()},
        styles=_inert(STYLES),
        scripts=[Markup(script) for script in running],
        style=Markup(style),
        policy=(
            f"default-src 'none'; script-src {' '.join(allowed)}; "
            f"style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
        ),
        **about,
    )


def _resource(name: str) -> str:
    return files("spillover.report").joinpath("templates", name).read_text(encoding="utf-8").strip()


def _inert(data: object) -> Markup:
    """Write JSON that can neither end the script around it nor begin another, whatever its texts hold."""
    return _inert_text(compact(data))


def _inert_text(text: str) -> Markup:
    """Return the same for data that is JSON already."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _hash(content: str) -> str:
    """Return the entry of a content security policy that allows exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
