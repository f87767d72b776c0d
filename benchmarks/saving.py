"""How benchmarks write their results: numbers as JSON and, beside them, their tables as Markdown."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def add_out(parser: ArgumentParser, name: str) -> None:
    """Add the option `--out`: where the numbers go, by default `results/<name>.json`."""
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", help="%(default)s")


def save(out: Path, results: Mapping[str, object], tables: str) -> None:
    """Write the results to `out` and their tables beside it, and print the tables."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(tables, encoding="utf-8")
    print(tables)
