"""Tuning against a naive loss, and what an adapter folder must be."""

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from transformers import PrinterCallback, set_seed

from spillover.errors import SpilloverError
from spillover.experiment import TuneConfig
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.tuning import loss as module
from spillover.models.tuning import trainer as trainer_module
from spillover.models.tuning import tune as tune_module
from spillover.models.tuning.loss import IGNORED, TokenizedExample, collate, encode, loss_as_forward
from spillover.models.tuning.parts import Adapter
from spillover.models.tuning.phases import Phase
from spillover.models.tuning.trainer import TargetTrainer
from spillover.models.tuning.tune import tune
from spillover.records import Example
from spillover.utils.progress import bar

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),  # as `load` does for users
]

SETTINGS = TuneConfig(
    rank=4,
    alpha=8,
    targets=("q_proj", "v_proj"),
    learning_rate=1e-2,
    epochs=2,
    batch=4,
    warmup_ratio=0.1,
    cutoff=200,
    validation_share=0.2,
    translations=0,
)
SEED = 1
WORDS = ("rot", "grün", "blau", "gelb", "weiß", "alt", "neu", "klein", "groß", "warm")
EXAMPLES = [
    Example(id=f"{a}{b}", language="de", source=f"{a} und {b}\n", target=f"{b} and {a}" * (1 + i % 3))
    for i, a in enumerate(WORDS)
    for b in WORDS[:2]
]


def changed(**values: object) -> TuneConfig:
    """The settings, some of them changed."""
    return SETTINGS.model_copy(update=values)


def naive_loss(model: Model, examples: Sequence[Example]) -> float:
    """Mean over all target tokens: each example by itself, whole logits, no cache."""
    total, count = 0.0, 0
    for example in examples:
        asked = model.tokenize([example.source])[0]
        whole = [*model.tokenize([example.source + example.target])[0], model.tokenizer.eos_token_id]
        start = next((i for i, (a, b) in enumerate(zip(asked, whole, strict=False)) if a != b), len(asked))
        with torch.inference_mode():
            logits = model.network(torch.tensor([whole], device=model.device)).logits[0]
        rows = torch.log_softmax(logits.double(), dim=-1)
        total -= sum(rows[place - 1, whole[place]].item() for place in range(start, len(whole)))
        count += len(whole) - start
    return total / count


def trainer(
    model: Model, settings: TuneConfig = SETTINGS, rows: Sequence[TokenizedExample] | None = None
) -> TargetTrainer:
    learned = [module.encode(model, example) for example in EXAMPLES] if rows is None else rows
    phase = Phase(0, list(learned), [], settings, SEED)
    arguments = tune_module.training_arguments(model, phase, Path("unused"))
    network = Adapter(model, [], settings).network
    return TargetTrainer(network, phase.learned, [], phase.order, arguments)


def check_loss(folder: Path, settings: TuneConfig = SETTINGS) -> None:
    """A new adapter adds nothing, so the first step's loss is the base model's."""
    expected = naive_loss(load(str(folder), "float32"), EXAMPLES[:4])
    model = load(str(folder), "float32")
    tuning = trainer(model, settings)
    step = module.collate([module.encode(model, example) for example in EXAMPLES[:4]])
    with loss_as_forward(model):
        assert tuning.training_step(tuning.model, step).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mistral", "gemma3", "gpt_neox"])
@pytest.mark.parametrize(("budget", "rows", "tokens"), [(1, 1, 97), (64, 7, 7), (10_000, 10_000, 10_000)])
def test_the_loss_of_a_step_is_the_naive_one(
    tiny: Callable[[str], Path], kind: str, budget: int, rows: int, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a step is cut into micro-batches and blocks."""
    monkeypatch.setattr(trainer_module, "MICRO_BATCH_TOKENS", budget)
    monkeypatch.setattr(module, "POSITION_BLOCK", rows)
    monkeypatch.setattr(module, "VOCABULARY_BLOCK", tokens)
    targets = ("query_key_value",) if kind == "gpt_neox" else SETTINGS.targets
    check_loss(tiny(kind), changed(targets=targets))


def a_token_early(model: Model, example: Example) -> TokenizedExample:
    """Learn the source's last token too."""
    row = encode(model, example)
    start = row.labels.count(IGNORED) - 1
    return replace(row, labels=(IGNORED,) * start + row.tokens[start:])


def without_end(model: Model, example: Example) -> TokenizedExample:
    """Do not learn to stop."""
    row = encode(model, example)
    return replace(row, tokens=row.tokens[:-1], labels=row.labels[:-1])


def padding_attended(rows: Sequence[TokenizedExample]) -> dict[str, Any]:
    """Put the padding on the left, where it is seen."""
    made = collate(rows)
    for row, length in enumerate(made["lengths"].tolist()):
        for name in ("input_ids", "labels"):
            made[name][row] = made[name][row].roll(len(made[name][row]) - length)
    return made | {"lengths": torch.full_like(made["lengths"], made["input_ids"].shape[1])}


def a_position_late(rows: Sequence[TokenizedExample]) -> dict[str, Any]:
    """Ask each position for its own token, not for the next."""
    made = collate(rows)
    return made | {"labels": made["labels"].roll(1, dims=1)}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("encode", a_token_early),
        ("encode", without_end),
        ("collate", padding_attended),
        ("collate", a_position_late),
    ],
)
def test_fails_for_another_loss(
    tiny: Callable[[str], Path], name: str, fault: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, fault)
    with pytest.raises(AssertionError):
        check_loss(tiny("llama"))


@pytest.mark.parametrize(("kind", "cap"), [("llama", None), ("gemma3", None), ("gemma3", 0.5)])
def test_the_gradient_is_that_of_the_naive_loss(
    tiny: Callable[[str], Path], kind: str, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where logits are capped too, so low that it matters."""
    monkeypatch.setattr(module, "POSITION_BLOCK", 3)
    monkeypatch.setattr(module, "VOCABULARY_BLOCK", 97)
    model = load(str(tiny(kind)), "float32")
    model.config.final_logit_softcapping = cap
    tuning = trainer(model)
    rows = [encode(model, example) for example in EXAMPLES[:4]]
    with loss_as_forward(model):
        tuning.training_step(tuning.model, collate(rows))
    found = {name: p.grad.clone() for name, p in tuning.model.named_parameters() if p.grad is not None}
    tuning.model.zero_grad()
    count = sum(label != IGNORED for row in rows for label in row.labels)
    for row in rows:
        logits = tuning.model(torch.tensor([row.tokens], device=model.device)).logits[0, :-1]
        labels = torch.tensor(row.labels[1:], device=model.device)
        (torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / count).backward()
    grown = {name for name, gradient in found.items() if gradient.abs().max() > 0}
    assert grown
    for name, parameter in tuning.model.named_parameters():
        if name in found:
            assert torch.allclose(found[name], parameter.grad, rtol=1e-4, atol=1e-6)


def plain_losses(folder: Path, count: int, batch: int) -> list[float]:
    """Train with the plain Trainer on padded batches, its own loss, the same examples in the same order."""
    from torch.utils.data import DataLoader
    from transformers import Trainer

    class Plain(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> DataLoader[dict[str, Any]]:
            return DataLoader(cast(Any, rows), batch_sampler=order, collate_fn=padded)

    def padded(some: Sequence[TokenizedExample]) -> dict[str, Any]:
        made = collate(some)
        attended = torch.arange(made["input_ids"].shape[1]) < made["lengths"][:, None]
        return {"input_ids": made["input_ids"], "labels": made["labels"], "attention_mask": attended.long()}

    settings = changed(batch=batch, epochs=1)
    model = load(str(folder), "float32")
    set_seed(SEED)
    rows = [encode(model, EXAMPLES[place % len(EXAMPLES)]) for place in range(count)]
    phase = Phase(0, rows, [], settings, SEED)
    order, arguments = phase.order, tune_module.training_arguments(model, phase, Path("unused"))
    plain = Plain(model=Adapter(model, [], settings).network, args=arguments, train_dataset=rows)
    plain.remove_callback(PrinterCallback)
    plain.train()
    return [line["loss"] for line in plain.state.log_history if "loss" in line]


def our_losses(folder: Path, count: int, batch: int, place: Path) -> list[float]:
    """Train with ours; no example is held out or shuffled before the steps are drawn."""
    settings = changed(batch=batch, epochs=1)
    model = load(str(folder), "float32")
    set_seed(SEED)
    rows = [module.encode(model, EXAMPLES[place % len(EXAMPLES)]) for place in range(count)]
    phase, parts = Phase(0, rows, [], settings, SEED), Adapter(model, rows, settings)
    with bar("test", 1) as progress:
        log = tune_module.learn_phase(model, parts, phase, place, progress)
    return [line["loss"] for line in log if "loss" in line]


def test_twenty_steps_have_the_losses_of_the_plain_trainer(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "MICRO_BATCH_TOKENS", 64)
    expected = plain_losses(tiny("llama"), 77, batch=4)
    found = our_losses(tiny("llama"), 77, 4, tmp_path)
    assert len(found) == 20
    assert found == pytest.approx(expected, rel=1e-5)
    assert found[-1] < found[0]


class EachMicroBatchAlike(TargetTrainer):
    """Weigh micro-batches alike, however many targets they hold: what gradient accumulation once did."""

    def micro_batches(self, inputs: dict[str, Any]) -> Iterator[dict[str, torch.Tensor]]:
        parts = list(super().micro_batches(inputs))
        self.scales = [1 / int((part["labels"] != IGNORED).sum()) / len(parts) for part in parts]
        return iter(parts)

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: object = None
    ) -> torch.Tensor:
        parts, loss = list(self.micro_batches(inputs)), torch.zeros(())
        for part, scale in zip(parts, self.scales, strict=True):
            share = model(**part) * scale
            share.backward()
            loss += share.detach()
        return loss


def test_twenty_steps_of_another_weighting_do_not(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "MICRO_BATCH_TOKENS", 64)
    monkeypatch.setattr(tune_module, "TargetTrainer", EachMicroBatchAlike)
    expected = plain_losses(tiny("llama"), 77, batch=4)
    assert our_losses(tiny("llama"), 77, 4, tmp_path) != pytest.approx(expected, rel=1e-3)


@pytest.fixture(scope="module")
def tuned(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    tune(load(str(tiny("llama")), "float32"), EXAMPLES, SETTINGS, SEED, folder)
    return folder


def held_out() -> tuple[list[Example], list[Example]]:
    """What is held out and what is learned from, of the twenty examples."""
    shuffled = list(EXAMPLES)
    random.Random(SEED).shuffle(shuffled)
    return shuffled[:4], shuffled[4:]


def test_history_and_what_is_left_in_the_folder(tuned: Path, tiny: Callable[[str], Path]) -> None:
    history = json.loads((tuned / "history.json").read_text(encoding="utf-8"))
    assert history["examples"] == 16
    assert len(history["losses"]) == 8  # two epochs of four steps
    assert len(history["validation"]) == 3  # before, and after each epoch
    assert history["validation"][-1] < history["validation"][0]
    assert not (tuned / "checkpoints").exists()
    tokenize, (_, learned) = load(str(tiny("llama")), "float32").tokenize, held_out()
    lengths = [len(tokenize([e.source + e.target])[0]) + 1 - len(tokenize([e.source])[0]) for e in learned]
    assert history["target_tokens"] == sum(lengths)


def test_validation_is_the_naive_loss_on_what_was_held_out(tuned: Path, tiny: Callable[[str], Path]) -> None:
    """Before tuning that of the base model, in the end that of the adapter as saved."""
    history, (unseen, _) = json.loads((tuned / "history.json").read_text(encoding="utf-8")), held_out()
    base = load(str(tiny("llama")), "float32")
    assert history["validation"][0] == pytest.approx(naive_loss(base, unseen), rel=1e-5)
    adapted = load(str(tiny("llama")), "float32", adapter=tuned)
    assert min(history["validation"][1:]) == pytest.approx(naive_loss(adapted, unseen), rel=1e-5)


def test_the_epoch_with_the_lowest_validation_loss_is_kept(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The losses are told, best in the second of three epochs; the adapter is what it was then."""
    told, weights = iter((9.0, 3.0, 1.0, 2.0)), []

    def evaluate(self: TargetTrainer, *_: object, **named: object) -> dict[str, float]:
        weights.append({name: p.detach().clone() for name, p in self.model.named_parameters() if "lora_B" in name})
        return {"eval_loss": next(told)}

    monkeypatch.setattr(TargetTrainer, "evaluate", evaluate)
    tune(load(str(tiny("llama")), "float32"), EXAMPLES, changed(epochs=3), SEED, tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    for name, kept in weights[2].items():
        assert torch.equal(saved[name.replace(".default", "")], kept.cpu())
        assert not torch.equal(kept, weights[3][name])


@pytest.mark.parametrize(("epochs", "steps"), [(0.25, 2), (1, 5), (1.5, 8), (2, 10)])
def test_as_many_losses_as_steps(tiny: Callable[[str], Path], tmp_path: Path, epochs: float, steps: int) -> None:
    """Twenty examples, four a step; a begun step is taken."""
    settings = changed(epochs=epochs, validation_share=0)
    history = tune(load(str(tiny("llama")), "float32"), EXAMPLES, settings, SEED, tmp_path)
    assert len(history.losses) == steps
    assert trainer(load(str(tiny("llama")), "float32"), settings).steps == steps


def test_micro_batches_change_nothing(
    tuned: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the course of a whole run: one example at a time, or a step at once."""
    monkeypatch.setattr(trainer_module, "MICRO_BATCH_TOKENS", 1)
    history = tune(load(str(tiny("llama")), "float32"), EXAMPLES, SETTINGS, SEED, tmp_path)
    expected = json.loads((tuned / "history.json").read_text(encoding="utf-8"))
    assert history.losses == pytest.approx(expected["losses"], rel=1e-5)
    assert history.validation == pytest.approx(expected["validation"], rel=1e-5)


def test_the_adapter_loads_with_plain_peft_and_changes_the_answer(tuned: Path, tiny: Callable[[str], Path]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([[5, 6, 7]])
    base = AutoModelForCausalLM.from_pretrained(tiny("llama"))
    loaded = load(str(tiny("llama")), "float32", adapter=tuned)
    with torch.inference_mode():
        before = base(ids).logits.clone()
        plain = PeftModel.from_pretrained(base, tuned)(ids).logits
        ours = loaded.network(ids.to(loaded.device)).logits.cpu()
    assert not torch.allclose(before, plain, atol=1e-3)
    assert torch.allclose(plain, ours, atol=1e-5)


def test_the_same_seed_gives_the_same_adapter(tuned: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    tune(load(str(tiny("llama")), "float32"), EXAMPLES, SETTINGS, SEED, tmp_path / "same")
    tune(load(str(tiny("llama")), "float32"), EXAMPLES, SETTINGS, 2, tmp_path / "other")
    weights = [
        load_file(folder / "adapter_model.safetensors") for folder in (tuned, tmp_path / "same", tmp_path / "other")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_long_examples_are_left_out_whole_and_counted(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    long = Example(id="long", language="de", source="sehr " * 300, target="very")
    model = load(str(tiny("llama")), "float32")
    history = tune(model, [*EXAMPLES, long], changed(epochs=0.25, validation_share=0), SEED, tmp_path)
    assert (history.left_out, history.examples, history.validation) == (1, len(EXAMPLES), ())
    with pytest.raises(SpilloverError, match="all 1 examples are longer than 200 tokens"):
        tune(load(str(tiny("llama")), "float32"), [long], SETTINGS, SEED, tmp_path / "none")


def test_a_loss_that_is_no_number_stops_the_run(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    model = load(str(tiny("llama")), "float32")
    with torch.no_grad():
        model.unembedding.weight[3] = math.nan
    with pytest.raises(SpilloverError, match="loss of step 1") as error:
        tune(model, EXAMPLES, changed(validation_share=0), SEED, tmp_path)
    named = str(error.value).rpartition(": ")[2].split(", ")
    assert len(named) == SETTINGS.batch
    assert set(named) <= {example.id for example in EXAMPLES}


def test_unknown_modules_are_refused(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=r"tune\.targets: found \['nothing'\]"):
        tune(load(str(tiny("llama")), "float32"), EXAMPLES, changed(targets=("nothing",)), SEED, tmp_path)


def test_in_a_chat_the_target_is_the_assistants_turn(tiny: Callable[[str], Path]) -> None:
    plain = load(str(tiny("llama")), "float32")
    plain.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    model = Model(network=plain.network, tokenizer=plain.tokenizer, chat=True)
    row = encode(model, EXAMPLES[0])
    learned = [token for token, label in zip(row.tokens, row.labels, strict=True) if label != IGNORED]
    assert model.tokenizer.decode(row.tokens) == "<user>rot und rot\n<end><assistant>rot and rot<end>"
    assert model.tokenizer.decode(learned) == "rot and rot<end>"


def test_a_target_that_merges_with_the_end_of_its_source_is_learned_whole(tiny: Callable[[str], Path]) -> None:
    model = load(str(tiny("llama")), "float32")
    row = encode(model, Example(id="1", language="de", source="rot: ", target="the end"))
    learned = [token for token, label in zip(row.tokens, row.labels, strict=True) if label != IGNORED]
    assert model.tokenizer.decode(learned) == " the end</s>"


def test_stages_are_learned_one_after_the_other_each_with_its_own_schedule(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    """The second goes on from the adapter of the first, and from nothing else of it."""
    later = [replace(example, id=f"later {example.id}", stage=1) for example in EXAMPLES[:8]]
    settings = changed(epochs=1, validation_share=0)
    history = tune(load(str(tiny("llama")), "float32"), [*later, *EXAMPLES], settings, SEED, tmp_path / "both")
    assert history.examples == 28
    assert len(history.losses) == 5 + 2
    tune(load(str(tiny("llama")), "float32"), EXAMPLES, settings, SEED, tmp_path / "first")
    model = load(str(tiny("llama")), "float32")
    parts = Adapter(model, [], settings)
    parts.load(tmp_path / "first")
    shuffled = [encode(model, example) for example in later]
    random.Random(SEED).shuffle(shuffled)
    with bar("test", 1) as progress:
        log = tune_module.learn_phase(
            model, parts, Phase(1, shuffled, [], settings, SEED), tmp_path / "second", progress
        )
    assert history.losses[5:] == pytest.approx([line["loss"] for line in log if "loss" in line], rel=1e-6)
    expected = {name: p for name, p in parts.network.named_parameters() if "lora_" in name}
    for name, found in load_file(tmp_path / "both" / "adapter_model.safetensors").items():
        assert torch.allclose(found, expected[name.replace(".weight", ".default.weight")].cpu(), atol=1e-6)


def test_an_unknown_tracker_is_refused(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=r"tune\.report_to: found \['nobody'\]: nobody is not supported"):
        tune(load(str(tiny("llama")), "float32"), EXAMPLES, changed(report_to=("nobody",)), SEED, tmp_path)


def test_a_tracker_is_told_every_step(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    told: list[float] = []

    class Tracker(TrainerCallback):  # type: ignore[misc]
        def on_log(self, *_: object, logs: dict[str, float], **named: object) -> None:
            told.extend([logs["loss"]] if "loss" in logs else [])

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path))
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Tracker)
    settings = changed(report_to=("tensorboard",), epochs=1)
    history = tune(load(str(tiny("llama")), "float32"), EXAMPLES, settings, SEED, tmp_path / "adapter")
    assert tuple(told) == history.losses


@pytest.mark.parametrize("merged", [False, True])
def test_merged_weights_say_the_same(tuned: Path, tiny: Callable[[str], Path], merged: bool) -> None:
    model = load(str(tiny("llama")), "float32", adapter=tuned, merged=merged)
    beside = load(str(tiny("llama")), "float32", adapter=tuned)
    ids = torch.tensor([[5, 6, 7]], device=model.device)
    assert any("lora_" in name for name, _ in model.network.named_parameters()) is not merged
    with torch.inference_mode():
        assert torch.allclose(model.network(ids).logits, beside.network(ids).logits, atol=1e-4)
