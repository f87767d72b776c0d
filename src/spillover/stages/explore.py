"""What the page's explorer shows of an arm: tokens by layer, and neighbors in other languages.

The tokens are in the readings of the lenses, and the states in the traces. So nothing here needs the model's weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.interpretability.neighbors import neighbors
from spillover.records import Exploration, ExploredCell, ExploredReading, Neighbors
from spillover.stages.arms import Arm, reads
from spillover.stages.trace import CellTrace
from spillover.store import (
    Arrays,
    Artifact,
    Store,
    read_arrays,
    read_layer,
    read_records,
    write_arrays,
    write_records,
)

EXPLORED = 24
"""Items of a cell, from the first, whose most probable tokens are kept."""

TOKENS, PROBABILITIES = "top_tokens", "top_probabilities"
"""Arrays of a reading: see `analysis.interpretability.lens.TopTokens`."""

TEXTS, NEIGHBORS = "tokens.parquet", "neighbors.safetensors"
"""Files of an exploration: the texts of the tokens, and `records.Neighbors` of all languages, stacked."""


@dataclass(frozen=True, slots=True)
class TokenText:
    """The text of a token."""

    id: int
    """Its id."""
    text: str
    """Its text as it follows another token."""


Readings = Mapping[str, Mapping[str, Arrays]]
"""Language → lens → arrays of the reading, of those that hold tokens."""


def explore(store: Store, arm: Arm, cells: Sequence[CellTrace]) -> Iterator[Exploration]:
    """Yield what the explorer shows of each task whose readings hold tokens. Those of version 0.1.0 hold none."""
    for task in dict.fromkeys(traced.cell.task for traced in cells):
        of_task = [traced for traced in cells if traced.cell.task == task]
        artifacts = {
            traced.cell.language: {
                lens: store.linked(f"readings/{arm.name}/{task}/{lens}/{traced.cell.language}.safetensors")
                for lens in arm.experiment.analyze.lenses
            }
            for traced in of_task
        }
        readings = {code: _with_tokens(code, of_lenses) for code, of_lenses in artifacts.items()}
        if any(readings.values()):
            keys = [reading.key for of_lenses in artifacts.values() for reading in of_lenses.values()]
            yield _exploration(_made(store, arm, of_task, readings, keys), arm.name, of_task, readings)


def _with_tokens(language: str, readings: Mapping[str, Artifact]) -> dict[str, Arrays]:
    """Return lens → arrays of its reading, of the readings that hold tokens."""
    arrays = {lens: read_arrays(reading.path / f"{language}.safetensors") for lens, reading in readings.items()}
    return {lens: of_lens for lens, of_lens in arrays.items() if TOKENS in of_lens}


def _made(store: Store, arm: Arm, cells: Sequence[CellTrace], readings: Readings, keys: Sequence[str]) -> Artifact:
    """Return the tokens' texts and the neighbors of a task, made first if there are none. keys: of the readings."""

    def write(folder: Path) -> None:
        ids = np.unique(np.concatenate([arrays[TOKENS].ravel() for arrays in _all(readings)])).tolist()
        texts = reads(arm.experiment).tokenization.pieces(ids)
        write_records(folder / TEXTS, TokenText, map(TokenText, ids, texts))
        if _paired(cells):
            states = np.stack([read_layer(traced.path, "body_mean", _middle(readings)) for traced in cells])
            rows = neighbors(states, EXPLORED)
            fields = {name: np.stack([getattr(row, name) for row in rows]) for name in Neighbors.__slots__}
            write_arrays(folder / NEIGHBORS, **fields)

    inputs = [[traced.artifact.key for traced in cells], keys]
    return store.get_or_make("explorer", inputs, f"explorer/{arm.name}/{cells[0].cell.task}", write)


def _exploration(artifact: Artifact, arm: str, cells: Sequence[CellTrace], readings: Readings) -> Exploration:
    tokens = read_records(artifact.path / TEXTS, TokenText)
    ids = np.array([token.id for token in tokens])
    nearest = read_arrays(artifact.path / NEIGHBORS) if _paired(cells) else {}
    explored = (
        ExploredCell(
            language=traced.cell.language,
            ids=tuple(item.id for item in traced.rows),
            answers=_answers(traced),
            readings=tuple(_reading(lens, of_lens, ids) for lens, of_lens in readings[traced.cell.language].items()),
            neighbors=Neighbors(**{name: rows[place] for name, rows in nearest.items()}) if nearest else None,
        )
        for place, traced in enumerate(cells)
    )
    return Exploration(
        arm=arm,
        task=cells[0].cell.task,
        languages=tuple(traced.cell.language for traced in cells),
        vocabulary=tuple(token.text for token in tokens),
        layer=_middle(readings),
        cells=tuple(cell for cell in explored if cell.readings),
    )


def _reading(lens: str, arrays: Arrays, ids: NDArray[np.int64]) -> ExploredReading:
    tokens = np.searchsorted(ids, arrays[TOKENS])
    english, native = (arrays[name][: len(tokens)] for name in ("english", "native"))
    return ExploredReading(lens, english, native, tokens, arrays[PROBABILITIES])


def _answers(traced: CellTrace) -> tuple[tuple[str, str], ...]:
    """Return the right answer of each explored item in English, and in its language."""
    english, native = (traced.task.label_words(kind, traced.cell.language) for kind in ("english", "native"))
    return tuple((english[item.gold], native[item.gold]) for item in traced.rows[:EXPLORED])


def _paired(cells: Sequence[CellTrace]) -> bool:
    """Return whether there are two languages or more, and their items are translations of each other."""
    ids = [[item.id for item in traced.rows] for traced in cells]
    return len(ids) > 1 and all(row == ids[0] for row in ids)


def _middle(readings: Readings) -> int:
    """Return the middle layer: the states after half of the blocks."""
    blocks = next(_all(readings))["english"].shape[1] - 1
    return int(blocks) // 2


def _all(readings: Readings) -> Iterator[Arrays]:
    return (arrays for of_lenses in readings.values() for arrays in of_lenses.values())
