"""Tune an adapter, or the weights themselves, on examples with the `transformers` Trainer.

An optimizer step always has the same number of examples, whatever fits in memory: a token budget only splits it into
micro-batches of similar length. The loss of a step is the sum over its target tokens divided by their number. Tuning
that was killed resumes from its last checkpoint, and ends with the same adapter.
"""

import math
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice, zip_longest
from pathlib import Path
from typing import Any

from transformers import TrainingArguments, set_seed
from transformers.integrations import get_reporting_integration_callbacks

from spillover.errors import SpilloverError
from spillover.experiment import TuneConfig
from spillover.models.inference.prefix import PrefixReader
from spillover.models.model import Model
from spillover.models.tuning import checkpoints
from spillover.models.tuning.contrastive import ContrastiveTrainer, encode_pair
from spillover.models.tuning.held_out import HeldOut, Reading, alignments, read, retrievals, translations
from spillover.models.tuning.history import write_history
from spillover.models.tuning.loss import IGNORED, TokenizedExample, encode, loss_as_forward
from spillover.models.tuning.parts import Parts, prepared, restrict
from spillover.models.tuning.probes import ProbeCallback, Prober, logged_probes
from spillover.models.tuning.schedule import Steps, WeightedSteps
from spillover.models.tuning.targets import ALL
from spillover.models.tuning.trainer import TargetTrainer
from spillover.models.tuning.translations import chrf
from spillover.records import Example, LearnedPart, PartPlan, PhasePlan, ProbeCell, Tuning
from spillover.utils import distributed
from spillover.utils.progress import Bar, bar, notify

ONE_PART = PhasePlan(())
"""The plan of a phase that is not listed: its examples are one part."""


@dataclass(frozen=True, slots=True)
class Phase:
    """The examples of one schedule of the learning rate: those of one value of `Example.stage`."""

    number: int
    learned: list[TokenizedExample]
    held_out: list[TokenizedExample]
    settings: TuneConfig
    seed: int
    plan: PhasePlan = ONE_PART
    """Its parts, each with the number of examples to learn from; none: they are one."""
    begin: int = 0
    """Optimizer steps of the phases before it."""
    apart: tuple[int, ...] = ()
    """Number of each part's held-out examples, which follow each other too."""

    @property
    def order(self) -> Steps:
        """The examples of each step."""
        sizes, weights = [part.examples for part in self.plan.parts], [part.weight for part in self.plan.parts]
        if len(sizes) <= 1:
            return Steps(len(self.learned), self.settings.batch, self.seed)
        return WeightedSteps(sizes, weights, self.settings.batch, self.seed)

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return math.ceil(len(self.order) * self.settings.epochs)

    def drawn(self) -> Iterator[LearnedPart]:
        """Yield per part what is drawn from it."""
        places, start = self.order.drawn(self.steps), 0
        tokens = [sum(label != IGNORED for label in row.labels) for row in self.learned]
        for part in self.plan.parts:
            own = [place for place in places if start <= place < start + part.examples]
            drawn_tokens = sum(tokens[place] for place in own)
            yield LearnedPart(self.number, part.name, part.examples, len(own), len(set(own)), drawn_tokens)
            start += part.examples


def tune(
    model: Model,
    examples: Sequence[Example],
    settings: TuneConfig,
    seed: int,
    folder: Path,
    plans: Sequence[PhasePlan] = (),
    translates: Sequence[Sequence[bool]] = ((True,),),
    cells: Sequence[ProbeCell] = (),
) -> Tuning:
    """Tune, and write what was learned and `history.json` to `folder`; resume if tuning was begun there.

    An adapter is written in PEFT's format, and fully tuned weights as their difference to the base.

    Each of the processes launched together calls this with the same arguments; the main process writes.

    Args:
        model: the base model; its network gets the adapter, and its weights are in the end as they were.
        examples: the examples, in any order.
        settings: of what is tuned, and of the optimizer.
        seed: of the adapter's initialization, the validation split, the order of the examples and the dropout.
        folder: an existing folder, for the adapter.
        plans: of each phase, whose examples are in the order of its parts; none: each phase is one part.
        translates: phase → part → whether its targets are translations, which are measured on held-out examples.
        cells: the items that are asked every `settings.probe_every` steps.

    Raises:
        SpilloverError: a target cannot be adapted, the tokenizer has no token that ends a text, every example is too
            long, or the loss is not finite.
    """
    if not model.chat and model.tokenizer.eos_token_id is None:
        raise SpilloverError(
            "tune: the model's tokenizer has no EOS token, which ends each target that is learned; expected eos_token "
            "in tokenizer_config.json"
        )
    set_seed(seed)
    phases = _phases(model, examples, settings, seed, plans)
    begun, held_out = folder / "checkpoints", _held_out(phases, translates)
    rows = [row for phase in phases for row in (*phase.learned, *phase.held_out)]
    steps = sum(phase.steps for phase in phases)
    with prepared(model, rows, settings) as parts:
        model.network.eval()  # dropout in an adapter would change what the reader tries
        reader, logs = PrefixReader(model), []
        before, prober = read(reader, held_out), Prober(reader, parts, held_out, cells)
        with bar("tune (steps)", steps) as progress:
            for phase in phases:
                logs += learn_phase(
                    model, parts, phase, begun / str(phase.number), progress, _callbacks(prober, phase, steps)
                )
        after = read(reader, held_out)
        if distributed.is_main_process():
            with checkpoints.saving(folder):
                parts.save(folder)
    if left_out := len(examples) - len(rows):
        longest, key = _longest(model, settings)
        notify(f"{left_out} of {len(examples)} examples are longer than {longest} tokens ({key}) and were left out")
    history = _history(phases, logs, left_out, bool(plans), (held_out, before, after))
    if distributed.is_main_process():
        write_history(folder, history)
        shutil.rmtree(begun)
    return history


def _callbacks(prober: Prober, phase: Phase, steps: int) -> list[ProbeCallback]:
    """Return the callback that probes in a phase, if the settings ask for it; the main process alone probes."""
    every = phase.settings.probe_every if distributed.is_main_process() else 0
    return [ProbeCallback(prober, every, phase.begin, steps)] if every else []


def _history(
    phases: Sequence[Phase],
    logs: Sequence[dict[str, Any]],
    left_out: int,
    listed: bool,
    measured: tuple[HeldOut, Reading, Reading],
) -> Tuning:
    """Return what `history.json` holds.

    measured: the held-out examples, and what the model made of them before and after.
    """
    held_out, *readings = measured
    targets = [row.example.target for row in held_out.translated]
    return Tuning(
        losses=tuple(line["loss"] for line in logs if "loss" in line),
        validation=tuple(line["eval_loss"] for line in logs if "eval_loss" in line),
        examples=sum(len(phase.learned) for phase in phases),
        left_out=left_out,
        target_tokens=sum(label != IGNORED for phase in phases for row in phase.learned for label in row.labels),
        chrf=tuple(chrf(reading.translations, targets) for reading in readings if targets),
        translations=translations(*measured),
        parts=tuple(part for phase in phases for part in phase.drawn()) if listed else (),
        retrievals=retrievals(*measured),
        alignments=tuple(alignments(*measured)),
        probes=logged_probes(logs),
    )


def _phases(
    model: Model, examples: Sequence[Example], settings: TuneConfig, seed: int, plans: Sequence[PhasePlan]
) -> list[Phase]:
    """Return the phases in their order, each part shuffled and split; examples that are too long are left out."""
    longest, key = _longest(model, settings)
    compared = {number for number, plan in enumerate(plans) if plan.depth is not None}
    rows = [(encode_pair if example.stage in compared else encode)(model, example) for example in examples]
    if not any(len(row.tokens) <= longest for row in rows):
        raise SpilloverError(f"{key}: all {len(examples)} examples are longer than {longest} tokens")
    phases: list[Phase] = []
    for number in sorted({row.example.stage for row in rows}):
        inside = iter([row for row in rows if row.example.stage == number])
        plan = plans[number] if plans else PhasePlan((PartPlan("", 1, len(rows)),))
        learned: list[TokenizedExample] = []
        held_out: list[TokenizedExample] = []
        parts, counts = [], []
        for part in plan.parts:
            shuffled = [row for row in islice(inside, part.examples) if len(row.tokens) <= longest]
            random.Random(seed).shuffle(shuffled)
            apart = int(len(shuffled) * settings.validation_share)
            if plans and not shuffled:
                raise SpilloverError(f"{key}: all examples of {part.name!r} are longer than {longest} tokens")
            parts.append(replace(part, examples=len(shuffled) - apart))
            learned += shuffled[apart:]
            held_out += shuffled[:apart]
            counts.append(apart)
        changed = {"epochs": plan.epochs, "learning_rate": plan.learning_rate}
        changed = {name: value for name, value in changed.items() if value is not None}
        if learned:
            schedule = settings.model_copy(update=changed)
            planned = replace(plan, parts=tuple(parts))
            begin = sum(phase.steps for phase in phases)
            phases.append(Phase(number, learned, held_out, schedule, seed, planned, begin, tuple(counts)))
    return phases


def _held_out(phases: Sequence[Phase], translates: Sequence[Sequence[bool]]) -> HeldOut:
    """Return the held-out examples that the main process reads before and after tuning, of all parts in turn."""
    translated: list[list[TokenizedExample]] = []
    compared: list[list[TokenizedExample]] = []
    depths: list[float] = []
    for phase in phases if distributed.is_main_process() else ():
        if phase.plan.depth is not None:
            depths.append(phase.plan.depth)
            compared += [phase.held_out] if phase.plan.depth == depths[0] else []
        elif phase.number < len(translates):
            ends = list(accumulate(phase.apart))
            rows = [phase.held_out[end - count : end] for count, end in zip(phase.apart, ends, strict=True)]
            translated += [part for part, written in zip(rows, translates[phase.number], strict=False) if written]
    limit = phases[0].settings.translations
    return HeldOut(_in_turn(translated, limit), _in_turn(compared, limit), *depths[:1])


def _in_turn(parts: Sequence[Sequence[TokenizedExample]], limit: int) -> tuple[TokenizedExample, ...]:
    """Return the first examples of the parts: one of each, then another of each, up to a limit in all."""
    rows = (row for rows in zip_longest(*parts) for row in rows if row is not None)
    return tuple(islice(rows, limit))


def _longest(model: Model, settings: TuneConfig) -> tuple[int, str]:
    """Return how many tokens an example may have, and the source of that limit."""
    return min((settings.cutoff, "tune.cutoff"), (model.context, "the model's context"))


def learn_phase(
    model: Model, parts: Parts, phase: Phase, place: Path, progress: Bar, callbacks: Sequence[ProbeCallback] = ()
) -> list[dict[str, Any]]:
    """Learn a phase, load its best epoch into the network, and return the Trainer's log."""
    arguments, named = training_arguments(model, phase, place), ALL not in phase.settings.targets
    restrict(model, parts, phase.plan.layers)
    with loss_as_forward(model, parts.rows), parts.learning():
        kind = TargetTrainer if phase.plan.depth is None else ContrastiveTrainer
        trainer = kind(parts.network, phase.learned, phase.held_out, phase.order, arguments, named, parts.synchronize)
        if isinstance(trainer, ContrastiveTrainer) and phase.plan.depth is not None:
            trainer.prepare(model, phase.plan.depth)
        for callback in callbacks:
            trainer.add_callback(callback)
        state = trainer.learn(progress)
    parts.load(checkpoints.path_of(place, state.best_global_step or state.global_step))
    trainer.accelerator.wait_for_everyone()  # the main process removes the checkpoints at the end
    log: list[dict[str, Any]] = state.log_history
    return log


def training_arguments(model: Model, phase: Phase, place: Path) -> TrainingArguments:
    """Return the Trainer's arguments for a phase; checkpoints go to `place`."""
    settings = phase.settings
    if settings.report_to:
        _check_trackers(settings.report_to)
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(place.parent.parent / "logs"))
    return TrainingArguments(
        output_dir=str(place),
        per_device_train_batch_size=settings.batch,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup_ratio,
        seed=phase.seed + distributed.rank(),  # of the dropout alone: adapter and order are already determined
        eval_strategy="epoch" if phase.held_out else "no",
        save_strategy="epoch" if phase.held_out else "no",  # `Callbacks` saves in any case; this marks the best step
        metric_for_best_model="loss",
        remove_unused_columns=False,
        disable_tqdm=True,
        logging_steps=1,
        report_to=list(settings.report_to),
        ddp_find_unused_parameters=False,
        use_cpu=model.device.type == "cpu",
    )


def _check_trackers(names: Sequence[str]) -> None:
    try:
        for tracker in get_reporting_integration_callbacks(list(names)):
            tracker()
    except (ValueError, RuntimeError, ImportError) as error:
        raise SpilloverError(f"tune.report_to: found {list(names)}: {error}") from error
