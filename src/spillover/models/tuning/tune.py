"""Tune a LoRA adapter on examples with the `transformers` Trainer.

An optimizer step is always the same number of examples, whatever fits in memory: a token budget only splits it into
micro-batches of like length. The loss of a step is the sum over its target tokens divided by their number. Killed at
any point it goes on from its last checkpoint, and ends with the same adapter. Knows neither pairs nor languages.
"""

import math
import os
import random
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model
from transformers import TrainingArguments, set_seed
from transformers.integrations import get_reporting_integration_callbacks

from spillover.errors import SpilloverError
from spillover.models.load import Model
from spillover.models.tuning import checkpoints
from spillover.models.tuning.history import write_history
from spillover.models.tuning.loss import IGNORED, TokenizedExample, encode, loss_as_forward
from spillover.models.tuning.targets import ALL, to_adapt
from spillover.models.tuning.trainer import Steps, TargetTrainer
from spillover.models.tuning.translations import chrf, translate
from spillover.records import Example, Translation, Tuning
from spillover.utils import distributed
from spillover.utils.progress import Bar, bar, notify


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How to tune: LoRA (Hu et al. 2021) and its schedule."""

    rank: int
    """Rank of the update."""
    alpha: float
    """Its scale, before the division by the rank."""
    targets: tuple[str, ...] | str
    """Names of the linear maps that are adapted, or `all-linear`; `models/targets.py` says what they stand for."""
    learning_rate: float
    """Peak of the cosine schedule."""
    epochs: float
    """Passes over the examples."""
    batch: int
    """Examples of an optimizer step, over all processes."""
    warmup_ratio: float
    """Share of the steps in which the learning rate rises."""
    cutoff: int
    """Examples of more tokens are left out, and counted; those longer than the model's context are too."""
    validation_share: float
    """Share of the examples held out; the epoch with the lowest loss on them is kept."""
    seed: int
    """Of the adapter's initialization, the validation split, the order and the dropout."""
    dropout: float = 0.0
    """Share of a linear map's inputs that its update does not see in a step."""
    translations: int = 0
    """Held-out examples that are translated before and after, for chrF."""
    report_to: tuple[str, ...] = ()
    """Trackers that the Trainer tells of every step, such as `tensorboard`; they change no result."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """Rows learned under one schedule."""

    number: int
    learned: list[TokenizedExample]
    held_out: list[TokenizedExample]


def tune(model: Model, examples: Sequence[Example], recipe: LoraSettings, folder: Path) -> Tuning:
    """Tune and write the adapter (PEFT format) and `history.json` to `folder`, or go on with what was begun there.

    Of several processes launched together each calls this with the same arguments; the leading one writes.

    Raises:
        SpilloverError: a target cannot be adapted, the tokenizer has no token that ends a text, every example is too
            long, or the loss is not finite.
    """
    if not model.chat and model.tokenizer.eos_token_id is None:
        raise SpilloverError(
            "tune: the model's tokenizer has no EOS token, which ends each target that is learned; expected eos_token "
            "in tokenizer_config.json"
        )
    set_seed(recipe.seed)
    stages = _stages(model, examples, recipe)
    network, begun = _adapted(model, recipe), folder / "checkpoints"
    shown = [row.example for row in stages[0].held_out[: recipe.translations]] if distributed.is_main_process() else []
    steps = sum(math.ceil(len(_order(stage, recipe)) * recipe.epochs) for stage in stages)
    before, logs = translate(model, shown), []
    with bar("tune (steps)", steps) as progress:
        for stage in stages:
            logs += _learn(model, network, stage, recipe, begun / str(stage.number), progress)
    after = translate(model, shown)
    history = Tuning(
        losses=tuple(line["loss"] for line in logs if "loss" in line),
        validation=tuple(line["eval_loss"] for line in logs if "eval_loss" in line),
        examples=sum(len(stage.learned) for stage in stages),
        left_out=len(examples) - sum(len(stage.learned) + len(stage.held_out) for stage in stages),
        target_tokens=sum(label != IGNORED for stage in stages for row in stage.learned for label in row.labels),
        chrf=tuple(chrf(found, [example.target for example in shown]) for found in (before, after) if shown),
        translations=tuple(
            Translation(example.id, example.language, example.source, example.target, *texts)
            for example, *texts in zip(shown, before, after, strict=True)
        ),
    )
    if history.left_out:
        longest, key = _longest(model, recipe)
        notify(
            f"{history.left_out} of {len(examples)} examples are longer than {longest} tokens ({key}) and were left out"
        )
    if distributed.is_main_process():
        with checkpoints.saving(folder):
            network.save_pretrained(folder)
        write_history(folder, history)
        shutil.rmtree(begun)
    return history


def _stages(model: Model, examples: Sequence[Example], recipe: LoraSettings) -> list[_Stage]:
    """Return the stages in their order, each shuffled and split; examples that are too long are in none."""
    longest, key = _longest(model, recipe)
    rows = [row for example in examples if len((row := encode(model, example)).tokens) <= longest]
    if not rows:
        raise SpilloverError(f"{key}: all {len(examples)} examples are longer than {longest} tokens")
    found = []
    for number in sorted({row.example.stage for row in rows}):
        own = [row for row in rows if row.example.stage == number]
        random.Random(recipe.seed).shuffle(own)
        held_out = int(len(own) * recipe.validation_share)
        found.append(_Stage(number, own[held_out:], own[:held_out]))
    return found


def _longest(model: Model, recipe: LoraSettings) -> tuple[int, str]:
    """Return how many tokens an example may have, and what says so: beyond its context a network has no positions."""
    return min((recipe.cutoff, "tune.cutoff"), (model.context, "the model's context"))


def _adapted(model: Model, recipe: LoraSettings) -> Any:  # noqa: ANN401 - the network with its adapter
    lora = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=to_adapt(model, recipe.targets),
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        # peft sets what it says here for a Conv1D by itself, and the embeddings are never adapted
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out|.*tie_word_embeddings")
        return get_peft_model(model.network, lora)


def _order(stage: _Stage, recipe: LoraSettings) -> Steps:
    return Steps(len(stage.learned), recipe.batch, recipe.seed)


def _learn(
    model: Model,
    network: Any,  # noqa: ANN401
    stage: _Stage,
    recipe: LoraSettings,
    place: Path,
    progress: Bar,
) -> list[dict[str, float]]:
    """Go through a stage, leave its best adapter in `network`, and return the Trainer's log."""
    arguments = _arguments(model, stage, recipe, place)
    with loss_as_forward(model):
        order, named = _order(stage, recipe), ALL not in recipe.targets
        trainer = TargetTrainer(network, stage.learned, stage.held_out, order, arguments, named)
        state = trainer.learn(progress)
    network.load_adapter(str(checkpoints.path_of(place, state.best_global_step or state.global_step)), "default")
    trainer.accelerator.wait_for_everyone()  # the leading process removes the checkpoints in the end
    log: list[dict[str, float]] = state.log_history
    return log


def _arguments(model: Model, stage: _Stage, recipe: LoraSettings, place: Path) -> TrainingArguments:
    if recipe.report_to:
        _check_trackers(recipe.report_to)
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(place.parent.parent / "logs"))
    return TrainingArguments(
        output_dir=str(place),
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        num_train_epochs=recipe.epochs,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup_ratio,
        seed=recipe.seed + distributed.rank(),  # of the dropout alone: the adapter is there, the order has its own
        eval_strategy="epoch" if stage.held_out else "no",
        save_strategy="epoch" if stage.held_out else "no",  # `_Watch` saves in either case; this finds the best
        metric_for_best_model="loss",
        remove_unused_columns=False,
        disable_tqdm=True,
        logging_steps=1,
        report_to=list(recipe.report_to),
        ddp_find_unused_parameters=False,
        use_cpu=model.device.type == "cpu",
    )


def _check_trackers(names: Sequence[str]) -> None:
    try:
        for tracker in get_reporting_integration_callbacks(list(names)):
            tracker()
    except (ValueError, RuntimeError, ImportError) as error:
        raise SpilloverError(f"tune.report_to: found {list(names)}: {error}") from error
