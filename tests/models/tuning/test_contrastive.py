"""The contrastive objective against a naive loop in float64, and a phase that learns by it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from spillover.experiment import TuneConfig
from spillover.models.load import load
from spillover.models.tuning.contrastive import TEMPERATURE, encode_pair, info_nce, mean_states
from spillover.models.tuning.loss import IGNORED
from spillover.models.tuning.tune import tune
from spillover.records import Example, PartPlan, PhasePlan

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
LANGUAGES = ["de", "zh", "de", "de", "zh"]
WORDS = ("rot", "grün", "blau", "gelb", "alt", "neu")
EXAMPLES = [Example(f"{a}{b}", "de", f"{a} und {b}\n", f"{b} and {a}") for a in WORDS for b in WORDS[:3]]


def naive(first: torch.Tensor, second: torch.Tensor, languages: Sequence[str]) -> torch.Tensor:
    """The formula, pair by pair, in float64."""

    def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * b).sum() / (a.square().sum().sqrt() * b.square().sum().sqrt())

    total = torch.zeros((), dtype=torch.float64)
    for i, code in enumerate(languages):
        same = [j for j, other in enumerate(languages) if other == code]
        for one, other in ((first, second), (second, first)):
            scores = torch.stack([cosine(one[i], other[j]) / TEMPERATURE for j in same])
            total = total - (cosine(one[i], other[i]) / TEMPERATURE - scores.exp().sum().log())
    return total / (2 * len(languages))


@pytest.mark.parametrize(("languages", "same"), [(LANGUAGES, True), (["de"] * 5, False)])
def test_loss_and_gradient_are_the_naive_ones(languages: list[str], same: bool) -> None:
    """A twin that tells a text apart from those of other languages too is seen."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(5, 7, generator=generator).requires_grad_() for _ in range(2))
    info_nce(first, second, languages).backward()
    exact = [states.detach().double().requires_grad_() for states in (first, second)]
    expected = naive(exact[0], exact[1], LANGUAGES)
    expected.backward()
    assert (info_nce(first, second, languages).item() == pytest.approx(expected.item(), rel=1e-5)) is same
    for states, reference in zip((first, second), exact, strict=True):
        assert torch.allclose(states.grad.double(), reference.grad, atol=1e-6) is same


def test_laws_of_the_loss() -> None:
    states = torch.eye(6)
    assert info_nce(states, states, ["de"] * 6).item() == pytest.approx(math.log(1 + 5 * math.exp(-10)), abs=1e-5)
    assert info_nce(states, states.roll(1, 0), ["de"] * 6).item() > 9
    assert info_nce(states[:1], states[1:2], ["de"]).item() == pytest.approx(0, abs=1e-6)
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(6, 7, generator=generator) for _ in range(2))
    loss = info_nce(first, second, ["de"] * 6).item()
    assert info_nce(2 * first, 3 * second, ["de"] * 6).item() == pytest.approx(loss, rel=1e-5), "lengths do not count"
    assert info_nce(second, first, ["de"] * 6).item() == pytest.approx(loss, rel=1e-5), "nor does the direction"


@pytest.mark.parametrize(("depth", "layer"), [(0.1, 1), (0.34, 2), (0.6, 2), (1.0, 3)])
def test_states_are_the_hidden_states_of_the_block(tiny: Callable[[str], Path], depth: float, layer: int) -> None:
    """Each text alone, without padding; and nothing above the block is computed."""
    model = load(str(tiny("llama")), "float32")
    texts = [[5, 6, 7, 300], [8, 9]]
    calls: list[int] = []
    for number, block in enumerate(model.backbone.layers):
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
    means = mean_states(model, texts, depth)
    assert max(calls) == layer - 1
    for tokens, mean in zip(texts, means, strict=True):
        block = model.backbone.layers[layer - 1]
        states: list[torch.Tensor] = []
        hook = block.register_forward_hook(lambda module, args, output, states=states: states.append(output))
        model.backbone(input_ids=torch.tensor([tokens]))
        hook.remove()
        output = states[0] if isinstance(states[0], torch.Tensor) else states[0][0]
        assert torch.allclose(mean, output[0].mean(dim=0), rtol=1e-4, atol=1e-5)


def test_a_phase_brings_pairs_together_and_leaves_the_blocks_above(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = load(str(tiny("llama")), "float32")
    rows = [encode_pair(model, example) for example in EXAMPLES]
    assert [row.labels.count(IGNORED) for row in rows] == [
        len(model.tokenize([example.source.strip()])[0]) for example in EXAMPLES
    ]
    plan = PhasePlan((PartPlan("contrastive", 1, len(EXAMPLES)),), depth=0.6)
    settings = TuneConfig(
        targets="all-linear", learning_rate=1e-2, epochs=4, batch=6, validation_share=0.3, translations=0, rank=4
    )
    history = tune(model, EXAMPLES, settings, 0, tmp_path, (plan,))
    assert min(history.validation[1:]) < history.validation[0] - 0.1
    learned = {
        name: weight for name, weight in load_file(tmp_path / "adapter_model.safetensors").items() if "lora_B" in name
    }
    assert {name: bool(weight.any()) for name, weight in learned.items()} == {
        name: ".layers.2." not in name for name in learned
    }
