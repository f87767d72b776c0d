"""Time and size of the report: how long it takes to compute, draw and open. 3 tasks × 20 languages × 600 items.

Invented findings of a model with 32 blocks, compared by the real statistics, drawn by the real page, opened in Chromium
(through Playwright) several times. `--beside` opens other pages in turn with it, so that an earlier version's is
measured under the same load. `--languages 200` takes further languages, whose items are words of English. Writes a JSON
file and, beside it, its tables as Markdown.
"""

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from playwright.sync_api import Browser, sync_playwright

from invented_findings import ARMS, LAYERS, TASKS, findings, item_scores, predictions
from saving import add_out, save
from spillover.analysis.statistics.gains import compare
from spillover.languages import known_languages, languages
from spillover.report.run import render
from spillover.store import write_files
from spillover.utils.environment import machine, versions
from spillover.utils.progress import notify

Made = TypeVar("Made")
MIB = 2**20

WATCH = """
window.seen = { blocked: 0 };
new PerformanceObserver((list) => list.getEntries().forEach((task) => { seen.blocked += task.duration - 50; }))
  .observe({ type: "longtask", buffered: true });
new MutationObserver(() => {
  if (!seen.charts && document.documentElement?.dataset.drawn) seen.charts = performance.now();
  if (!seen.items && document.querySelector("#items li")) seen.items = performance.now();
}).observe(document, { attributes: true, childList: true, subtree: true });
"""
"""Notes when the charts that a reader sees first are drawn, when items are there, and for how long nothing else ran."""

TIMES = """() => ({
  paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
  load: performance.getEntriesByType("navigation")[0].loadEventEnd,
  ...seen,
})"""

MEASURES = {
    "paint": "first text on the screen",
    "load": "page loaded",
    "charts": "charts in sight drawn",
    "items": "first items shown",
    "blocked": "blocked (long tasks, beyond 50 ms each)",
}
"""What is measured → how the table calls it. Milliseconds from opening."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=600, help="of a task and language (%(default)s)")
    parser.add_argument("--languages", type=int, default=20, help="number of languages (%(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="%(default)s")
    parser.add_argument("--beside", nargs="*", default=[], metavar="NAME=FILE", help="other pages to open in turn")
    parser.add_argument("--keep", type=Path, help="write the report into this folder")
    add_out(parser, "page")
    return parser.parse_args()


def main() -> None:
    """Draw the page, open it and the others in turn, and write what was seen."""
    asked = parse()
    codes = list(dict.fromkeys([*languages(), *known_languages()]))[: asked.languages]
    sheets = list(item_scores(codes, asked.items))
    base, tuned = (list(predictions(sheets, arm)) for arm in ARMS)
    comparison, compared = timed(partial(compare, base, tuned, ("zh", "de")))
    del base, tuned  # a run that draws its report has its findings alone
    found = findings(codes, sheets, comparison)
    with patch("spillover.report.run.pictures", return_value={}):  # they lie beside the page and take a minute
        files, drawn = timed(lambda: render(found))
    size = sum(len(content.encode() if isinstance(content, str) else content) for content in files.values())
    notify(f"compared in {compared:.1f} s, drawn in {drawn:.1f} s of processor time: {size / MIB:.1f} MiB")
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        write_files(folder, files)
        place = folder / "index.html"
        others = (each.partition("=") for each in asked.beside)
        pages = {"this version": place} | {name: Path(file) for name, _, file in others}
        opened = open_in_turn(pages, asked.repeats)
    results = {
        "date": date.today().isoformat(),
        "shape": {"tasks": len(TASKS), "languages": len(codes), "items": asked.items, "layers": LAYERS},
        "processor_seconds": {"comparison": round(compared, 1), "report": round(drawn, 1)},
        "report_mib": round(size / MIB, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "repeats": asked.repeats,
        "pages": opened,
        "provenance": dict((*versions(), *machine())),
    }
    save(asked.out, results, markdown(results))


def open_in_turn(pages: dict[str, Path], repeats: int) -> dict[str, dict[str, Any]]:
    """Open each page `repeats` times, one after the other, each in a fresh context; milliseconds, sorted."""
    times: dict[str, list[dict[str, float]]] = {name: [] for name in pages}
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--headless", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        version = browser.version
        for turn in range(repeats + 1):
            for name, place in pages.items():
                seen = opened(browser, place)
                if turn:  # the first warms the disk's cache
                    times[name].append(seen)
                notify(f"{name}: " + ", ".join(f"{key} {value:.0f}" for key, value in seen.items()))
        browser.close()
    return {
        name: {"MiB": round(pages[name].stat().st_size / MIB, 2), "chromium": version}
        | {key: sorted(round(each[key]) for each in own) for key in MEASURES}
        for name, own in times.items()
    }


def opened(browser: Browser, place: Path) -> dict[str, float]:
    """Open a page and return when what was there, in milliseconds."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(place.absolute().as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached", timeout=120_000)
    page.wait_for_selector("#items li", state="attached", timeout=120_000)
    times: dict[str, float] = page.evaluate(TIMES)
    context.close()
    return times


def markdown(results: dict[str, Any]) -> str:
    """Write the results as tables."""
    pages, shape = results["pages"], results["shape"]
    lines = [
        f"{shape['tasks']} tasks × {shape['languages']} languages × {shape['items']} items, {shape['layers']} layers, "
        f"every section. Milliseconds from opening: median of {results['repeats']} (lowest to highest).",
        "",
        f"| | {' | '.join(pages)} |",
        f"| --- | {' | '.join('--:' for _ in pages)} |",
        f"| size of the page in MiB | {' | '.join(str(own['MiB']) for own in pages.values())} |",
        *(f"| {words} | {' | '.join(middle(own[key]) for own in pages.values())} |" for key, words in MEASURES.items()),
        "",
        f"The comparison took {results['processor_seconds']['comparison']} s of processor time and the report "
        f"{results['processor_seconds']['report']} s, without its pictures. The report has {results['report_mib']} MiB "
        f"with its tables. The process took {results['peak_gib']} GiB at most.",
        "",
    ]
    return "\n".join(lines)


def middle(times: Sequence[float]) -> str:
    """Write a median with its range."""
    return f"{statistics.median(times):,.0f} ({times[0]:,} to {times[-1]:,})"


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """Return what the work returns, and its processor time in seconds."""
    start = time.process_time()
    return work(), time.process_time() - start


if __name__ == "__main__":
    main()
