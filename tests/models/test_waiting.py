"""How often the processor waits for a GPU: once for many batches, per token that is written, per pass that is traced.

Devices that compute in this process count it (`devices.py`), and they refuse to mix tensors of two devices. So the same
devices show that layers may be on two GPUs.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module  # type: ignore[import-untyped]

from devices import FIRST, SECOND, Waits, gpus, place
from spillover.models.inference import token_choice, unembed
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.rows import Rows, rows_layout
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.placement import connect
from spillover.models.scoring.generate import generate
from spillover.models.scoring.score import score
from spillover.models.tracing.patch import patch
from spillover.models.tracing.trace import trace
from spillover.models.tuning.loss import collate, encode, loss_as_forward, target_places
from spillover.records import Example, Prompt

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = [Prompt(("a: b\n\n",), f"late {i}{' and' * i}:", (" yes\n\n", " no\n\n")) for i in range(8)]
OPEN = [Prompt((), prompt.body, ()) for prompt in SHORT]
LONG = [Prompt((), f"{i}{' of late trains' * 12}:", (" yes\n\n", " no\n\n")) for i in range(6)]
"""So long that each is a row of its own."""
EXAMPLES = [Example(str(i), "de", f"Zug {i}\n", f"Train {i}") for i in range(4)]

KINDS = ["llama", "tied", "gemma3", "mistral"]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waits]:
    with gpus(monkeypatch) as counter:
        yield counter


def on_one(folder: Path) -> Model:
    """A model on the first GPU."""
    model = load(str(folder), "float32")
    place(model.network, lambda name: FIRST)
    return Model(model.network, model.tokenizer, model.chat)


class Move(AlignDevicesHook):  # type: ignore[misc]
    """accelerate's hook for a module whose weights are already where they belong."""

    def init_hook(self, module: torch.nn.Module) -> torch.nn.Module:
        return module


def on_two(folder: Path) -> Model:
    """A model whose first layer and embeddings are on the first GPU, and the rest on the second one."""
    model = load(str(folder), "float32")
    network = model.network
    later = ("model.layers.1", "model.layers.2", "model.norm")

    def device_of(name: str) -> torch.device:
        return SECOND if name.startswith(later) else FIRST

    place(network, device_of)
    network.hf_device_map = {name: device_of(name).index for name in ("model.embed_tokens", *later, "lm_head")}
    for name, module in network.named_modules():
        if name and not isinstance(module, torch.nn.ModuleList) and name != "model":
            add_hook_to_module(module, Move(execution_device=device_of(name)))
    connect(network)
    return Model(network, model.tokenizer, model.chat)


PLACES = {"one": on_one, "two": on_two}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", PLACES)
def test_a_gpu_scores_writes_and_traces_as_the_processor(
    where: str, kind: str, tiny: Callable[[str], Path], waits: Waits
) -> None:
    readers = [PrefixReader(make(tiny(kind))) for make in (lambda folder: load(str(folder), "float32"), PLACES[where])]
    assert readers[1].shares
    one, other = (np.array(score(reader, SHORT).choices) for reader in readers)
    assert np.abs(one - other).max() < 1e-4
    assert [a.text for a in generate(readers[0], OPEN, 5)] == [a.text for a in generate(readers[1], OPEN, 5)]
    first, second = (trace(reader, SHORT) for reader in readers)
    for one, other in ((first.last, second.last), (first.body_mean, second.body_mean)):
        assert np.abs(one - other).max() < 1e-5 * np.abs(one).max()
    assert np.array_equal(first.active, second.active)
    states = first.last[1:3, :-1]
    patched = [patch(reader, SHORT[:2], [0, 1], np.stack([states, states[::-1]])).patched for reader in readers]
    assert np.abs(patched[0] - patched[1]).max() < 1e-4


def passes_of(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[int]:  # noqa: ANN401
    """Count the calls of a function from now on."""
    calls: list[int] = []
    plain = getattr(owner, name)

    def counted(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        calls.append(1)
        return plain(*arguments, **named)

    monkeypatch.setattr(owner, name, counted)
    return calls


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", KINDS[::2])
def test_scoring_waits_once_however_many_batches_there_are(
    kind: str, where: str, tiny: Callable[[str], Path], waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = PrefixReader(PLACES[where](tiny(kind)))
    reader.budget = 40
    monkeypatch.setattr(unembed, "POSITION_BLOCK", 5)
    batches = passes_of(monkeypatch, type(reader.model.backbone), "forward")
    waits.clear()
    score(reader, SHORT)
    assert len(batches) > 3
    assert waits.reads == ["_to_copy: values"]
    assert waits.copies == []


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", KINDS[::2])
def test_writing_waits_once_per_token(
    kind: str, where: str, tiny: Callable[[str], Path], waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = PrefixReader(PLACES[where](tiny(kind)))
    rows_layout(reader)
    counts = []
    for limit in (2, 10):
        waits.clear()
        with pytest.MonkeyPatch.context() as patched:
            steps = passes_of(patched, Rows, "step")
            generate(reader, OPEN, limit)
        counts.append((len(steps), len(waits.reads), len(waits.copies)))
    (few, reads, copies), (many, more, same) = counts
    assert many == few + 8
    assert more == reads + 8
    assert same == copies


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", KINDS[::2])
def test_tracing_waits_once_per_pass(
    kind: str, where: str, tiny: Callable[[str], Path], waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the first pass, which finds the parts of the network and reads each of them."""
    reader = PrefixReader(PLACES[where](tiny(kind)))
    trace(reader, LONG[:1])
    counts = []
    for budget in (10_000, 200):
        reader.budget = budget
        waits.clear()
        with pytest.MonkeyPatch.context() as patched:
            passes = passes_of(patched, type(reader.model.backbone), "forward")
            trace(reader, LONG)
        counts.append((len(passes), len(waits.reads), len(waits.copies)))
    (few, reads, copies), (many, more, same) = counts
    assert many > few
    assert more - reads <= many - few
    assert same == copies


def micro_batch(model: Model, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """A micro-batch as the trainer lays it out."""
    rows = collate([encode(model, example) for example in examples])
    attended = (torch.arange(rows["input_ids"].shape[1]) < rows["lengths"][:, None]).long()
    part = {"input_ids": rows["input_ids"], "labels": rows["labels"], "attention_mask": attended}
    return part | {"places": target_places(rows["labels"])}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", KINDS[::2])
def test_a_loss_waits_no_more_than_its_pass(kind: str, where: str, tiny: Callable[[str], Path], waits: Waits) -> None:
    losses = []
    for make in (lambda folder: load(str(folder), "float32"), PLACES[where]):
        model = make(tiny(kind))
        with loss_as_forward(model), torch.no_grad():
            part = micro_batch(model, EXAMPLES)
            moved = {name: values.to(model.device) for name, values in part.items()}
            waits.clear()
            model.backbone(**{name: moved[name] for name in ("input_ids", "attention_mask")}, use_cache=False)
            of_transformers = len(waits.reads), len(waits.copies)
            waits.clear()
            loss = model.network(**moved)
            assert (len(waits.reads), len(waits.copies)) == of_transformers
            losses.append(float(loss))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def by_number(model: Model, hidden: torch.Tensor) -> list[int]:
    """Read each row's token by itself."""
    best = torch.cat([logits for _, logits in model.head.blocks(hidden)], dim=1)
    return [int(row.argmax().item()) for row in best]


def test_a_number_read_per_row_is_counted(
    tiny: Callable[[str], Path], waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken twin."""
    monkeypatch.setattr(token_choice, "likeliest_tokens", by_number)
    with pytest.raises(AssertionError):
        test_writing_waits_once_per_token("llama", "one", tiny, waits, monkeypatch)


def test_what_a_gpu_waits_for_is_counted(waits: Waits) -> None:
    """The counter itself, by the operations that torch documents to wait."""
    numbers = torch.arange(4.0).to(FIRST)
    assert waits.copies == ["_to_copy: values"]
    waits.clear()
    for work in (
        lambda: numbers[0].item(),
        lambda: numbers.tolist(),
        lambda: numbers.cpu(),
        lambda: numbers[numbers > 1],
        lambda: numbers.nonzero(),
        lambda: bool((numbers > 1).all()),
    ):
        waits.clear()
        work()
        assert len(waits.reads) == 1, work
    waits.clear()
    numbers[torch.tensor([0, 1])]
    assert waits.copies == ["index: indices"]
    torch.arange(4.0).pin_memory().to(FIRST, non_blocking=True)
    assert len(waits.copies) == 1
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        numbers + torch.arange(4.0).to(SECOND)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        numbers + torch.arange(4.0)
