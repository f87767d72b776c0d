"""The first prompt of each arm as a table: arms that read the same share a row, and white space is to be seen."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace

from spillover.records import Findings
from spillover.report.run import Content
from spillover.report.tables import csvs
from spillover.report.tables.prompts import prompts


def test_arms_that_read_the_same_share_a_row(findings: Findings) -> None:
    (table,) = prompts(findings)
    assert table.rows == (("base, tuned", "sentiment", "Thai", "s1", "4", "<bos>│Review│:␣│ดี↵"),)
    base, tuned = findings.first_prompts
    differing = replace(findings, first_prompts=(base, replace(tuned, ids=tuned.ids[1:], tokens=tuned.tokens[1:])))
    (table,) = prompts(differing)
    assert [(row[0], row[4]) for row in table.rows] == [("base", "4"), ("tuned", "3")]
    rows = list(csv.DictReader(io.StringIO(csvs.prompts(differing))))
    assert [(row["arm"], row["position"], row["id"]) for row in rows[3:5]] == [("base", "3", "9"), ("tuned", "0", "17")]


def test_the_page_has_it_folded(findings: Findings, tables_and_page: Callable[[Findings], dict[str, Content]]) -> None:
    made = tables_and_page(findings)
    page = str(made["index.html"])
    folded = page.partition("<summary>First prompt of each arm, as tokens</summary>")[2].partition("</details>")[0]
    assert "&lt;bos&gt;│Review│:␣│ดี↵" in folded
    assert "tables/prompts.csv" in folded
    assert {"tables/prompts.md", "tables/prompts.tex", "tables/prompts.csv"} <= set(made)
