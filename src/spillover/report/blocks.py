"""Packed data of the page: blocks that it unpacks only when a reader chooses them.

A block is JSON, gzipped, in base64. Blocks that would make the page too large are files beside it, which the page loads
as scripts: a page opened as a file may read no other.
"""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

MAX_BYTES = 15_000_000
"""Most bytes of blocks within the page; more are files beside it."""

LEVEL = 4
"""Level of the compression: the highest, 9, takes six times as long and saves one part in twenty."""

Block = dict[str, Any]
"""What a block is about, as the page needs it for its choices, and its packed `data`, or the path of its `file`."""


MAX_CHARTS = 5_000_000
"""Most characters of the charts within the page; more are files beside it, a file per chart."""


def compact(content: object) -> str:
    """Return JSON-like content as JSON without blanks."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def pack(content: object) -> str:
    """Return JSON-like content as base64 of gzip of JSON. The same content always gives the same text."""
    return _packed(compact(content))


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), LEVEL, mtime=0)).decode()


def charts_beside(charts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return name → chart, and path → content of the files beside the page.

    charts: name → chart as JSON of Vega-Lite. If all together exceed `MAX_CHARTS`, every chart is the path of a `file`,
    which the page loads when a reader scrolls near the chart.
    """
    if sum(map(len, charts.values())) <= MAX_CHARTS:
        return dict(charts), {}
    paths = {name: f"charts/{name}.js" for name in charts}
    files = {paths[name]: _script(paths[name], _packed(chart)) for name, chart in charts.items()}
    return {name: compact({"file": path}) for name, path in paths.items()}, files


def _script(path: str, data: str) -> str:
    """Return the script that gives packed data to the page. It holds a path and base64, so no text can act in it."""
    return f'unpackBlock("{path}", "{data}");\n'


def beside(parts: Mapping[str, Sequence[Block]]) -> tuple[dict[str, list[Block]], dict[str, str]]:
    """Return the blocks of each part of the page, and path → content of the files beside it.

    If all parts together exceed `MAX_BYTES`, every block has the path of a `file` in place of its `data`. The file is a
    script that gives the block to the page's function `unpackBlock`. It holds base64 and a number, so no text of a data
    set can act in it. A part's name is also its folder.
    """
    if sum(len(block["data"]) for blocks in parts.values() for block in blocks) <= MAX_BYTES:
        return {name: list(blocks) for name, blocks in parts.items()}, {}
    without: dict[str, list[Block]] = {}
    files: dict[str, str] = {}
    for name, blocks in parts.items():
        paths = [f"{name}/{place}.js" for place in range(len(blocks))]
        files |= {path: _script(path, block["data"]) for path, block in zip(paths, blocks, strict=True)}
        without[name] = [
            {key: value for key, value in block.items() if key != "data"} | {"file": path}
            for path, block in zip(paths, blocks, strict=True)
        ]
    return without, files
