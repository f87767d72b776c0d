"""Neurons counted in answers and switched off, against a model whose weights were cut, and a planted neuron."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch

from calls import Call
from spillover.errors import SpilloverError
from spillover.experiment import load_experiment
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.scoring.likelihood import negative_log_likelihood
from spillover.models.scoring.score import score
from spillover.models.tracing import deactivate as module
from spillover.models.tracing.activity import count_in_answers
from spillover.models.tracing.anatomy import ACTIVATIONS
from spillover.models.tracing.deactivate import neurons_off
from spillover.pipeline import Run
from spillover.records import Prompt
from spillover.stages.analyze import analyze_arm
from spillover.stages.arms import reference_arm
from spillover.store import Store
from spillover.utils.progress import bar

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("llama", "gemma3", "gpt_neox")
HEADER = ("Review: The room was clean.\nFeeling: good\n\n",)
PROMPTS = [
    Prompt(HEADER, f"Review: {body}\nFeeling:", (" good\n\n", " bad to see\n\n")) for body in ("It works.", "ไม่ดีเลย")
]
TEXTS = ["The train was late.", "ห้องสะอาดมาก"]
OFF = np.random.default_rng(0).random((3, 48)) < 0.3


@pytest.fixture(scope="module")
def readers(tiny: Callable[[str], Path]) -> dict[str, PrefixReader]:
    return {kind: PrefixReader(load(str(tiny(kind)), "float32")) for kind in KINDS}


@pytest.fixture(params=KINDS)
def reader(request: pytest.FixtureRequest, readers: dict[str, PrefixReader]) -> PrefixReader:
    return readers[request.param]


def measured(reader: PrefixReader) -> np.ndarray:
    scores = score(reader, PROMPTS).choices
    return np.array([value for row in scores for value in row] + negative_log_likelihood(reader, TEXTS))


def check(reader: PrefixReader, tiny: Callable[[str], Path]) -> None:
    """A neuron that is off is one that nothing reads: its column of the map out of the MLP is 0."""
    with neurons_off(reader.model, OFF):
        found = measured(reader)
    cut = PrefixReader(load(str(tiny(reader.model.config.model_type.removesuffix("_text"))), "float32"))
    downs = [m for name, m in cut.model.backbone.named_modules() if name.endswith(("down_proj", "dense_4h_to_h"))]
    with torch.no_grad():
        for down, row in zip(downs, OFF, strict=True):
            down.weight[:, np.flatnonzero(row)] = 0
    np.testing.assert_allclose(found, measured(cut), rtol=1e-4, atol=1e-4)


def test_scores_with_neurons_off_are_those_of_a_cut_model(reader: PrefixReader, tiny: Callable[[str], Path]) -> None:
    before = measured(reader)
    check(reader, tiny)
    np.testing.assert_array_equal(measured(reader), before)
    assert not np.allclose(before, before[::-1])


def test_fails_where_other_neurons_are_off(
    reader: PrefixReader, tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = neurons_off
    monkeypatch.setitem(globals(), "neurons_off", lambda model, off: plain(model, off[::-1]))
    with pytest.raises(AssertionError):
        check(reader, tiny)


def test_unknown_neurons_are_refused(readers: dict[str, PrefixReader], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spillover.models.tracing.anatomy.ACTIVATIONS", ())
    with (
        pytest.raises(SpilloverError, match=r"analyze\.deactivate: llama has no plain MLP"),
        neurons_off(replace(readers["llama"].model), OFF),  # a model whose parts were not found yet
    ):
        pass


@pytest.mark.parametrize("shares", [True, False])
def test_neurons_are_counted_over_the_answers_tokens(
    reader: PrefixReader, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whole sequence at a time: all tokens behind the prompt's, the last one too."""
    monkeypatch.setattr(reader, "shares", shares)
    counts = np.zeros((3, 48), dtype=int)
    total = start = 0
    acts = [m for name, m in reader.model.backbone.named_modules() if name.rpartition(".")[2] in ACTIVATIONS]

    def hook(block: int) -> Callable[..., None]:
        def count(m: object, a: object, out: torch.Tensor) -> None:
            counts[block] += (out[0, start:] > 0).sum(dim=0).numpy()

        return count

    asked = [Prompt(p.exemplars, p.body, p.choices[1:]) for p in PROMPTS]
    hooks = [act.register_forward_hook(hook(block)) for block, act in enumerate(acts)]
    for prompt in asked:
        text = prompt.header + prompt.body
        before, whole = reader.model.tokenize([text, text + prompt.choices[0]])
        start, total = len(before), total + len(whole) - len(before)
        with torch.inference_mode():
            reader.model.network(torch.tensor([whole]))
    for one in hooks:
        one.remove()
    active, tokens = count_in_answers(reader, asked)
    assert tokens == total
    assert np.abs(active - counts).max() <= 1, "no more than rounding near 0 can explain"
    assert (active != counts).mean() < 0.01


# --- a planted neuron -------------------------------------------------------------------------------------------------

NEURON = 7
ITEMS = 4


def plant(folder: Path, copy: Path) -> Path:
    """Give the second block of a model one neuron that is active at Thai tokens alone and makes Thai tokens likely."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    begins = bytes([0xE0, 0xB8]), bytes([0xE0, 0xB9])
    table = {letter: byte for byte, letter in _byte_letters().items()}
    spelled = {
        id: bytes(table[letter] for letter in token)
        for token, id in tokenizer.get_vocab().items()
        if all(letter in table for letter in token)
    }
    thai = [id for id, text in spelled.items() if text.lstrip(b" ").startswith(begins)]
    with torch.no_grad():
        embedding, head = model.get_input_embeddings().weight, model.lm_head.weight
        embedding[:, 0], embedding[:, 1] = -8, 8
        embedding[thai, 0] = 8
        head[:, 2] = 0
        head[thai, 2] = 1
        for block in model.model.layers:
            for part in (block.self_attn.o_proj, block.mlp.down_proj):
                part.weight *= 0.05  # else all tokens become alike, and neurons are active at each or at none
                part.weight[:3] = 0
            block.mlp.gate_proj.weight[:, (0, 2)], block.mlp.gate_proj.weight[:, 1] = 0, -0.6  # rarely active
        mlp = model.model.layers[1].mlp
        mlp.gate_proj.weight[NEURON], mlp.up_proj.weight[NEURON] = 0, 0
        mlp.gate_proj.weight[NEURON, 0], mlp.up_proj.weight[NEURON, 1] = 40, 1
        mlp.down_proj.weight[:, NEURON] = 0
        mlp.down_proj.weight[2, NEURON] = 1
    model.save_pretrained(copy)
    tokenizer.save_pretrained(copy)
    return copy


def _byte_letters() -> dict[int, str]:
    """Byte → its letter in a byte-level vocabulary (Radford et al. 2019)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


@pytest.fixture
def experiment(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    table = {
        "model": {"name": str(plant(tiny("llama"), tmp_path / "planted")), "dtype": "float32"},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "de", "th"], "limit": ITEMS},
        "analyze": {"limit": ITEMS, "patch": 0, "metrics": [], "lenses": [], "answers": True, "deactivate": ["th"]},
    }
    path = tmp_path / "planted.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def check_planted(path: Path) -> None:
    run = Run(load_experiment(path), Store(path.parent / "runs", "planted"))
    with bar("test", 1) as progress:
        inside = analyze_arm(run.store, reference_arm(run.experiment), run.traced_items, [], progress)
    effects = {row.language: row for row in inside.deactivations}
    assert {row.off for row in effects.values()} == {"th"}
    assert effects["th"].neurons == 1
    assert effects["th"].bits.value > 0.1
    assert effects["th"].bits_excess.low > 0
    assert effects["th"].bits_p == pytest.approx(0.05)
    for code in ("en", "de"):
        assert abs(effects[code].bits.value) < 1e-3
        assert effects[code].accuracy.value == 0
    assert [activity.part for activity in inside.activity] == ["prompts"] * 3 + ["answers"] * 3


def test_a_planted_neuron_hurts_its_language_alone(experiment: Path) -> None:
    check_planted(experiment)


def test_fails_where_nothing_is_switched_off(experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "neurons_off", lambda model, off: neurons_off(model, np.zeros_like(off)))
    with pytest.raises(AssertionError):
        check_planted(experiment)


def test_the_forecast_counts_the_items_that_are_read(
    call: Call, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of an arm more. Each reading is one artifact of `ITEMS` items; the same neurons twice are one."""
    readings: list[object] = []
    get_or_make = Store.get_or_make

    def count(store: Store, kind: str, *inputs: object) -> object:
        readings.extend([inputs] if kind == "deactivation" else [])
        return get_or_make(store, kind, *inputs)  # type: ignore[arg-type]

    options: tuple[object, ...] = (
        "--runs",
        experiment.parent / "runs",
        "--set",
        "analyze.texts=0",
        "--set",
        'arms.a.dtype="float32"',
    )
    options += ("--set", 'analyze.deactivate=["th", "de"]', "--set", 'arms.b.dtype="bfloat16"')

    def forecast(*more: str) -> int:
        ended = call("run", experiment, *options, *more, "--dry-run")
        assert ended.status == 0, ended.err
        line = next(line for line in ended.out.splitlines() if line.startswith("deactivate: "))
        return 0 if "nothing" in line else int(line.split()[1].replace(",", ""))

    forecast_before = forecast()
    monkeypatch.setattr(Store, "get_or_make", count)
    analyzed = call("analyze", experiment, *options)
    monkeypatch.undo()
    assert analyzed.status == 0, analyzed.err
    assert forecast_before == ITEMS * len(readings) == 2 * 3 * ITEMS * (1 + 2 * 20), "arms × languages × items × times"
    assert forecast() == 0
    assert forecast("--set", 'arms.c.dtype="float16"') == 3 * ITEMS * (1 + 2 * 20)


def test_a_language_that_is_not_measured_is_refused(call: Call, experiment: Path) -> None:
    ended = call("analyze", experiment, "--runs", experiment.parent / "runs", "--set", 'analyze.deactivate=["sw"]')
    assert ended.status == 2
    assert "analyze.deactivate: found 'sw', expected a language of the evaluation" in ended.err
