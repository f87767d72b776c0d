"""Evaluations during tuning: what they measure is true, and tuning is as it would be without them."""

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from safetensors.torch import load_file
from transformers import set_seed

from spillover.experiment import IN_DIGEST, TuneConfig
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.tuning import probes as module
from spillover.models.tuning.held_out import target_losses
from spillover.models.tuning.history import read_history
from spillover.models.tuning.loss import encode
from spillover.models.tuning.seen import SeenRows
from spillover.models.tuning.trainer import TargetTrainer
from spillover.models.tuning.translations import chrf, translate
from spillover.models.tuning.tune import tune
from spillover.records import Example, PartPlan, PhasePlan, Probe, ProbeCell, Prompt, Tuning

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
ASKED = ("eins", "zwei", "drei")
WORDS = ("rot", "grün", "blau", "gelb", "alt")
EXAMPLES = [
    Example(f"{a}{b}", ("de", "nl")[place % 2], f"{a} und {b}\n", f"{b} and {a}")
    for place, a in enumerate(WORDS)
    for b in WORDS[:3]
]
SETTINGS = TuneConfig(
    rank=4, learning_rate=1e-2, epochs=1, batch=4, validation_share=0.25, dropout=0.3, translations=3, probe_every=2
)


def cell(tuned: bool, word: str) -> ProbeCell:
    prompts = tuple(Prompt((), f"{word} {other}:", (" good", " bad", " so so")) for other in ASKED)
    return ProbeCell(tuned, prompts, (0, 1, 2))


CELLS = (cell(False, "ผม"), cell(True, "der"), cell(False, "कल"))
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "adapter": ("llama", {}),
    "weights": ("llama", {"method": "full", "targets": "all-linear", "learning_rate": 1e-3}),
    "rows of a tied embedding": ("tied", {"embeddings": "seen"}),
}


def tuned(folder: Path, model: Path, settings: TuneConfig) -> tuple[dict[str, torch.Tensor], Tuning]:
    """Tune; return what was learned, and the history."""
    folder.mkdir()
    tuning = tune(load(str(model), "float32"), EXAMPLES, settings, 1, folder, cells=CELLS)
    assert read_history(folder) == tuning
    (weights,) = folder.glob("*.safetensors")
    return load_file(weights), tuning


@pytest.fixture(scope="module")
def without_probes(
    tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[dict[str, torch.Tensor], Tuning]]:
    """Return a function: variant → what it learns without probes, and its history; tuned once."""

    @cache
    def make(variant: str) -> tuple[dict[str, torch.Tensor], Tuning]:
        kind, keys = VARIANTS[variant]
        folder = tmp_path_factory.mktemp(kind) / "adapter"
        return tuned(folder, tiny(kind), SETTINGS.model_copy(update={**keys, "probe_every": 0}))

    return make


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether all weights have the same bits."""
    return one.keys() == other.keys() and all(torch.equal(weight, other[name]) for name, weight in one.items())


def log_p(model: Model, text: str, end: str) -> float:
    """The log-probability of the tokens of a text's end, read as a whole and without a cache."""
    begin, whole = model.tokenize([text, text + end])
    with torch.inference_mode():
        steps = torch.log_softmax(model.network(torch.tensor([whole])).logits[0].double(), dim=-1)
    return sum(steps[place - 1, whole[place]].item() for place in range(len(begin), len(whole)))


def asked(model: Model, cells: list[ProbeCell]) -> tuple[list[float], list[float]]:
    """Per item the share of languages answered right, and the mean gold margin, one prompt after the other."""
    hits, margins = np.zeros((2, len(cells), len(ASKED)))
    for row, of_language in enumerate(cells):
        for column, (prompt, gold) in enumerate(zip(of_language.prompts, of_language.gold, strict=True)):
            scores = [log_p(model, prompt.body, choice) for choice in prompt.choices]
            hits[row, column] = max(range(3), key=scores.__getitem__) == gold
            margins[row, column] = scores[gold] - scipy.special.logsumexp([*scores[:gold], *scores[gold + 1 :]])
    return hits.mean(axis=0).tolist(), margins.mean(axis=0).tolist()


def assert_measured(probe: Probe, model: Model, held_out: list[Example]) -> None:
    """Check a probe against a model that was loaded for it."""
    reader = PrefixReader(model)
    targets = [row.target for row in held_out]
    assert probe.chrf == pytest.approx(chrf(translate(reader, held_out), targets))
    assert probe.loss == pytest.approx(np.mean(target_losses(reader, [encode(model, row) for row in held_out])), 1e-5)
    for of_tuned, hits, margins in (
        (False, probe.unseen, probe.unseen_margins),
        (True, probe.tuned, probe.tuned_margins),
    ):
        expected = asked(model, [of_language for of_language in CELLS if of_language.tuned is of_tuned])
        assert list(hits) == expected[0]
        assert list(margins) == pytest.approx(expected[1], abs=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_probe_is_the_evaluation_of_its_step_and_changes_nothing(
    tiny: Callable[[str], Path],
    without_probes: Callable[[str], tuple[dict[str, torch.Tensor], Tuning]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
) -> None:
    """Weights have the same bits with probes and without; each step's weights are saved and evaluated by themselves."""
    kind, keys = VARIANTS[variant]
    expected, plain = without_probes(variant)
    assert plain.probes == ()
    probe = module.Prober.probe

    def saved(prober: module.Prober, step: int) -> Probe:
        measured = probe(prober, step)
        (tmp_path / str(step)).mkdir()
        prober.parts.save(tmp_path / str(step))
        return measured

    monkeypatch.setattr(module.Prober, "probe", saved)
    weights, tuning = tuned(tmp_path / "with", tiny(kind), SETTINGS.model_copy(update=keys))
    assert equal(weights, expected)
    assert replace(tuning, probes=()) == plain
    assert [measured.step for measured in tuning.probes] == [0, 2, 3]
    ids = [row.id for row in plain.translations]
    held_out = sorted((row for row in EXAMPLES if row.id in ids), key=lambda row: ids.index(row.id))
    for measured in tuning.probes:
        assert_measured(measured, load(str(tiny(kind)), "float32", adapter=tmp_path / str(measured.step)), held_out)
    first, *_, last = tuning.probes
    assert (first.chrf, last.chrf) == pytest.approx(plain.chrf)
    assert first.loss != pytest.approx(last.loss, rel=1e-3)
    assert first.unseen_margins != pytest.approx(last.unseen_margins, rel=1e-3)


def drawing(prober: module.Prober, step: int) -> Probe:
    """A twin that must fail: a random number is drawn, which the dropout of the next step then misses."""
    torch.rand(1)
    return PROBE(prober, step)


def learning(prober: module.Prober, step: int) -> Probe:
    """A twin that must fail: the adapter is still in the mode in which it learns, so its dropout draws."""
    network = prober.reader.model.network
    network.train()
    network.eval = network.train
    try:
        return PROBE(prober, step)
    finally:
        del network.eval


PROBE = module.Prober.probe


@pytest.mark.parametrize("twin", [drawing, learning])
def test_a_probe_that_draws_changes_the_adapter(
    tiny: Callable[[str], Path],
    without_probes: Callable[[str], tuple[dict[str, torch.Tensor], Tuning]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    twin: Callable[..., Probe],
) -> None:
    expected, _ = without_probes("adapter")
    monkeypatch.setattr(module.Prober, "probe", twin)
    monkeypatch.setattr(module, "undisturbed", nullcontext)
    weights, _ = tuned(tmp_path / "with", tiny("llama"), SETTINGS)
    assert not equal(weights, expected)


def drawn() -> tuple[float, float, float]:
    """The next number of each generator."""
    return random.random(), float(np.random.rand()), torch.rand(1).item()


def test_the_generators_and_modes_are_as_before() -> None:
    outer, inner = torch.nn.Dropout(), torch.nn.Dropout().eval()
    network = torch.nn.Sequential(outer, inner)
    set_seed(3)
    expected = drawn()
    set_seed(3)
    with module.undisturbed(network):
        assert drawn() == expected
        outer.eval()
        inner.train()
    assert drawn() == expected
    assert (network.training, outer.training, inner.training) == (True, True, False)


def test_inside_learning_only_a_reading_network_reads_tokens_that_do_not_learn(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A twin that must fail: without `reading`, such a token is read as the first one that learns."""
    monkeypatch.setattr(SeenRows, "reading", lambda rows: nullcontext())
    _, twin = tuned(tmp_path / "twin", tiny("tied"), SETTINGS.model_copy(update={"embeddings": "seen"}))
    _, expected = asked(load(str(tiny("tied")), "float32"), [CELLS[0], CELLS[2]])
    assert twin.probes[0].unseen_margins != pytest.approx(expected, rel=1e-2)


def test_probes_count_on_across_phases_and_survive_an_interruption(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two phases of three steps each, stopped in the second step of the second; probes of before are not repeated."""
    rows = [*EXAMPLES, *(replace(row, id=f"later {row.id}", stage=1) for row in EXAMPLES)]
    plans = [PhasePlan((PartPlan("question-translation", 1, len(EXAMPLES)),))] * 2
    probe, steps = module.Prober.probe, []

    def counted(prober: module.Prober, step: int) -> Probe:
        steps.append(step)
        return probe(prober, step)

    def run(folder: Path) -> Tuning:
        folder.mkdir(exist_ok=True)
        model = load(str(tiny("llama")), "float32")
        return tune(model, rows, SETTINGS, 1, folder, plans, [(True,), (True,)], CELLS)

    monkeypatch.setattr(module.Prober, "probe", counted)
    expected = run(tmp_path / "whole")
    assert steps == [probe.step for probe in expected.probes] == [0, 2, 4, 6]
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(TargetTrainer, "training_step", stopping_at(5))
        run(tmp_path / "broken")
    steps.clear()
    assert run(tmp_path / "broken") == expected
    assert steps == [4, 6]
    weights = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "broken")]
    assert equal(*weights)


def stopping_at(last: int) -> Callable[..., torch.Tensor]:
    """Return a step of training that is the last one."""
    step, done = TargetTrainer.training_step, []

    def counted(*arguments: object) -> torch.Tensor:
        done.append(1)
        if len(done) == last:
            raise InterruptedError
        return step(*arguments)  # type: ignore[arg-type]

    return counted


def test_old_adapters_stay_valid() -> None:
    """The key is in a digest only where it is set."""
    assert "probe_every" not in TuneConfig().model_dump(context=IN_DIGEST)
    assert TuneConfig(probe_every=5).model_dump(context=IN_DIGEST)["probe_every"] == 5
