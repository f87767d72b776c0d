"""What a report is drawn with: wherever that changes the page is drawn anew, and nowhere else."""

import shutil
from pathlib import Path

import pytest

import spillover
from spillover import report
from spillover.records import Findings
from spillover.store import Store

ROOT = Path(spillover.__file__).parent
DRAWING = [
    "utils/formatting.py",
    "languages.py",
    "errors.py",
    "records/comparison.py",
    "records/runs.py",
    "report/figures/charts.py",
    "report/templates/page.js",
    "report/templates/page.css",
    "report/templates/macros.html.j2",
    "data/languages.toml",
]
OTHERS = ["pipeline.py", "models/scoring/score.py", "sources/hub.py", "translate/nllb.py"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package to change."""
    ignored = shutil.ignore_patterns("__pycache__", "starter")
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("package") / "spillover", ignore=ignored)


def changed(copy: Path, name: str, text: str = "\n") -> str:
    """Return the digest with something written at the end of a file."""
    path = copy / name
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((before or b"") + text.encode())
    try:
        return report.drawing_digest(copy)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)


def test_whatever_draws_counts_and_nothing_else(copy: Path) -> None:
    before = report.drawing_digest(copy)
    assert {name for name in DRAWING if changed(copy, name) == before} == set()
    assert changed(copy, "report/parts/tooltip.js") != before
    assert {name for name in OTHERS if changed(copy, name) != before} == set()
    assert report.drawing_digest(copy) == before


def test_a_module_counts_from_when_the_report_imports_it(copy: Path) -> None:
    imports = (copy / "report" / "tables" / "run.py").read_text("utf-8")
    (copy / "report" / "tables" / "run.py").write_text(
        f"{imports}\n\nfrom spillover.utils import text\n", encoding="utf-8"
    )
    try:
        assert changed(copy, "utils/text.py") != report.drawing_digest(copy)
    finally:
        (copy / "report" / "tables" / "run.py").write_text(imports, encoding="utf-8")


def test_a_page_is_drawn_anew_where_its_numbers_are_written_otherwise(
    copy: Path, findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def page() -> dict[str, str | bytes]:
        drawn.append("once")
        return {"index.html": "page"}

    def draw() -> None:
        report.code_digest.cache_clear()
        made_from = [findings.name, report.code_digest()]
        Store(tmp_path, "run").replace("report", made_from, page)

    monkeypatch.setattr(report, "files", lambda _: copy)
    draw()
    draw()
    assert len(drawn) == 1
    path = copy / "utils/formatting.py"
    before = path.read_text("utf-8")
    path.write_text(
        before.replace("def signed(number: float, digits: int = 1)", "def signed(number: float, digits: int = 2)")
    )
    assert path.read_text("utf-8") != before
    draw()
    assert len(drawn) == 2
    monkeypatch.undo()
    report.code_digest.cache_clear()
