"""The card of a run: the verdict as one picture, whose texts stay inside it whatever they hold."""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import vl_convert

from spillover.records import Findings
from spillover.report.card import HEIGHT, MARGIN, WIDTH, card, draw_card, fitted
from spillover.utils.formatting import points

SCALE = 0.25
LONG = {
    "latin": "WM translation of Quixotic Questions " * 6,
    "word": "W" * 200,
    "thai": "แบบจำลองภาษาขนาดใหญ่ที่ปรับแต่งแล้ว" * 5,
    "chinese": "经过翻译微调的大型语言模型" * 9,
    "hindi": "अनुवाद पर प्रशिक्षित बहुभाषी मॉडल " * 6,
    "arabic": "نموذج لغوي كبير مدرب على الترجمة " * 6,
    "short": "a",
}


def pixels(svg: str) -> np.ndarray:
    """(height, width, 4) the colors of a picture, of its PNG's uncompressed rows."""
    png, place, data = vl_convert.svg_to_png(svg, scale=SCALE), 8, b""
    width, height = struct.unpack(">II", png[16:24])
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        data += png[place + 8 : place + 8 + length] if png[place + 4 : place + 8] == b"IDAT" else b""
        place += length + 12
    rows, before = [], bytes(4 * width)
    for line in np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 4 * width + 1):
        before = bytes(unfiltered(line[1:].tolist(), before, int(line[0])))
        rows.append(before)
    return np.frombuffer(b"".join(rows), np.uint8).reshape(height, width, 4)


def unfiltered(line: list[int], above: bytes, kind: int) -> list[int]:
    """Undo a row's filter (PNG, third edition, section 9)."""
    out: list[int] = []
    for place, value in enumerate(line):
        a, b, c = (out[place - 4], above[place], above[place - 4]) if place >= 4 else (0, above[place], 0)
        nearest = min((a, b, c), key=lambda each: abs(a + b - c - each))
        out.append((value + (0, a, b, (a + b) // 2, nearest)[kind]) % 256)
    return out


def named(findings: Findings, text: str) -> Findings:
    """Put a text into every name that the card shows."""
    (comparison,) = findings.comparisons
    summaries = tuple(replace(summary, task=text) for summary in comparison.summaries)
    setup = replace(findings.setup, model=text)
    return replace(findings, name=text, setup=setup, comparisons=(replace(comparison, summaries=summaries),))


def ink_in_the_border(svg: str) -> bool:
    """Whether anything is drawn left or right of the room for texts."""
    picture, border = pixels(svg)[10:], int(MARGIN * SCALE) - 1
    return bool((picture[:, :border] != 255).any() or (picture[:, -border:] != 255).any())


@pytest.mark.parametrize("kind", LONG)
def test_a_text_stays_inside_the_picture(findings: Findings, kind: str):
    assert not ink_in_the_border(draw_card(named(findings, LONG[kind])))


def test_a_text_that_is_not_fitted_is_seen_in_the_border(findings: Findings):
    svg = draw_card(named(findings, "a"))
    assert ink_in_the_border(re.sub(r">\u2068a\u2069<", f">{LONG['latin']}<", svg, count=1))


def test_the_largest_font_that_fits_is_taken_and_a_cut_is_shown():
    sizes = [fitted("word " * count, 600, 48, 20).size for count in range(1, 30)]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (48, 20)
    assert "…" not in fitted("word", 600, 48, 20).text
    assert fitted("word " * 30, 600, 48, 20).text.endswith("…\u2069")


def test_a_name_from_the_right_starts_at_the_right():
    assert (fitted("سلام 3", 600, 48, 20, 60).x, fitted("سلام 3", 600, 48, 20, 60).anchor) == (660, "end")
    assert (fitted("3 peace سلام", 600, 48, 20, 60).x, fitted("3 peace سلام", 600, 48, 20, 60).anchor) == (60, "start")


def texts(findings: Findings) -> Iterator[str]:
    root = ElementTree.fromstring(draw_card(findings))
    yield from ("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))


def test_the_card_has_verdict_interval_model_and_languages(findings: Findings):
    text = " ".join(texts(findings))
    for summary in findings.comparisons[0].summaries:
        assert summary.unseen is not None
        ends = f"{points(summary.unseen.low)} to {points(summary.unseen.high)}"
        for part in (summary.task, summary.verdict, points(summary.unseen.value), ends):
            assert str(part) in text
    assert f"{findings.setup.model}, tuned on {findings.setup.mixture}" in text
    assert "Over 17 languages not tuned on: " in text
    assert "Harm in Thai" in text


def test_a_text_of_the_findings_is_text(findings: Findings):
    hostile = "</text><script>alert(1)</script>"
    assert any(hostile in text for text in texts(named(findings, hostile)))


def test_the_png_is_the_svg(findings: Findings):
    made = card(findings)
    assert set(made) == {"card.svg", "card.png"}
    png = made["card.png"]
    assert isinstance(png, bytes)
    assert struct.unpack(">II", png[16:24]) == (WIDTH, HEIGHT)
