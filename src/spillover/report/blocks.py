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

LEVEL = 6
"""Level of the compression: the highest, 9, takes twice the time for one percent."""

Block = dict[str, Any]
"""What a block is about, as the page needs it for its choices, and its packed `data`, or the path of its `file`."""


def pack(content: object) -> str:
    """Return JSON-like content as base64 of gzip of JSON. The same content always gives the same text."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), LEVEL, mtime=0)).decode()


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
        files |= {
            path: f'unpackBlock("{path}", "{block["data"]}");\n' for path, block in zip(paths, blocks, strict=True)
        }
        without[name] = [
            {key: value for key, value in block.items() if key != "data"} | {"file": path}
            for path, block in zip(paths, blocks, strict=True)
        ]
    return without, files
