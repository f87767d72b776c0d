"""The contenders of `tuning.py`: ours, TRL's SFTTrainer, the plain Trainer; and ours on pairs, `contrastive`.

Each is a block within which one Trainer is ready to train. No clock runs here.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol

from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments, set_seed

from spillover.experiment import TuneConfig
from spillover.models.model import Model
from spillover.models.tracing.anatomy import block_list
from spillover.models.tuning.contrastive import ContrastiveTrainer
from spillover.models.tuning.loss import IGNORED, TokenizedExample, loss_as_forward
from spillover.models.tuning.parts import VARIANTS, Parts, prepared
from spillover.models.tuning.schedule import Steps
from spillover.models.tuning.targets import ALL, chosen_blocks
from spillover.models.tuning.trainer import TargetTrainer

RATE, SEED = 1e-4, 0
DEPTH = 0.6
"""Relative depth at which `contrastive` compares the texts of a pair: its default."""

METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "lora-all-linear": {"targets": ALL},
    "dora": {"method": "dora"},
    "rslora": {"method": "rslora"},
    "full": {"method": "full"},
    "embeddings-seen": {"embeddings": "seen"},
    "layers-middle": {"layers": "middle"},
    "layers-ends": {"layers": "ends"},
}
"""What is tuned → the keys of `tune` in which it differs from the defaults."""


class Contender(Protocol):
    """Returns a block within which a Trainer of `rows` is ready to train."""

    def __call__(
        self, model: Model, settings: TuneConfig, rows: Sequence[TokenizedExample], options: dict[str, Any]
    ) -> AbstractContextManager[Trainer]:
        """Prepare the Trainer; `options` are arguments that all contenders share."""


class _Synchronize(TrainerCallback):  # type: ignore[misc] # transformers is untyped
    """Lets the network read what a step learned, as a run's callbacks do, which save checkpoints too."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_step_end(self, *_: object, **__: object) -> None:
        """Put learned rows into the embedding."""
        self._parts.synchronize()


@contextmanager
def ours(
    model: Model,
    settings: TuneConfig,
    rows: Sequence[TokenizedExample],
    options: dict[str, Any],
    depth: float | None = None,
) -> Iterator[Trainer]:
    """Train with ours; with a depth on pairs, whose states are compared there inside the model."""
    set_seed(SEED)
    order, arguments = Steps(len(rows), settings.batch, SEED), TrainingArguments(**options)
    with prepared(model, rows, settings) as parts, loss_as_forward(model, parts.rows), parts.learning():
        kind = TargetTrainer if depth is None else ContrastiveTrainer
        trainer = kind(parts.network, rows, [], order, arguments)
        if isinstance(trainer, ContrastiveTrainer) and depth is not None:
            trainer.prepare(model, depth)
        trainer.add_callback(_Synchronize(parts))
        yield trainer


contrastive: Contender = partial(ours, depth=DEPTH)
"""Trains with ours on pairs."""


@contextmanager
def trl(
    model: Model, settings: TuneConfig, rows: Sequence[TokenizedExample], options: dict[str, Any]
) -> Iterator[Trainer]:
    """Train with TRL, its loss on the completion alone; no activation is computed twice, as in ours."""
    with trl_as_it_comes(model, settings, rows, options | {"gradient_checkpointing": False}) as trainer:
        yield trainer


@contextmanager
def trl_as_it_comes(
    model: Model, settings: TuneConfig, rows: Sequence[TokenizedExample], options: dict[str, Any]
) -> Iterator[Trainer]:
    """Train the same with TRL's own defaults: it recomputes activations, which saves memory and costs time."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = in_order(rows, settings)
    masks = [[int(label != IGNORED) for label in row.labels] for row in rows]
    data = Dataset.from_dict({"input_ids": [list(row.tokens) for row in rows], "completion_mask": masks})
    arguments = SFTConfig(**options, completion_only_loss=True, max_length=None, bf16=False)
    yield SFTTrainer(
        model=rivals_network(model, settings, rows),
        args=arguments,
        train_dataset=data,
        processing_class=model.tokenizer,
    )


@contextmanager
def plain(
    model: Model, settings: TuneConfig, rows: Sequence[TokenizedExample], options: dict[str, Any]
) -> Iterator[Trainer]:
    """Train with the plain Trainer, each step padded to its longest example."""
    data = [{"input_ids": list(row.tokens), "labels": list(row.labels)} for row in in_order(rows, settings)]
    collator = DataCollatorForSeq2Seq(model.tokenizer, label_pad_token_id=IGNORED)
    yield Trainer(
        model=rivals_network(model, settings, rows),
        args=TrainingArguments(**options),
        train_dataset=data,
        data_collator=collator,
    )


CONTENDERS: dict[str, Contender] = {
    "ours": ours,
    "TRL": trl,
    "TRL as it comes": trl_as_it_comes,
    "plain Trainer": plain,
}


IMPOSSIBLE = {("embeddings-seen", "TRL"), ("embeddings-seen", "TRL as it comes")}
"""Method and contender that cannot learn it: TRL 1.16 reads the weight of a tied unembedding past peft's rows."""


def in_order(rows: Sequence[TokenizedExample], settings: TuneConfig) -> list[TokenizedExample]:
    """Return the rows in the order that ours draws by itself: the rivals read them as they stand."""
    return [rows[place] for step in Steps(len(rows), settings.batch, SEED) for place in step]


def rivals_network(model: Model, settings: TuneConfig, rows: Sequence[TokenizedExample]) -> Any:  # noqa: ANN401
    """Return the network with what learns, as a user of peft writes it, from the same seed as ours."""
    set_seed(SEED)
    if settings.method == "full":
        for end in (model.network.get_input_embeddings(), model.network.get_output_embeddings()):
            end.weight.requires_grad_(False)
        return model.network
    blocks = block_list(model)
    chosen = chosen_blocks(model, settings.layers)
    numbers = [number for number, block in enumerate(blocks) if any(block is one for one in chosen)]
    tokens = sorted({token for row in rows for token in row.tokens})
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=settings.targets if settings.targets == ALL else list(settings.targets),
        layers_to_transform=None if settings.layers == "all" else numbers,
        task_type="CAUSAL_LM",
        **VARIANTS[settings.method],
        **({"trainable_token_indices": tokens} if settings.embeddings == "seen" else {}),
    )
    return get_peft_model(model.network, config)
