"""The example of `docs/analysis.md` runs, and prints what the page says."""

import re

import numpy as np
import pytest

from places import ROOT

PAGE = (ROOT / "docs" / "analysis.md").read_text("utf-8")


def numbers(text: str) -> list[list[float]]:
    return [[float(number) for number in re.findall(r"-?\d+\.\d+", line)] for line in text.strip().splitlines()]


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("python", "text"))
    exec(compile(code, "docs/analysis.md", "exec"), {})
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == [line.split()[0] for line in said.splitlines()]
    np.testing.assert_allclose(numbers(printed), numbers(said), atol=0.011)  # the last digit printed
