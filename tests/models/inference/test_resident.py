"""One base model stays in memory; whatever was in it, an arm's scores are those of a model loaded for it alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spillover.errors import SpilloverError
from spillover.experiment import ModelConfig, TuneConfig
from spillover.models.inference import resident as module
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.resident import borrow_base_model, resident_reader
from spillover.models.load import load
from spillover.models.scoring.score import score
from spillover.models.tuning.tune import tune
from spillover.records import Example, Prompt

EXAMPLES = [Example(str(i), "de", f"Der Zug {i} ist spät.\n", f"Train {i} is late.") for i in range(12)]
PROMPTS = [Prompt(("good: yes\n\n",), f"late {i}:", (" yes\n\n", " no\n\n")) for i in range(4)]

pytestmark = pytest.mark.usefixtures("one_thread", "nothing_held")
SETTINGS = TuneConfig(rank=4, alpha=8, learning_rate=1e-1, epochs=1, batch=4, validation_share=0.25, translations=0)


@pytest.fixture
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "in_memory", None)


def chosen(name: str, threads: int = 0) -> ModelConfig:
    return ModelConfig(name=name, dtype="float32", threads=threads)


def tuned(model: str, folder: Path, seed: int) -> Path:
    folder.mkdir()
    tune(load(model, "float32"), EXAMPLES, SETTINGS, seed, folder)
    return folder


def scores(reader: PrefixReader) -> list[tuple[float, ...]]:
    return score(reader, PROMPTS).choices


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_swapped_in_and_out_every_arm_scores_as_if_loaded_alone(
    kind: str, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    name = str(tiny(kind))
    adapters = [None, tuned(name, tmp_path / "one", 1), tuned(name, tmp_path / "two", 2)]
    alone = {adapter: scores(PrefixReader(load(name, "float32", adapter=adapter))) for adapter in adapters}
    assert len({str(found) for found in alone.values()}) == 3
    network = resident_reader(chosen(name)).model.network
    for place in (0, 1, 2, 1, 0, 2, 0):
        reader = resident_reader(chosen(name), adapter=adapters[place])
        assert scores(reader) == alone[adapters[place]]
        assert reader.model.network is network


def test_tuning_borrows_the_model_and_leaves_it_as_it_was(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    name = str(tiny("llama"))
    expected, base = tuned(name, tmp_path / "alone", 5), scores(PrefixReader(load(name, "float32")))
    first = tuned(name, tmp_path / "first", 1)
    resident_reader(chosen(name), adapter=first)
    (tmp_path / "borrowed").mkdir()
    with borrow_base_model(chosen(name)) as model:
        tune(model, EXAMPLES, SETTINGS, 5, tmp_path / "borrowed")
    found, wanted = (path / "adapter_model.safetensors" for path in (tmp_path / "borrowed", expected))
    assert found.read_bytes() == wanted.read_bytes()
    assert resident_reader(chosen(name)).model is model
    assert scores(resident_reader(chosen(name))) == base


def test_after_a_failure_the_model_is_loaded_anew(tiny: Callable[[str], Path]) -> None:
    name = str(tiny("llama"))
    with pytest.raises(SpilloverError, match="no"), borrow_base_model(chosen(name)) as model:
        with torch.no_grad():
            model.unembedding.weight.zero_()
        raise SpilloverError("no")
    assert resident_reader(chosen(name)).model is not model
    assert scores(resident_reader(chosen(name))) == scores(PrefixReader(load(name, "float32")))


def test_another_model_takes_the_place_of_the_first(tiny: Callable[[str], Path]) -> None:
    one, other = str(tiny("llama")), str(tiny("qwen2"))
    first = resident_reader(chosen(one))
    assert resident_reader(chosen(one)) is first
    assert scores(resident_reader(chosen(other))) == scores(PrefixReader(load(other, "float32")))
    assert resident_reader(chosen(one)) is not first


def test_threads_are_those_asked_for(tiny: Callable[[str], Path]) -> None:
    resident_reader(chosen(str(tiny("llama")), threads=2))
    assert torch.get_num_threads() == 2
