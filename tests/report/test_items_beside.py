"""Items beside the page: loaded from files when a reader asks for them, and named when a file is missing."""

import base64
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spillover.records import Findings
from spillover.report import blocks, items
from spillover.report.run import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LIMIT = 5_000


@pytest.fixture(scope="module")
def large(findings: Findings) -> dict[str, Any]:
    """The report of a run whose items exceed what the page may hold."""
    nothing = replace(findings.internals, trajectories=(), lens_summaries=(), neurons=(), patches=())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spillover.report.run.pictures", lambda *_: {})
        patch.setattr(blocks, "MAX_BYTES", LIMIT)
        return render(replace(findings, internals=nothing))


def sheets_of(made: dict[str, Any]) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="sheets">(.*?)</script>', made["index.html"])
    assert found
    rows: list[dict[str, Any]] = json.loads(found[1])
    return rows


def test_the_files_hold_what_the_page_would(findings: Findings, large: dict[str, Any]):
    within = [*items.packed(findings.item_scores)]
    beside = sheets_of(large)
    assert len(beside) == len(within)
    assert "strict-dynamic" in large["index.html"]
    assert sum(len(sheet["data"]) for sheet in within) > LIMIT
    for sheet, other in zip(within, beside, strict=True):
        assert "data" not in other
        _, path, _, data, _ = large[other["file"]].split('"')
        assert (path, data) == (other["file"], sheet["data"])
        assert json.loads(gzip.decompress(base64.b64decode(data)))["ids"]


def test_few_items_stay_in_the_page_and_its_policy_loads_nothing(
    findings: Findings, tables_and_page: Callable[[Findings], dict[str, Any]]
):
    small = tables_and_page(findings)
    assert not [path for path in small if path.startswith("items/")]
    assert all("data" in sheet for sheet in sheets_of(small))
    assert "strict-dynamic" not in small["index.html"]


def test_a_page_opened_as_a_file_loads_the_items_chosen_and_says_which_file_is_missing(
    large: dict[str, Any], browser: "Browser", tmp_path: Path
):
    for path, content in large.items():
        if path.startswith(("items/", "index")):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(content, encoding="utf-8")
    files = {(sheet["task"], sheet["code"]): sheet["file"] for sheet in sheets_of(large)}
    (tmp_path / files["sentiment", "de"]).unlink()
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/items/")[2]))
    page.goto((tmp_path / "index.html").as_uri())
    page.wait_for_selector("#items li", state="attached", timeout=60_000)
    assert len([name for name in asked if name.endswith(".js")]) <= 2, "the chosen language and the reference"
    page.select_option("#items-language", "sw")
    page.wait_for_selector('#items li p[lang="sw"]', state="attached")
    page.select_option("#items-language", "de")
    status = page.locator("#items [role=status]")
    status.get_by_text("missing beside this page").wait_for(state="attached")
    assert files["sentiment", "de"] in status.inner_text()
    assert page.locator("#items li").count() == 0
    page.select_option("#items-language", "sw")
    page.wait_for_selector('#items li p[lang="sw"]', state="attached")
    page.close()
