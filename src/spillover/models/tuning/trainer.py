"""The `transformers` Trainer with this project's steps, loss and checkpoints.

A step has the same examples whatever fits in memory, and however many processes share it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from spillover.errors import SpilloverError
from spillover.models.inference.prefix import batches
from spillover.models.inference.transfer import to_device
from spillover.models.tuning import checkpoints
from spillover.models.tuning.loss import IGNORED, TokenizedExample, collate, target_places
from spillover.models.tuning.parts import load_weights, save_weights
from spillover.models.tuning.schedule import Steps
from spillover.models.tuning.targets import require_learning
from spillover.utils.progress import Bar

MICRO_BATCH_TOKENS = 256
"""Tokens of a micro-batch on a CPU, padding included; larger ones are no faster and need more memory. A GPU takes 64
times as many."""

SAVE_EVERY = 20
"""Steps between two checkpoints. There is also one at the end of each epoch."""


class TargetTrainer(Trainer):  # type: ignore[misc] # transformers is untyped
    """The Trainer on rows, whose loss is the sum over a step's target tokens divided by their number."""

    def __init__(
        self,
        network: Any,  # noqa: ANN401
        rows: Sequence[TokenizedExample],
        held_out: Sequence[TokenizedExample],
        order: Steps,
        args: TrainingArguments,
        named: bool = True,
        synchronize: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to learn `rows`.

        Args:
            network: with its adapter, or with the weights marked that learn; it learns inside `loss_as_forward`.
            rows: the examples to learn.
            held_out: the examples for the validation loss; may be none.
            order: the examples of each step.
            args: of the Trainer.
            named: whether the user named the adapted maps: then an adapter of each name has to learn.
            synchronize: called after each step, and when learned weights were read from a checkpoint.
        """
        args._n_gpu = min(1, args.n_gpu)  # one process drives one device: nn.DataParallel would split steps itself
        super().__init__(model=network, args=args, train_dataset=rows, eval_dataset=held_out or None)
        self.remove_callback(PrinterCallback)
        self.order, self._named, self.synchronize = order, named, synchronize

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        epochs: float = self.args.num_train_epochs
        return math.ceil(len(self.order) * epochs)

    def learn(self, progress: Bar) -> TrainerState:
        """Train, or resume from the newest complete checkpoint; return the final state, which has a checkpoint."""
        self.add_callback(Callbacks(self, progress))
        checkpoint = checkpoints.latest(Path(self.args.output_dir))
        if checkpoint is not None:
            state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
            progress.advance(state.global_step)
            if state.global_step >= self.steps:
                return state
        self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return self.state

    def get_train_dataloader(self) -> DataLoader[TokenizedExample]:
        """Return a loader of whole steps, the same in every process."""
        return DataLoader(self.train_dataset, batch_sampler=self.order, collate_fn=collate)

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: object = None,
    ) -> Tensor:
        """Accumulate the gradient of the whole step over its micro-batches and processes; return its loss."""
        model.train()
        parts, total = list(self.micro_batches(inputs)), int((inputs["labels"] != IGNORED).sum())
        shares = torch.zeros((), device=self.args.device)
        for place, part in enumerate(parts, start=1):
            with self._gradient_sync(model, last=place == len(parts)):
                share = model(**part) * (self.args.world_size / total)  # engines average over the processes
                self.accelerator.backward(share)
            shares += share.detach().to(shares.device)
        loss: Tensor = self.accelerator.reduce(shares, "mean")
        if not torch.isfinite(loss):
            step, ids = self.state.global_step + 1, ", ".join(inputs["ids"])
            raise SpilloverError(
                f"tune: the loss of step {step} is {loss.item()}; lower the learning rate, or look at the step's "
                f"examples: {ids}"
            )
        if self.state.global_step == 0 and not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            require_learning(model, self._named)  # engines that split gradients show none here
        return loss

    def _gradient_sync(self, model: torch.nn.Module, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients with the other processes only in the last micro-batch of a step."""
        self.accelerator.gradient_state._set_sync_gradients(last)  # as the Trainer does; DeepSpeed steps by it
        return nullcontext() if last else self.accelerator.no_sync(model)

    @torch.no_grad()
    def evaluate(self, *args: object, **kwargs: object) -> dict[str, float]:
        """Log and return the loss per target token on the held-out examples."""
        self.model_wrapped.eval()
        inputs = collate(self.eval_dataset)
        total = int((inputs["labels"] != IGNORED).sum())
        loss = sum(self.model_wrapped(**part) for part in self.micro_batches(inputs)) / total
        metrics = {"eval_loss": self.accelerator.reduce(loss, "sum").item()}
        self.log(dict(metrics))
        return metrics

    def micro_batches(self, inputs: dict[str, Any]) -> Iterator[dict[str, Tensor]]:
        """Yield this process's share of a step as micro-batches; every process has the same number of them.

        They are laid out in this process and copied to the device, which no computation waits for.
        Rows are sorted by length and grouped, one row per process. If the last group has fewer rows than processes,
        idle processes read a repeated row with its labels masked.
        """
        lengths, processes = inputs["lengths"].tolist(), self.args.world_size
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        groups = [order[start : start + processes] for start in range(0, len(order), processes)]
        device = self.args.device
        budget = MICRO_BATCH_TOKENS * (64 if device.type == "cuda" else 1)
        for chosen in batches([lengths[group[0]] for group in groups], 0, budget):
            rows = [groups[group][min(self.args.process_index, len(groups[group]) - 1)] for group in chosen]
            width = max(lengths[row] for row in rows)
            part = {name: inputs[name][rows, :width] for name in ("input_ids", "labels")}
            for place, group in enumerate(chosen):
                if self.args.process_index >= len(groups[group]):
                    part["labels"][place] = IGNORED
            attended = torch.arange(width) < inputs["lengths"][rows][:, None]
            part |= {"attention_mask": attended.long(), "places": target_places(part["labels"])}
            yield {name: to_device(values, device) for name, values in part.items()}

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        """Write what learns: an adapter as peft does, else the weights that learn, not the whole network."""
        if isinstance(self.model, PeftModel):
            super()._save(output_dir, state_dict)
            return
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.model, folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        if isinstance(self.model, PeftModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(self.model, Path(resume_from_checkpoint))
        self.synchronize()

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        with checkpoints.saving(Path(self.args.output_dir)):
            super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            checkpoints.commit(Path(self.args.output_dir), self.state.global_step, self.state.best_global_step)


class Callbacks(TrainerCallback):  # type: ignore[misc]
    """Measures the loss before the first step, orders the epochs, saves checkpoints and shows the loss."""

    def __init__(self, trainer: TargetTrainer, progress: Bar) -> None:
        self._trainer, self._progress = trainer, progress

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Measure the held-out loss of the model before tuning."""
        if state.global_step == 0 and self._trainer.eval_dataset is not None:
            self._trainer.evaluate()

    def on_epoch_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Choose the order of the epoch that begins or is resumed."""
        self._trainer.order.set_epoch(state.global_step // len(self._trainer.order))

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Save every `SAVE_EVERY` steps. The end of an epoch is measured first and saved by `on_epoch_end`."""
        self._trainer.synchronize()
        ends = state.global_step % len(self._trainer.order) == 0 or state.global_step == self._trainer.steps
        control.should_save = state.global_step % SAVE_EVERY == 0 and not ends

    def on_epoch_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Save."""
        control.should_save = True

    def on_log(self, *_: object, logs: dict[str, float], **named: object) -> None:
        """Advance the bar by a step."""
        if "loss" in logs:
            self._progress.advance(note=f"loss {logs['loss']:.3f}")
