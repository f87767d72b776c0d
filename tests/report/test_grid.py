"""The report of a grid: every link leads somewhere, every number is there, nothing untrusted runs."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from spillover.records import BestMixture, Estimate, ExperimentStatus, MixtureGains, SweepFindings, TransferMatrix
from spillover.report.grid import render
from spillover.report.run import Content
from spillover.sweep.display import compared

HOSTILE = "to=<script>alert(1)</script>"
CODES = ("en", "th", "zh", "sw")


def transfer(mixture: str, seen: tuple[str, ...], value: float) -> MixtureGains:
    gains = tuple(Estimate(value + 0.01 * place, value - 0.02, value + 0.06, 60) for place in range(len(CODES)))
    return MixtureGains(
        mixture, len(seen) - 1, seen, ("a", "b"), gains, Estimate(value, value - 0.02, 0.1, 60), (0.01, 0.03)
    )


def findings(names: tuple[str, ...] = ("to=zh,seed=0", HOSTILE)) -> SweepFindings:
    rows = (transfer("zh=>en", ("zh", "en"), 0.03), transfer("th/zh=>en", ("th", "zh", "en"), -0.01))
    choice = BestMixture(1, 2, "zh=>en", 0.05, Estimate(0.02, -0.01, 0.05, 30), "de=>en")
    matrix = TransferMatrix("labels=native", "sentiment", CODES, ("sw",), 60, rows, (choice,), 0.012, 4)
    states = (ExperimentStatus(names[0], "done", ""), ExperimentStatus(names[1], "failed", "tune.targets: found <b>"))
    return SweepFindings("small", states, (matrix,), "seed = [0, 1] # </script>")


@pytest.fixture(scope="module")
def report() -> dict[str, Content]:
    return render(findings())


def test_finished_runs_are_linked_and_the_others_say_why_not(report: dict[str, Content]):
    page = str(report["index.html"])
    assert '<a href="../to%3Dzh%2Cseed%3D0/report/index.html">to=zh,seed=0</a>' in page
    assert "failed: tune.targets: found &lt;b&gt;" in page
    assert "1 finished, 1 failed" in page
    assert "over the 1 language that no mixture was tuned on, 1 of 2 mixtures gains and none loses" in page
    assert "On the other half it gains +2.0 [−1.0, +5.0] points; that half would have chosen de=&gt;en." in page


def test_right_to_left_names_have_their_own_direction(undirected: Callable[[str], list[str]]):
    made = replace(findings(("الأولى", "השנייה")), name="تجربة", file='name = "الأولى"')
    page = str(render(made)["index.html"]).partition('<script type="application/json"')[0]
    assert undirected(page) == []
    assert len(undirected(page.replace(' dir="auto"', ""))) >= 4


def test_every_link_leads_to_a_file_or_a_place_of_the_page(report: dict[str, Content]):
    page = str(report["index.html"]).partition("<script>")[0]  # the charts' library has links of its own
    ids = set(re.findall(r'id="([^"]+)"', page))
    links = re.findall(r'href="([^"]+)"', page)
    assert len(links) > 10
    for link in links:
        assert link[1:] in ids if link.startswith("#") else link.startswith("../") or link in report, link
    assert {name for name in report if name.endswith((".svg", ".png", ".csv"))} <= set(links)


def test_no_text_of_the_grid_is_markup(report: dict[str, Content]):
    page = str(report["index.html"])
    assert "alert(1)</script>" not in page
    assert "[0, 1] # </script>" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert policy.group(1).startswith("default-src &#39;none&#39;")
    assert "unsafe" not in policy.group(1)


def test_every_gain_is_in_the_file_in_full(report: dict[str, Content]):
    rows = list(csv.DictReader(io.StringIO(str(report["tables/gains.csv"]))))
    assert len(rows) == 8
    first = rows[1]
    assert (first["mixture"], first["measured_in"], first["seen"]) == ("zh=>en", "th", "0")
    assert (float(first["gain"]), float(first["low"]), float(first["high"])) == pytest.approx((0.04, 0.01, 0.09))


def test_tables_say_what_the_records_hold(report: dict[str, Content]):
    assert "| Thai | **+4.0 \\[+1.0, +9.0\\]** | 0.0 \\[−3.0, +5.0\\] \\* |" in str(report["tables/transfer.md"])
    assert "zh=\\>en | +5.0 | +2.0 \\[−1.0, +5.0\\] | de=\\>en |" in str(report["tables/best.md"])
    assert "+1.0, +3.0 | 1.20 (4) |" in str(report["tables/seeds.md"])


def test_settings_stand_side_by_side_in_the_order_of_the_grid(tmp_path: Path, report: dict[str, Content]):
    first = findings().matrices[0]
    matrices = (first, replace(first, task="entailment"), replace(first, setting="labels=agnostic", new=("sw", "th")))
    made = render(replace(findings(), matrices=matrices))
    path = tmp_path / "settings.csv"
    path.write_text(str(made["tables/settings.csv"]), encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(str(made["tables/settings.csv"]))))
    keys = ("measured on", "setting", "tuned on", "languages compared")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("entailment", "labels=native", "zh=>en", "1"),
        ("entailment", "labels=native", "th/zh=>en", "1"),
        ("sentiment", "labels=native", "zh=>en", "1"),
        ("sentiment", "labels=native", "th/zh=>en", "1"),
        ("sentiment", "labels=agnostic", "zh=>en", "2"),
        ("sentiment", "labels=agnostic", "th/zh=>en", "2"),
    ]
    assert rows[0]["gain"] == "+3.0 [+1.0, +10.0]"
    assert '<a href="#settings">' in str(made["index.html"])
    assert "tables/settings.csv" not in report, "one setting has nothing to stand beside"
    printed = io.StringIO()
    Console(width=120, file=printed).print(compared(path))
    assert "labels=agnostic" in printed.getvalue()
    assert "[+1.0, +10.0]" in printed.getvalue(), "brackets are no markup"


def test_a_grid_of_which_nothing_is_finished_has_a_page():
    page = str(render(SweepFindings("g", (ExperimentStatus("only", "failed", "no"),), (), ""))["index.html"])
    assert "failed: no" in page
