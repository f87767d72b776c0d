"""The data of the page's explorer: tokens, curves and neighbors of single items, in all arms.

There is a packed block per task and language, and one per task with the texts of its items.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.languages import ENGLISH, get_language
from spillover.records import Exploration, ExploredCell, ExploredReading, Findings, ItemScores, Neighbors
from spillover.report.blocks import Block, pack
from spillover.report.visible import visible

DIGITS = 3
"""Significant digits of a probability on the page."""

Texts = dict[str, dict[str, tuple[str, ...]]]
"""Language → id → the texts of an item."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """One task and language in all arms that explored it."""

    explorations: tuple[Exploration, ...]
    """One per arm."""
    cells: tuple[ExploredCell, ...]
    """One per arm."""
    scores: ItemScores
    """All items of the task and language."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the explored items."""
        return self.cells[0].ids[: len(self.cells[0].answers)]


def packed_explorations(findings: Findings) -> list[Block]:
    """Return the blocks of the explorer; no block if nothing was explored."""
    explored, blocks = list(_cells(findings)), list[Block]()
    scores = {(sheet.task, sheet.language): sheet for sheet in findings.item_scores}
    for task in dict.fromkeys(cell.scores.task for cell in explored):
        of_task = [cell for cell in explored if cell.scores.task == task]
        blocks += [_block(cell) for cell in of_task]
        blocks.append({"task": task, "data": pack(_texts(of_task, scores))})
    return blocks


def first_language(blocks: Sequence[Block]) -> str:
    """Return the code of the language that the explorer begins with: the first but English."""
    codes = [block["code"] for block in blocks if "code" in block]
    return next((code for code in codes if code != ENGLISH), codes[0] if codes else "")


def _cells(findings: Findings) -> Iterator[_Cell]:
    """Yield the cells that all arms have explored."""
    tasks: dict[str, list[Exploration]] = {}
    for exploration in findings.internals.explorations:
        tasks.setdefault(exploration.task, []).append(exploration)
    for sheet in findings.item_scores:
        explorations = tasks.get(sheet.task, [])
        cells = [cell for one in explorations for cell in one.cells if cell.language == sheet.language]
        if cells and len(cells) == len(explorations):
            yield _Cell(tuple(explorations), tuple(cells), sheet)


def _block(cell: _Cell) -> Block:
    """Return the packed block of one task and language. A lens that not all arms have is left out."""
    first, alike = cell.explorations[0], cell.cells[0]
    names = [{reading.lens for reading in of_arm.readings} for of_arm in cell.cells]
    lenses = [reading.lens for reading in alike.readings if all(reading.lens in known for known in names)]
    vocabulary: dict[str, int] = {}
    return {
        "task": first.task,
        "code": cell.scores.language,
        "language": get_language(cell.scores.language).name,
        "arms": [one.arm for one in cell.explorations],
        "lenses": lenses,
        "layer": first.layer,
        "others": len(first.languages) - 1,
        "candidates": len(alike.ids),
        "data": pack(
            {
                "ids": cell.ids,
                "answers": alike.answers,
                "right": [_right(cell, one.arm) for one in cell.explorations],
                "readings": [
                    [
                        _reading(reading, one.vocabulary, vocabulary)
                        for one, of_arm in zip(cell.explorations, cell.cells, strict=True)
                        for reading in of_arm.readings
                        if reading.lens == lens
                    ]
                    for lens in lenses
                ],
                "vocabulary": list(vocabulary),
                "neighbors": [
                    _neighbors(of_arm.neighbors, alike.ids, first.languages)
                    for of_arm in cell.cells
                    if of_arm.neighbors
                ],
            }
        ),
    }


def _right(cell: _Cell, arm: str) -> list[bool]:
    """Return whether an arm answered each explored item right in the evaluation."""
    sheet, places = cell.scores, {id: place for place, id in enumerate(cell.scores.ids)}
    of_arm = sheet.logprobs[sheet.arms.index(arm)]
    rows = [(of_arm[places[id]], sheet.gold[places[id]]) for id in cell.ids]
    return [scores.index(max(scores)) == gold for scores, gold in rows]


def _reading(reading: ExploredReading, texts: Sequence[str], vocabulary: dict[str, int]) -> dict[str, Any]:
    """Return a reading with its tokens as numbers in `vocabulary`, which gets those that it lacks."""
    numbers = {token: vocabulary.setdefault(visible(texts[token]), len(vocabulary)) for token in _once(reading.tokens)}
    return {
        "english": _rounded(reading.english),
        "native": _rounded(reading.native),
        "tokens": [[[numbers[token] for token in layer] for layer in item] for item in reading.tokens.tolist()],
        "probabilities": _rounded(reading.probabilities),
    }


def _once(tokens: NDArray[np.int64]) -> list[int]:
    return list(dict.fromkeys(tokens.ravel().tolist()))


def _neighbors(neighbors: Neighbors, ids: Sequence[str], languages: Sequence[str]) -> dict[str, Any]:
    return {
        "languages": [[languages[place] for place in row] for row in neighbors.languages.tolist()],
        "ids": [[ids[place] for place in row] for row in neighbors.items.tolist()],
        "cosines": _rounded(neighbors.cosines),
        "translations": neighbors.translations.tolist(),
    }


def _rounded(values: NDArray[np.float32]) -> Any:  # noqa: ANN401 - lists as deep as the array
    """Return an array as lists, rounded to `DIGITS`. JSON has no nan: it is None."""
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [float(f"{value:.{DIGITS}g}") if isfinite(value) else None for value in values.tolist()]


def _texts(cells: Sequence[_Cell], scores: Mapping[tuple[str, str], ItemScores]) -> Texts:
    """Return the texts of the items that a task's blocks name: the explored ones, and their neighbors."""
    named: dict[str, set[str]] = {}
    for cell in cells:
        named.setdefault(cell.scores.language, set()).update(cell.ids)
        for one, of_arm in zip(cell.explorations, cell.cells, strict=True):
            if of_arm.neighbors:
                places = zip(of_arm.neighbors.languages.flat, of_arm.neighbors.items.flat, strict=True)
                for language, item in places:
                    named.setdefault(one.languages[language], set()).add(of_arm.ids[item])
    sheets = {code: scores[cells[0].scores.task, code] for code in named}
    return {
        code: {id: texts for id, texts in zip(sheet.ids, sheet.texts, strict=True) if id in named[code]}
        for code, sheet in sheets.items()
    }
