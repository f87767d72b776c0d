"""The page of results of other tools, in a browser: the parts that only a run has are left out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sample_files import write_results
from spillover.report.run import render
from spillover.runs.samples.compare import compare_samples
from spillover.runs.samples.read import read_arms

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_page_opens_without_an_experiment(tmp_path: Path, visit: Callable[..., "Page"]) -> None:
    paths = [write_results(tmp_path / name, skill) for name, skill in (("weak", 0.2), ("strong", 2.0))]
    page = visit(render(compare_samples(read_arms(paths).samples, paths)))
    page.wait_for_selector("#items li")
    assert page.locator("#items li").count() == 20
    assert page.locator("#data, #copy, #cost").count() == 0
    assert page.locator(".verdict .badge").all_inner_texts() == ["improved"]
