"""The report of a run: one self-contained page, and beside it every table and picture as a file of its own.

Pure: findings in, contents of files out. Every text of the findings is untrusted: the template escapes it, the data of
the charts can hold no tag, and the page's content security policy runs the scripts written here and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files

import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from spillover.languages import get_language, languages
from spillover.records import ALARM_RATE, Findings
from spillover.report.figures.charts import LANGUAGE, STYLES
from spillover.report.figures.figure import Figure
from spillover.report.figures.geometry import geometry
from spillover.report.figures.run import FIGURES, for_file, for_page
from spillover.report.items import packed
from spillover.report.tables.csvs import CSVS
from spillover.report.tables.run import TABLES
from spillover.report.tables.table import FORMATS, Table
from spillover.utils.formatting import points, with_interval

VEGA_LITE = "6.4"
"""The version that altair writes."""

PIXELS = 2.0
"""Pixels of a picture for each of the chart's."""

TABLES_OF = {
    "gains": ("gains", "splits"),
    "accuracy": ("accuracy",),
    "lens": ("latent", "lens"),
    "neurons": ("neurons",),
    "patches": ("patches",),
    "geometry": ("geometry",),
    "training": ("training",),
}
"""Figure → the tables behind it, by name."""

Content = str | bytes


@dataclass(frozen=True, slots=True)
class Section:
    """A figure with what stands behind it."""

    name: str
    """Name of the figure, and the anchor in the page."""
    figure: Figure
    """The figure."""
    tables: tuple[Table, ...]
    """Its numbers."""
    files: tuple[str, ...]
    """The same as files, within the report's folder."""


def render(findings: Findings) -> dict[str, Content]:
    """Return every file of the report: its path within the report's folder → its content.

    `index.html` needs none of the others; they hold the same as tables (Markdown, LaTeX, CSV) and pictures (SVG, PNG).
    """
    figures = {name: draw(findings) for name, draw in (FIGURES | {"geometry": geometry}).items()}
    tables = {name: made for name, make in TABLES.items() if (made := make(findings))}
    subtitle = f"{findings.setup.model}, tuned on {findings.setup.mixture}"
    contents = _table_files(findings, tables) | pictures(figures.values(), subtitle)
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
    return {"index.html": _page(findings, sections, tables, tuple(contents))} | contents


def _table_files(findings: Findings, tables: Mapping[str, list[Table]]) -> dict[str, Content]:
    found: dict[str, Content] = {}
    for name, made in tables.items():
        found |= {f"tables/{name}.{ending}": write(made) for ending, write in FORMATS.items()}
    for name, write_csv in CSVS.items():  # in full, where a table is rounded
        if name in tables or name not in TABLES:
            found[f"tables/{name}.csv"] = write_csv(findings)
    return found


def pictures(figures: Iterable[Figure], subtitle: str) -> dict[str, Content]:
    """Return every chart of the figures as SVG and PNG."""
    found: dict[str, Content] = {}
    for figure in figures:
        for plot in figure.plots:
            chart = for_file(figure, plot, subtitle)
            svg = vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=VEGA_LITE, config=STYLES["picture"])
            found[f"figures/{plot.name}.svg"] = svg
            found[f"figures/{plot.name}.png"] = vl_convert.svg_to_png(svg, scale=PIXELS)
    return found


def _named(table: str, paths: Iterable[str]) -> list[str]:
    """Return those of the files that hold a table."""
    return [path for path in paths if path.startswith(f"tables/{table}.")]


def _page(
    findings: Findings, sections: list[Section], tables: Mapping[str, list[Table]], paths: Collection[str]
) -> str:
    return render_page(
        "page.html.j2",
        sections,
        ("page.js", "items.js"),
        findings=findings,
        tables=tables,
        names={code: known.name for code, known in languages().items()},
        harmed=[gain for gain in findings.comparison.gains if gain.verdict == "harmed"],
        alarms=[gain for gain in findings.comparison.gains if gain.alarm and gain.verdict != "harmed"],
        chance=ALARM_RATE * len(findings.comparison.gains),
        errors=sum(defect.severity == "error" for defect in findings.data.defects),
        named=partial(_named, paths=paths),
        language=get_language,
        points=points,
        parameter=LANGUAGE,
        total=sum(cost.seconds for cost in findings.costs),
        sheets=_inert(packed(findings.sheets)),
        measured=list(dict.fromkeys(sheet.language for sheet in findings.sheets)),
    )


def render_page(template: str, sections: Sequence[Section], scripts: Sequence[str], **about: object) -> str:
    """Return a page that holds all it needs, and runs the charts' library and these scripts, nothing else."""
    plots = [(section.figure, plot) for section in sections for plot in section.figure.plots]
    style, running = _resource("page.css"), [bundle(), *map(_resource, scripts)]
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        sections={section.name: section for section in sections},
        spread=with_interval,
        specs={plot.name: _inert(for_page(figure, plot).to_dict()) for figure, plot in plots},
        styles=_inert(STYLES),
        scripts=[Markup(script) for script in running],
        style=Markup(style),
        policy=(
            f"default-src 'none'; script-src {' '.join(map(_hash, running))}; "
            f"style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
        ),
        **about,
    )


@cache
def bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed with its expression interpreter (which needs no `eval`), as one script."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)).strip()


def _resource(name: str) -> str:
    return files("spillover.report").joinpath("templates", name).read_text(encoding="utf-8").strip()


def _inert(data: object) -> Markup:
    """Write JSON that cannot end the script it stands in, nor begin another, whatever texts it holds."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _hash(content: str) -> str:
    """Return the source by which a content security policy allows exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
