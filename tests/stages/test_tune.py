"""Which items are asked during tuning, and whether the adapter's key depends on them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from spillover.experiment import Experiment
from spillover.models.tuning import tune as tuning
from spillover.pipeline import Run
from spillover.stages.inputs import Inputs
from spillover.stages.tune import probe_cells
from spillover.store import Store


def experiment(model: Path, every: int, limit: int = 30) -> Experiment:
    return Experiment.model_validate(
        {
            "model": {"name": str(model), "dtype": "float32"},
            "questions": {"limit": 6},
            "translate": {"to": ["de", "es"]},
            "tune": {"probe_every": every},
            "evaluate": {"tasks": ["sentiment", "entailment"], "languages": ["en", "de", "es", "hi"], "limit": limit},
        }
    )


def test_the_first_items_of_the_first_task_are_asked_in_all_languages_but_the_pivot(
    tiny: Callable[[str], Path],
) -> None:
    chosen = experiment(tiny("llama"), 5)
    items = Inputs(chosen).items
    cells = probe_cells(chosen, items)
    rows = {code: rows for (task, code), rows in items.items() if task == "sentiment" and code != "en"}
    assert [cell.tuned for cell in cells] == [code != "hi" for code in rows]
    for cell, of_language in zip(cells, rows.values(), strict=True):
        assert len(cell.prompts) == len(cell.gold) == 20
        places = [[row.fields[0] in prompt.body for row in of_language].index(True) for prompt in cell.prompts]
        assert places == sorted(places)
        assert [of_language[place].gold for place in places] == list(cell.gold) == list(cells[0].gold)
    assert sum(cells[0].gold) == 10, "as many of one label as of the other"


def test_the_adapters_key_depends_on_the_items_only_with_probes(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is tuned here: a file stands for the adapter."""
    asked: list[int] = []

    def stand_in(model: object, examples: object, settings: object, seed: int, folder: Path, *rest: object) -> None:
        cells = rest[-1]
        assert isinstance(cells, tuple)
        asked.append(len(cells))
        (folder / "adapter").write_text("", encoding="utf-8")

    monkeypatch.setattr(tuning, "tune", stand_in)

    def key(every: int, limit: int) -> str:
        return Run(experiment(tiny("llama"), every, limit), Store(tmp_path, f"{every}-{limit}")).adapter.key

    assert key(0, 30) == key(0, 10)
    assert len({key(0, 30), key(5, 30), key(5, 10), key(6, 10)}) == 4
    assert asked == [0, 3, 3, 3]
