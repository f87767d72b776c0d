"""What is tuned, against plain peft and the plain Trainer: the same losses, and the same scores wherever it is put."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, TrainableTokensConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, set_seed

from spillover.errors import SpilloverError
from spillover.experiment import ModelConfig, TuneConfig
from spillover.models.difference import NAME, ROWS, put_in, write_difference
from spillover.models.inference import resident
from spillover.models.inference.resident import resident_reader
from spillover.models.load import load
from spillover.models.merge import merge
from spillover.models.model import Model
from spillover.models.network.head import LinearHead
from spillover.models.tuning import loss as loss_module
from spillover.models.tuning import trainer as trainer_module
from spillover.models.tuning.loss import IGNORED, encode
from spillover.models.tuning.parts import VARIANTS, prepared
from spillover.models.tuning.schedule import Steps
from spillover.models.tuning.targets import chosen_blocks, to_adapt
from spillover.models.tuning.tune import tune
from spillover.records import Example, PartPlan, PhasePlan, Tuning

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings"),
]

WORDS = ("rot", "grün", "blau", "gelb", "alt", "neu")
EXAMPLES = [Example(f"{a}{b}", "de", f"{a} und {b}\n", f"{b} and {a}") for a in WORDS for b in WORDS[:3]]
IDS = torch.tensor([[5, 6, 7, 8, 9, 300, 301, 2, 700]])
SEED, RATE, BATCH = 1, 2e-2, 4
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def settings(**values: Any) -> TuneConfig:  # noqa: ANN401
    """Two epochs, without warm-up, nothing held out."""
    shared = {"rank": 4, "alpha": 8, "learning_rate": RATE, "epochs": 2, "batch": BATCH, "warmup_ratio": 0}
    return TuneConfig(**shared | {"validation_share": 0, "translations": 0, "cutoff": 200} | values)


@pytest.fixture(scope="module")
def made(
    tiny: Callable[[str], Path], tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Return a function: kind of model → its folder; `tied` is a Llama whose embedding is its unembedding too."""

    @cache
    def make(kind: str) -> Path:
        if kind != "tied":
            return tiny(kind)
        folder = tmp_path_factory.mktemp(kind)
        torch.manual_seed(0)
        shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        size = {"vocab_size": len(tokenizer), "initializer_range": 0.5, "tie_word_embeddings": True}
        AutoModelForCausalLM.from_config(LlamaConfig(**shape, **size, bos_token_id=0, eos_token_id=1)).save_pretrained(
            folder
        )
        tokenizer.save_pretrained(folder)
        return folder

    return make


def seen(model: Model) -> list[int]:
    return sorted({token for example in EXAMPLES for token in encode(model, example).tokens})


def plain_network(model: Model, chosen: TuneConfig) -> Any:  # noqa: ANN401
    """What a user of peft writes."""
    set_seed(SEED)
    tokens = {"trainable_token_indices": seen(model)} if chosen.embeddings == "seen" else {}
    if not chosen.targets:
        return get_peft_model(model.network, TrainableTokensConfig(token_indices=seen(model), task_type="CAUSAL_LM"))
    lora = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=list(ALL if chosen.targets == "all-linear" else chosen.targets),
        layers_to_transform=None if chosen.layers == "all" else [0, 2],
        task_type="CAUSAL_LM",
        **VARIANTS[chosen.method],
        **tokens,
    )
    return get_peft_model(model.network, lora)


def plain_learning(model: Model, network: Any, chosen: TuneConfig) -> list[float]:  # noqa: ANN401
    """Learn with torch alone: each step's whole logits, one example at a time, AdamW under a cosine."""
    rows = [encode(model, example) for example in shuffled()]
    order = Steps(len(rows), BATCH, SEED)
    steps = []
    for epoch in range(2):
        order.set_epoch(epoch)
        steps += [(epoch, places) for places in order]
    learns = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learns, lr=chosen.learning_rate, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / len(steps))).item())
    )
    losses = []
    network.train()
    for _, places in steps:
        count = sum(label != IGNORED for place in places for label in rows[place].labels)
        optimizer.zero_grad()
        total = 0.0
        for place in places:
            logits = network(torch.tensor([rows[place].tokens])).logits[0, :-1].float()
            labels = torch.tensor(rows[place].labels[1:])
            part = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / count
            part.backward()
            total += part.item()
        torch.nn.utils.clip_grad_norm_(learns, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(total)
    network.eval()
    return losses


def shuffled() -> list[Example]:
    """The examples in the order in which tuning lays them out."""
    import random

    rows = list(EXAMPLES)
    random.Random(SEED).shuffle(rows)
    return rows


def logits(network: Any) -> torch.Tensor:  # noqa: ANN401
    with torch.inference_mode():
        values: torch.Tensor = network(IDS).logits.float()
    return values


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("llama", {"targets": "all-linear"}),
        ("llama", {"method": "dora"}),
        ("llama", {"method": "rslora"}),
        ("llama", {"layers": "ends"}),
        ("llama", {"embeddings": "seen"}),
        ("tied", {"embeddings": "seen"}),
        ("tied", {"method": "dora", "targets": "all-linear", "embeddings": "seen"}),
        ("tied", {"targets": (), "embeddings": "seen"}),
        ("gemma3", {"embeddings": "seen"}),
    ],
)
def test_losses_and_scores_are_those_of_plain_peft(
    made: Callable[[str], Path], tmp_path: Path, kind: str, values: dict[str, Any]
) -> None:
    folder, chosen = str(made(kind)), settings(**values)
    plain = load(folder, "float32")
    network = plain_network(plain, chosen)
    expected = plain_learning(plain, network, chosen)
    model = load(folder, "float32")
    before = {name: weight.clone() for name, weight in model.network.state_dict().items()}
    base = logits(model.network)
    history = tune(model, EXAMPLES, chosen, SEED, tmp_path / "adapter")
    assert history.losses == pytest.approx(expected, rel=1e-4)
    scores = logits(network)
    assert (scores - base).abs().max() > 0.1
    ours = load(folder, "float32", adapter=tmp_path / "adapter")
    assert isinstance(ours.head, LinearHead)
    assert torch.allclose(logits(ours.network), scores, atol=2e-3, rtol=1e-4)
    by_peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "adapter")
    assert torch.allclose(logits(ours.network), logits(by_peft), atol=1e-4, rtol=1e-5)
    merge(folder, "float32", tmp_path / "adapter", tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.allclose(logits(ours.network), logits(merged), atol=1e-3, rtol=1e-4)
    after = {name.replace("base_layer.", ""): weight for name, weight in model.network.state_dict().items()}
    assert all(torch.equal(after[name], weight) for name, weight in before.items() if name in after), (
        "the base's weights are as they were"
    )


FULL = [
    ("tied", {"embeddings": "seen"}),
    ("tied", {"layers": (1,)}),
    ("llama", {"embeddings": "seen", "layers": "ends"}),
    ("gemma3", {}),
]


def plain_full(model: Model, chosen: TuneConfig) -> None:
    """Mark what learns by the names of the weights; rows of tokens that do not occur get no gradient."""
    blocks = {"all": range(99), "ends": (0, 2)}.get(str(chosen.layers), (1,))
    inside = tuple(f"model.layers.{block}." for block in blocks)
    rows = torch.zeros(len(model.network.get_input_embeddings().weight), 1)
    rows[seen(model)] = 1
    for name, weight in model.network.named_parameters():
        embedding = name == "model.embed_tokens.weight"
        final = name == "model.norm.weight" and chosen.layers == "all"
        weight.requires_grad_(name.startswith(inside) or final or (embedding and chosen.embeddings == "seen"))
        if embedding and chosen.embeddings == "seen":
            weight.register_hook(lambda gradient: gradient * rows)


@pytest.mark.parametrize(("kind", "values"), FULL)
def test_full_tuning_is_that_of_plain_torch(
    made: Callable[[str], Path], tmp_path: Path, kind: str, values: dict[str, Any]
) -> None:
    folder, chosen = str(made(kind)), settings(method="full", learning_rate=2e-3, **values)
    plain = load(folder, "float32")
    plain_full(plain, chosen)
    expected = plain_learning(plain, plain.network, chosen)
    model = load(folder, "float32")
    before = {name: weight.clone() for name, weight in model.network.state_dict().items()}
    history = tune(model, EXAMPLES, chosen, SEED, tmp_path / "full")
    assert history.losses == pytest.approx(expected, rel=1e-4)
    assert all(torch.equal(weight, before[name]) for name, weight in model.network.state_dict().items())
    scores = logits(plain.network)
    assert (scores - logits(model.network)).abs().max() > 0.1
    tuned = load(folder, "float32", adapter=tmp_path / "full")
    assert torch.allclose(logits(tuned.network), scores, atol=2e-3, rtol=1e-4)
    merge(folder, "float32", tmp_path / "full", tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.equal(logits(tuned.network), logits(merged))


def test_a_difference_holds_what_differs_and_no_more(made: Callable[[str], Path], tmp_path: Path) -> None:
    model = load(str(made("tied")), "float32")
    tune(model, EXAMPLES, settings(method="full", layers=(0,), embeddings="seen"), SEED, tmp_path)
    values = load_file(tmp_path / NAME)
    assert all(name.startswith(("model.layers.0.", "model.embed_tokens.weight")) for name in values)
    assert values[f"model.embed_tokens.weight{ROWS}"].tolist() == [
        token for token in seen(model) if token in set(values[f"model.embed_tokens.weight{ROWS}"].tolist())
    ]
    assert len(values["model.embed_tokens.weight"]) <= len(seen(model)) < 800


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_difference_put_in_and_taken_out_leaves_no_trace(
    made: Callable[[str], Path], tmp_path: Path, dtype: torch.dtype
) -> None:
    """To the bit, in any dtype, for whole weights, for rows, and for a weight that is the same."""
    network = load(str(made("tied")), "float32").network
    base = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    tuned = {name: weight.clone() for name, weight in base.items()}
    tuned["model.embed_tokens.weight"][[3, 7]] += 1 / 3
    tuned["model.layers.1.mlp.up_proj.weight"] *= 1 + 1e-7 * 7
    write_difference(tmp_path, tuned, base)
    assert set(load_file(tmp_path / NAME)) == {
        "model.embed_tokens.weight",
        "model.embed_tokens.weight:rows",
        "model.layers.1.mlp.up_proj.weight",
    }
    network.to(dtype)
    take_out = put_in(network, tmp_path)
    for name, weight in network.named_parameters():
        assert torch.equal(weight, tuned[name].to(dtype))
    take_out()
    for name, weight in network.named_parameters():
        assert torch.equal(weight, base[name].to(dtype))


@pytest.mark.parametrize("values", [{"embeddings": "seen"}, {"method": "full", "embeddings": "seen"}])
def test_swapped_in_memory_every_arm_scores_as_if_loaded_alone(
    made: Callable[[str], Path], tmp_path: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "in_memory", None)
    name = str(made("tied"))
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        tune(load(name, "float32"), EXAMPLES, settings(**values), seed, folder)
    arms = [None, *folders]
    alone = {arm: logits(load(name, "float32", adapter=arm).network) for arm in arms}
    model = ModelConfig(name=name, dtype="float32")
    for place in (0, 1, 2, 1, 0, 2, 0):
        assert torch.equal(logits(resident_reader(model, arms[place]).model.network), alone[arms[place]])
        merged = logits(load(name, "float32", adapter=arms[place], merged=True).network)
        assert torch.allclose(merged, alone[arms[place]], atol=1e-3)
        resident_reader(model, arms[place])


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    "values", [{"embeddings": "seen", "dropout": 0.2}, {"method": "full", "embeddings": "seen", "learning_rate": 2e-3}]
)
@pytest.mark.parametrize("broken", [False, True])
def test_killed_and_run_again_it_ends_the_same(
    made: Callable[[str], Path],
    tmp_path: Path,
    values: dict[str, Any],
    broken: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the bit; and not if the matrix does not follow the rows that a checkpoint holds, or these are not read."""
    monkeypatch.setattr(trainer_module, "SAVE_EVERY", 3)
    name, chosen = str(made("tied")), settings(**values)
    expected = tune(load(name, "float32"), EXAMPLES, chosen, SEED, tmp_path / "whole")
    advance = trainer_module.Callbacks.on_log

    def die(self: Any, *arguments: object, logs: dict[str, float], **named: object) -> None:  # noqa: ANN401
        advance(self, *arguments, logs=logs, **named)
        if self._trainer.state.global_step == 7:
            raise KilledError

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(trainer_module.Callbacks, "on_log", die)
        tune(load(name, "float32"), EXAMPLES, chosen, SEED, tmp_path / "again")
    if broken:
        monkeypatch.setattr(trainer_module.TargetTrainer, "_load_from_checkpoint", lambda *_: None)
    history = tune(load(name, "float32"), EXAMPLES, chosen, SEED, tmp_path / "again")
    assert (history.losses == expected.losses) is not broken
    same = [
        (tmp_path / folder / file).read_bytes()
        for folder in ("whole", "again")
        for file in (NAME, "adapter_model.safetensors")
        if (tmp_path / folder / file).exists()
    ]
    assert (same[0] == same[1]) is not broken


@pytest.mark.parametrize("cap", [None, 0.5])
@pytest.mark.parametrize("broken", [False, True])
def test_the_gradient_of_the_rows_is_the_naive_one(
    made: Callable[[str], Path], cap: float | None, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64 autograd over whole logits; a twin that forgets the targets' own rows is seen."""
    monkeypatch.setattr(loss_module, "POSITION_BLOCK", 3)
    monkeypatch.setattr(loss_module, "VOCABULARY_BLOCK", 7)
    model = load(str(made("tied")), "float32")
    model.config.final_logit_softcapping = cap
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(11, 32, generator=generator)
    tokens = torch.arange(5, 60, 3)
    targets = tokens[torch.randint(len(tokens), (11,), generator=generator)]
    weight = model.unembedding.weight
    rows = weight.detach()[tokens].clone().requires_grad_()
    if broken:
        targets_seen = loss_module.add_row_gradient
        monkeypatch.setattr(
            loss_module,
            "add_row_gradient",
            lambda total, states, wanted, head, chosen, mass: targets_seen(
                total, states, -torch.ones_like(wanted), head, chosen, mass
            ),
        )
    head = model.head
    if cap:
        from spillover.models.network.head import Finish

        head = LinearHead(model.unembedding, Finish(cap=cap), head.vocabulary)
    loss_module.target_loss(head, hidden, targets, (tokens, rows)).backward()
    whole = weight.detach().double().requires_grad_()
    naive = hidden.double() @ whole.T
    naive = naive if cap is None else cap * torch.tanh(naive / cap)
    torch.nn.functional.cross_entropy(naive, targets, reduction="sum").backward()
    assert torch.allclose(rows.grad.double(), whole.grad[tokens], rtol=1e-4, atol=1e-5) is not broken


def test_blocks_are_chosen_by_number_depth_and_place(made: Callable[[str], Path]) -> None:
    model = load(str(made("llama")), "float32")
    blocks = list(model.backbone.layers)

    def numbers(layers: Sequence[int | float] | str) -> list[int]:
        return [blocks.index(block) for block in chosen_blocks(model, layers)]

    assert numbers("all") == [0, 1, 2]
    assert numbers("middle") == [1]
    assert numbers("ends") == [0, 2]
    assert numbers((-1, 0)) == [0, 2]
    assert numbers((0.0, 0.5, 1.0)) == [0, 1, 2]
    assert numbers((0.34,)) == [1]
    assert to_adapt(model, ("q_proj",), (1,)) == ["model.layers.1.self_attn.q_proj"]
    with pytest.raises(SpilloverError, match=r"tune.layers: found 3, expected blocks from 0 to 2"):
        numbers((3,))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"targets": ()}, r"tune.targets: found \[\] with embeddings = 'none'"),
        ({"method": "full", "targets": ("up_proj",)}, r"tune.targets: found \['up_proj'\] with method = 'full'"),
        ({"layers": ()}, r"tune.layers: found \[\]"),
    ],
)
def test_keys_that_do_not_agree_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SpilloverError, match=said):
        settings(**values)


def test_full_tuning_in_half_precision_is_refused(made: Callable[[str], Path]) -> None:
    model = load(str(made("tied")), "bfloat16")
    with (
        pytest.raises(SpilloverError, match="'full' learns in float32, found weights in bfloat16"),
        prepared(model, [], settings(method="full")),
    ):
        pass


def test_keys_at_their_defaults_are_no_part_of_a_digest() -> None:
    younger = {"method", "layers", "embeddings", "probe_every"}
    assert set(TuneConfig().identity()) == set(TuneConfig.model_fields) - younger
    changed = {"method": "full", "layers": (0.5,), "embeddings": "seen", "probe_every": 7}
    identity = TuneConfig(**changed).identity()
    assert {name: identity[name] for name in younger} == changed | {"layers": [0.5]}


PLANS = (
    PhasePlan((PartPlan("question-translation", 3, 12), PartPlan("replay", 1, 6)), learning_rate=1e-2),
    PhasePlan((PartPlan("annotated-english", 1, 6),), epochs=1, layers=(0,)),
)
IN_PHASES = [*EXAMPLES, *(replace(example, id=f"later {example.id}", stage=1) for example in EXAMPLES[:6])]


def in_phases(model: Model, folder: Path, **values: Any) -> Tuning:  # noqa: ANN401
    chosen = settings(targets="all-linear", dropout=0.2, **values)
    return tune(model, IN_PHASES, chosen, SEED, folder, PLANS)


def test_phases_draw_their_parts_in_their_shares_and_count_them(made: Callable[[str], Path], tmp_path: Path) -> None:
    model = load(str(made("tied")), "float32")
    history = in_phases(model, tmp_path)
    tokens = [sum(label != IGNORED for label in encode(model, example).labels) for example in EXAMPLES]
    first, second, third = history.parts
    assert (first.phase, first.name, first.examples, first.drawn, first.seen) == (0, "question-translation", 12, 27, 12)
    assert (second.name, second.examples, second.drawn, second.seen) == ("replay", 6, 9, 6)
    assert (third.phase, third.drawn, third.target_tokens) == (1, 6, sum(tokens[:6]))
    assert len(history.losses) == 2 * 5 + 2
    assert 2 * sum(tokens[:12]) < first.target_tokens < 3 * sum(tokens[:12])


@pytest.mark.parametrize("alike", [True, False])
def test_listed_phases_without_keys_of_their_own_leave_the_adapter_of_a_recipe_with_phases(
    made: Callable[[str], Path], tmp_path: Path, alike: bool
) -> None:
    """Bit for bit: as `two-stage` and its two phases; fails if the listed phases have another epoch."""
    model, chosen = load(str(made("tied")), "float32"), settings(validation_share=0.2, dropout=0.2)
    plans = [PhasePlan((PartPlan(name, 1, count),)) for name, count in (("translated", 18), ("annotated", 6))]
    plans[1] = plans[1] if alike else replace(plans[1], epochs=1)
    named = tune(model, IN_PHASES, chosen, SEED, tmp_path / "named")
    phased = tune(load(str(made("tied")), "float32"), IN_PHASES, chosen, SEED, tmp_path / "phased", plans)
    files = [tmp_path / folder / "adapter_model.safetensors" for folder in ("named", "phased")]
    assert (files[0].read_bytes() == files[1].read_bytes()) is alike
    assert (named.losses == phased.losses, named.validation == phased.validation) == (alike, alike)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_phase_changes_its_own_blocks_alone(made: Callable[[str], Path], tmp_path: Path, method: str) -> None:
    """What the second phase, of the first block, leaves is what the first phase left in the other one."""
    rate = {"learning_rate": 1e-3, "method": method}
    in_phases(load(str(made("tied")), "float32"), tmp_path / "both", **rate)
    chosen = settings(targets="all-linear", dropout=0.2, **rate)
    tune(load(str(made("tied")), "float32"), EXAMPLES, chosen, SEED, tmp_path / "first", PLANS[:1])
    file = NAME if method == "full" else "adapter_model.safetensors"
    both, first = (load_file(tmp_path / folder / file) for folder in ("both", "first"))
    for name, weight in first.items():
        assert torch.equal(both[name], weight) is (".layers.0." not in name), name


@pytest.mark.parametrize("step", [4, 7, 11])
def test_killed_in_any_phase_it_ends_the_same(
    made: Callable[[str], Path], tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, whose random numbers begin anew with each phase."""
    monkeypatch.setattr(trainer_module, "SAVE_EVERY", 3)
    expected = in_phases(load(str(made("tied")), "float32"), tmp_path / "whole")
    advance, steps = trainer_module.Callbacks.on_log, iter(range(1, 100))

    def die(self: Any, *arguments: object, logs: dict[str, float], **named: object) -> None:  # noqa: ANN401
        advance(self, *arguments, logs=logs, **named)
        if "loss" in logs and next(steps) == step:
            raise KilledError

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(trainer_module.Callbacks, "on_log", die)
        in_phases(load(str(made("tied")), "float32"), tmp_path / "again")
    assert in_phases(load(str(made("tied")), "float32"), tmp_path / "again") == expected
    files = [tmp_path / folder / "adapter_model.safetensors" for folder in ("whole", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
