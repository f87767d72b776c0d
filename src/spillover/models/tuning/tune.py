"""Tune an adapter, or the weights themselves, on examples with the `transformers` Trainer.

An optimizer step always has the same number of examples, whatever fits in memory: a token budget only splits it into
micro-batches of similar length. The loss of a step is the sum over its target tokens divided by their number. Tuning
that was killed resumes from its last checkpoint, and ends with the same adapter.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainingArguments, set_seed
from transformers.integrations import get_reporting_integration_callbacks

from spillover.errors import SpilloverError
from spillover.experiment import TuneConfig
from spillover.models.inference.prefix import PrefixReader
from spillover.models.model import Model
from spillover.models.placement import require_on_devices
from spillover.models.tuning import checkpoints
from spillover.models.tuning.contrastive import ContrastiveTrainer
from spillover.models.tuning.held_out import HeldOut, Reading, alignments, read, retrievals, translations
from spillover.models.tuning.history import write_history
from spillover.models.tuning.loss import IGNORED, loss_as_forward
from spillover.models.tuning.parts import Parts, prepared, restrict
from spillover.models.tuning.phases import Phase, held_out_examples, longest_example, make_phases
from spillover.models.tuning.probes import ProbeCallback, Prober, logged_probes
from spillover.models.tuning.targets import ALL
from spillover.models.tuning.trainer import TargetTrainer
from spillover.models.tuning.translations import chrf
from spillover.records import Example, PhasePlan, ProbeCell, Tuning
from spillover.utils import distributed
from spillover.utils.progress import Bar, bar, notify


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
    _require_end(model)
    require_on_devices(model.network, "tuning")
    set_seed(seed)
    phases = make_phases(model, examples, settings, seed, plans)
    held_out, checkpoint_folder = held_out_examples(phases, translates), folder / checkpoints.FOLDER
    rows = [row for phase in phases for row in (*phase.learned, *phase.held_out)]
    with prepared(model, rows, settings) as parts:
        logs, *readings = _learn(model, parts, phases, held_out, cells, checkpoint_folder)
        if distributed.is_main_process():
            with checkpoints.saving(folder):
                parts.save(folder)
    if left_out := len(examples) - len(rows):
        longest, key = longest_example(model, settings)
        notify(f"{left_out} of {len(examples)} examples are longer than {longest} tokens ({key}) and were left out")
    history = _history(phases, logs, left_out, bool(plans), held_out, *readings)
    if distributed.is_main_process():
        write_history(folder, history)
        shutil.rmtree(checkpoint_folder)
    return history


def _require_end(model: Model) -> None:
    """Refuse a model whose texts have no end."""
    if not model.chat and model.tokenizer.eos_token_id is None:
        raise SpilloverError(
            "tune: the model's tokenizer has no EOS token, which ends each target that is learned; expected eos_token "
            "in tokenizer_config.json"
        )


def _learn(
    model: Model, parts: Parts, phases: Sequence[Phase], held_out: HeldOut, cells: Sequence[ProbeCell], folder: Path
) -> tuple[list[dict[str, Any]], Reading, Reading]:
    """Learn all phases, with checkpoints in a folder.

    Returns:
        The Trainer's log, and what the model makes of the held-out examples before and after.
    """
    model.network.eval()  # dropout in an adapter would change what the reader tries
    reader, logs = PrefixReader(model), []
    before, prober = read(reader, held_out), Prober(reader, parts, held_out, cells)
    steps = sum(phase.steps for phase in phases)
    with bar("tune (steps)", steps) as progress:
        for phase in phases:
            callbacks = _callbacks(prober, phase, steps)
            logs += learn_phase(model, parts, phase, folder / str(phase.number), progress, callbacks)
    return logs, before, read(reader, held_out)


def _callbacks(prober: Prober, phase: Phase, steps: int) -> list[ProbeCallback]:
    """Return the callback that probes in a phase, if the settings ask for it; the main process alone probes."""
    every = phase.settings.probe_every if distributed.is_main_process() else 0
    return [ProbeCallback(prober, every, phase.begin, steps)] if every else []


def _history(
    phases: Sequence[Phase],
    logs: Sequence[dict[str, Any]],
    left_out: int,
    listed: bool,
    held_out: HeldOut,
    before: Reading,
    after: Reading,
) -> Tuning:
    """Return what `history.json` holds; `before` and `after` are what the model made of the held-out examples."""
    targets = [row.example.target for row in held_out.translated]
    return Tuning(
        losses=tuple(line["loss"] for line in logs if "loss" in line),
        validation=tuple(line["eval_loss"] for line in logs if "eval_loss" in line),
        examples=sum(len(phase.learned) for phase in phases),
        left_out=left_out,
        target_tokens=sum(label != IGNORED for phase in phases for row in phase.learned for label in row.labels),
        chrf=tuple(chrf(reading.translations, targets) for reading in (before, after) if targets),
        translations=translations(held_out, before, after),
        parts=tuple(part for phase in phases for part in phase.drawn()) if listed else (),
        retrievals=retrievals(held_out, before, after),
        alignments=tuple(alignments(held_out, before, after)),
        probes=logged_probes(logs),
    )


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
