"""The first prompt of each arm, as tokens, for the report. Weights are not read."""

from collections.abc import Iterator, Sequence

from spillover.records import FirstPrompt
from spillover.stages.arms import Arm, cells_of, reads
from spillover.stages.ask import asked_items
from spillover.stages.items import Items
from spillover.store import Store
from spillover.tasks import open_task


def first_prompts(store: Store, arms: Sequence[Arm], items: Items) -> Iterator[FirstPrompt]:
    """Yield the prompt of the first item of each arm's first cell in another language than the pivot, if there is one.

    In the pivot, arms that translate items or have exemplars in English ask as the others do.
    """
    from spillover.models.inference.encode import encode

    for arm in arms:
        cells, pivot = list(cells_of(arm, items)), arm.experiment.mixture.pivot
        cell, rows = next((pair for pair in cells if pair[0].language != pivot), cells[0])
        model, first = reads(arm.experiment), asked_items(store, arm, cell, rows)[:1]
        (encoded,) = encode(model, arm.prompts(open_task(cell.task), first), arm.experiment.evaluate.overflow)
        tokens = tuple(model.tokenization.pieces(encoded.prompt))
        yield FirstPrompt(arm.name, cell.task, cell.language, rows[0].id, encoded.prompt, tokens)
