"""A model whose layers are on several devices reads as one on a single device, by accelerate's own dispatch.

Two devices of this machine: the processor's memory, and a disk from which accelerate reads weights as they are used.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, ModelConfig, TuneConfig, parse_experiment
from spillover.models import load as module
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.resident import resident_reader
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.scoring.generate import generate
from spillover.models.scoring.likelihood import negative_log_likelihood
from spillover.models.scoring.score import score
from spillover.models.tracing.deactivate import neurons_off
from spillover.models.tracing.lenses import tuned
from spillover.models.tracing.patch import patch
from spillover.models.tracing.readout import Readout
from spillover.models.tracing.trace import trace
from spillover.models.tuning.tune import tune
from spillover.records import Example, Prompt
from spillover.store import digest
from tiny_models import save_adapter

pytestmark = pytest.mark.usefixtures("one_thread")

SPREAD = {
    "model.embed_tokens": "cpu",
    "model.rotary_emb": "cpu",
    "model.layers.0": "cpu",
    "model.layers.1": "disk",
    "model.layers.2": "disk",
    "model.norm": "disk",
    "lm_head": "disk",
}
"""The layers of Llama and of its relatives."""
GPT2 = {
    "transformer.wte": "disk",
    "transformer.wpe": "cpu",
    "transformer.h.0": "disk",
    "transformer.h.1": "cpu",
    "transformer.ln_f": "disk",
    "lm_head": "disk",
}
MAPS = {"llama": SPREAD, "tied": SPREAD | {"model.embed_tokens": "disk"}, "gemma3": SPREAD, "gpt2": GPT2}
SHORT = [Prompt(("a: b\n\n",), f"late {i}:", (" yes\n\n", " no\n\n")) for i in range(4)]
OPEN = [Prompt((), prompt.body, ()) for prompt in SHORT]


def readings(model: Model) -> dict[str, Any]:
    """Everything that is read of a model: scores, answers, likelihoods, states, and what lenses make of them."""
    reader = PrefixReader(model)
    states = trace(reader, SHORT)
    readout = Readout(model)
    return {
        "scores": np.array(score(reader, SHORT).choices),
        "answers": [answer.text for answer in generate(reader, OPEN, 6)],
        "likelihoods": np.array(negative_log_likelihood(reader, ["One.", "Zwei drei."])),
        "last": states.last,
        "mean": states.body_mean,
        "active": states.active,
        "logits": readout.logits(readout.normed(states.last[:, 1]), slice(None)),
        "patched": patch(reader, SHORT[:2], [0, 1], states.last[1:3, None, :-1]).patched,
    }


def away(model: Model) -> list[str]:
    """The weights that are on no device while they are not used."""
    return [name for name, weight in model.network.named_parameters() if weight.device.type == "meta"]


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one["answers"] == other["answers"]
    return max(float(np.abs(one[name] - other[name]).max()) for name in one if name != "answers" and one[name].size)


@pytest.mark.parametrize("kind", list(MAPS))
def test_layers_on_two_devices_read_as_on_one(kind: str, tiny: Callable[[str], Path]) -> None:
    name = str(tiny(kind))
    spread = load(name, "float32", device_map=MAPS[kind])
    outside = away(spread)
    assert outside
    assert spread.device == torch.device("cpu")
    assert largest_difference(readings(load(name, "float32")), readings(spread)) < 1e-4
    assert away(spread) == outside


def test_half_precision_stays_half_after_a_pass_in_float32(tiny: Callable[[str], Path]) -> None:
    name = str(tiny("llama"))
    one, spread = load(name, "bfloat16"), load(name, "bfloat16", device_map=SPREAD)
    scores = [np.array(score(PrefixReader(model), SHORT).choices) for model in (one, spread)]
    assert np.array_equal(scores[0], scores[1])
    assert {weight.dtype for weight in spread.network.parameters()} == {torch.bfloat16}


def test_lenses_are_fitted_and_neurons_switched_off(tiny: Callable[[str], Path]) -> None:
    name = str(tiny("llama"))
    prompts = [Prompt((), f"word {i}:", (" yes\n\n", " no\n\n")) for i in range(20)]
    lenses, scores = [], []
    for device_map in ("none", SPREAD):
        model = load(name, "float32", device_map=device_map)
        lens = tuned(PrefixReader(model), prompts, 0)
        lenses.append(lens.bias)
        off = np.zeros((3, 48), dtype=bool)
        off[:, :24] = True
        with neurons_off(model, off):
            scores.append(np.array(score(PrefixReader(model), SHORT).choices))
    assert np.abs(lenses[0] - lenses[1]).max() < 1e-4
    assert np.abs(scores[0] - scores[1]).max() < 1e-4


def test_an_unembedding_that_leaves_the_device_is_noticed(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken twin: without it the head reads weights that are not there."""
    monkeypatch.setattr(module, "connect", lambda network: None)
    with pytest.raises(SpilloverError, match="meta tensor"):
        score(PrefixReader(load(str(tiny("llama")), "float32", device_map=SPREAD)), SHORT)


@pytest.mark.parametrize("strategy", ["auto", "balanced", "balanced_low_0", "sequential"])
def test_a_strategy_without_a_gpu_is_one_device(strategy: str, tiny: Callable[[str], Path]) -> None:
    name = str(tiny("llama"))
    scores = [score(PrefixReader(load(name, "float32", device_map=m)), SHORT).choices for m in ("none", strategy)]
    assert scores[0] == scores[1]


def test_what_needs_all_weights_says_so(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    name = str(tiny("llama"))
    adapter = save_adapter(tiny("llama"), tmp_path / "adapter")
    for origin in ("", "arms.a.adapter"):
        with pytest.raises(SpilloverError, match=r"^model.device_map: an adapter needs all weights on devices, and"):
            load(name, "float32", adapter=adapter, device_map=SPREAD, origin=origin)
    spread = ModelConfig(name=name, dtype="float32", device_map=SPREAD)
    assert resident_reader(spread).model.device == torch.device("cpu")
    with pytest.raises(SpilloverError, match=r"^model.device_map: an adapter needs all weights"):
        resident_reader(spread, adapter=adapter)
    examples = [Example(str(i), "de", f"Zug {i}\n", f"Train {i}") for i in range(4)]
    with pytest.raises(SpilloverError, match=r"^model.device_map: tuning needs all weights on devices, and this map"):
        tune(load(name, "float32", device_map=SPREAD), examples, TuneConfig(), 0, tmp_path)


def test_processes_launched_together_have_a_model_each(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for device_map, shown in (("auto", "'auto'"), (SPREAD, "a table")):
        with pytest.raises(SpilloverError, match=rf"^model.device_map: found {shown} in 2 processes launched together"):
            load(str(tiny("llama")), "float32", device_map=device_map)


def test_a_map_without_a_module_is_one_sentence(tiny: Callable[[str], Path]) -> None:
    partial = {name: place for name, place in SPREAD.items() if name != "model.layers.2"}
    with pytest.raises(SpilloverError, match=r"^model.name: cannot load .*layers\.2"):
        load(str(tiny("llama")), "float32", device_map=partial)


def test_the_key_changes_no_digest_of_before() -> None:
    def loaded(table: dict[str, Any]) -> Experiment:
        return parse_experiment({"model": table}, "test")

    default = loaded({})
    assert default.model.device_map == "none"
    assert "device_map" not in default.model.identity()
    assert digest(loaded({"device_map": "none"}).model.identity()) == digest(default.model.identity())
    table: dict[str, int | str] = {"model": 0, "lm_head": "cpu"}
    assert loaded({"device_map": table}).model.device_map == table
    with pytest.raises(SpilloverError, match=r"model.device_map"):
        loaded({"device_map": "everywhere"})
