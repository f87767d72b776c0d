"""Sets of the hub, written into a folder as they stand there; `datasets` reads them from a folder of the same name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from datasets import ClassLabel, Features, Value

TEXT = Value("string")


def write_hub_set(
    folder: Path,
    id: str,
    configs: list[str],
    schema: dict[str, Any],
    rows: int = 3,
    splits: Sequence[str] = ("train", "test"),
    /,
    **changed: list[object],
) -> None:
    """Write a set into `folder / id`, each row invented but for the columns that are `changed`."""
    lines = ["---", "configs:"]
    for config in configs:
        lines += [f"- config_name: {config}", "  data_files:"]
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {config}/{split}-*"]
            made = {
                name: [_cell(name, config, split, number, kind) for number in range(rows)]
                for name, kind in schema.items()
            }
            write_split(folder / id, config, split, schema, made | changed)
    (folder / id / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")


def write_split(folder: Path, config: str, split: str, schema: dict[str, Any], columns: dict[str, list[Any]]) -> None:
    """Write the rows of one split of a set whose `README.md` names it."""
    file = folder / config / f"{split}-00000-of-00001.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns, features=Features(schema)).to_parquet(file)


def _cell(column: str, config: str, split: str, number: int, kind: object) -> object:
    """Return an invented cell which says where it stands."""
    if isinstance(kind, ClassLabel):
        return number % kind.num_classes
    return f"{column} {number} of {split} in {config}" if kind == TEXT else 100 + number
