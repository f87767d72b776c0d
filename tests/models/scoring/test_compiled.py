"""Compiled layers score as plain ones do, whatever adapter is in them, and are not compiled again for other sizes."""

import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from calls import Call
from spillover.errors import SpilloverError
from spillover.experiment import ModelConfig
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.resident import resident_reader
from spillover.models.load import load
from spillover.models.scoring import compiled as module
from spillover.models.scoring.compiled import check_compiler
from spillover.models.scoring.compiled import score as score_compiled
from spillover.models.scoring.score import score
from spillover.records import Prompt
from tiny_models import save_adapter

pytestmark = pytest.mark.usefixtures("one_thread")


def prompts(count: int, words: int) -> list[Prompt]:
    """Prompts of different lengths; from 20 on, what they share is read as a prefix."""
    bodies = (f"{'late ' * (words + number % 3)}{number}:" for number in range(count))
    return [Prompt(("a: b\n\n",) * 8, body, (" yes\n\n", " no\n\n", " not yet\n\n")) for body in bodies]


def require_same(reader: PrefixReader, asked: list[Prompt]) -> None:
    """Fail unless compiled layers give the scores of plain ones."""
    plain, fused = score(reader, asked), score_compiled(reader, asked)
    for one, other in zip(plain.choices, fused.choices, strict=True):
        assert other == pytest.approx(one, abs=1e-4)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """Let `torch.compile` run what it traced as it is, seconds less per layer; return what it traces."""
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, examples: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=keep))
    torch.compiler.reset()
    return graphs


@pytest.mark.slow
def test_scores_are_those_of_plain_layers(tiny: Callable[[str], Path]) -> None:
    torch.compiler.reset()
    require_same(PrefixReader(load(str(tiny("llama")), "float32")), prompts(5, 2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_other_sizes_need_no_further_compilation(
    tiny: Callable[[str], Path], traced: list[torch.fx.GraphModule], kind: str
) -> None:
    reader = PrefixReader(load(str(tiny(kind)), "float32"))
    require_same(reader, prompts(20, 2))
    graphs = len(traced)
    require_same(reader, prompts(33, 4))
    require_same(reader, prompts(26, 3))
    assert len(traced) == graphs >= reader.model.config.num_hidden_layers


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_an_adapter_that_comes_and_goes_is_noticed(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    name = str(tiny("llama"))
    adapter, chosen = save_adapter(tiny("llama"), tmp_path / "adapter"), ModelConfig(name=name, dtype="float32")
    base, tuned = (score(resident_reader(chosen, place), prompts(20, 2)).choices for place in (None, adapter))
    assert all(abs(a - b).max() > 0.1 for a, b in zip(map(np.array, base), map(np.array, tuned), strict=True))
    for place in (None, adapter, None):
        require_same(resident_reader(chosen, place), prompts(20, 2))


@pytest.mark.usefixtures("traced")
def test_layers_are_plain_again_afterwards_and_free_their_memory(tiny: Callable[[str], Path]) -> None:
    reader = PrefixReader(load(str(tiny("llama")), "float32"))
    score_compiled(reader, prompts(3, 2))
    network = reader.model.network
    assert not any("forward" in vars(part) for part in network.modules())
    weight = weakref.ref(network.get_input_embeddings().weight)
    del reader, network
    assert weight() is None


def test_an_architecture_without_such_layers_is_refused(tiny: Callable[[str], Path]) -> None:
    reader = PrefixReader(load(str(tiny("llama")), "float32"))
    vars(reader.model)["compiled_layers"] = []
    with pytest.raises(SpilloverError, match=r"^evaluate.engine: 'llama' has no layers that can be compiled"):
        score_compiled(reader, prompts(3, 2))


def test_a_failing_compiler_is_one_sentence(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("the compiler is broken\nsecond line")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=fail))
    torch.compiler.reset()
    reader = PrefixReader(load(str(tiny("llama")), "float32"))
    expected = r"^evaluate.engine: torch cannot compile the layers of 'llama': .*broken; choose 'transformers'$"
    with pytest.raises(SpilloverError, match=expected):
        score_compiled(reader, prompts(3, 2))
    assert score(reader, prompts(3, 2)).choices


def test_settings_and_machines_that_cannot_compile_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpilloverError, match=r"^model.quantize: found 'nf4', expected 'none' with evaluate"):
        check_compiler("nf4", "none")
    with pytest.raises(SpilloverError, match=r"^model.device_map: found a table, expected 'none' with evaluate.engine"):
        check_compiler("none", {"model": "cpu"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(SpilloverError, match=r"^evaluate.engine: 'compiled' needs the package triton, which this"):
        check_compiler("none", "none")
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    check_compiler("none", "none")
    monkeypatch.setattr(torch, "compile", lambda model: model)
    with pytest.raises(SpilloverError, match=r"^evaluate.engine: 'compiled' needs a newer torch, which this"):
        check_compiler("none", "none")


def test_a_machine_without_a_compiler_says_so_before_it_tunes(
    call: Call, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(module, "which", lambda name: None)
    (tmp_path / "e.toml").write_text(f'[model]\nname = "{tiny("llama")}"\n[evaluate]\nengine = "compiled"\n')
    ended = call("evaluate", str(tmp_path / "e.toml"), "--runs", str(tmp_path / "runs"))
    assert ended.status == 2
    assert "evaluate.engine: 'compiled' needs a C++ compiler, which this machine lacks" in ended.err
    assert not (tmp_path / "runs").exists()
