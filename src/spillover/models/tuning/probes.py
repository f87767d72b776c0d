"""Small evaluations of the model while it is tuned, which leave tuning as it would be without them.

A probe reads held-out pairs and asks the items of a task. Its results are lines of the Trainer's log, so they are in
the checkpoints, and tuning that was killed goes on with them.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from spillover.analysis.statistics.choices import gold_margin
from spillover.analysis.statistics.pairing import is_correct
from spillover.models.inference.prefix import PrefixReader
from spillover.models.scoring.score import score
from spillover.models.tuning.held_out import HeldOut, target_losses
from spillover.models.tuning.history import with_tuples
from spillover.models.tuning.parts import Parts
from spillover.models.tuning.translations import chrf, translate
from spillover.records import Probe, ProbeCell

KEY = "probe"
"""Key of a line of the Trainer's log that holds a probe."""


@dataclass(frozen=True, slots=True)
class Prober:
    """Evaluates the model as it is at any step."""

    reader: PrefixReader
    """The model that is tuned, with the parts that learn in it."""
    parts: Parts
    """These parts."""
    held_out: HeldOut
    """Pairs that are never learned."""
    cells: Sequence[ProbeCell]
    """The items that are asked; may be none."""

    def probe(self, step: int) -> Probe:
        """Return a small evaluation. Nothing that tuning depends on is changed.

        step: the number of optimizer steps so far.
        """
        with undisturbed(self.reader.model.network), self.parts.reading():
            self.parts.synchronize()
            self.reader.model.network.eval()
            rows = self.held_out.translated
            translations = translate(self.reader, [row.example for row in rows])
            losses = target_losses(self.reader, rows)
            unseen, tuned = (_scores(self.reader, [c for c in self.cells if c.tuned is of]) for of in (False, True))
        return Probe(
            step,
            chrf(translations, [row.example.target for row in rows]) if rows else None,
            float(np.mean(losses)) if rows else None,
            *unseen,
            *tuned,
        )


def _scores(reader: PrefixReader, cells: Sequence[ProbeCell]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return per item the mean over languages of 1 for a right answer, and of the gold margin in nats."""
    if not cells:
        return (), ()
    scores = iter(score(reader, [prompt for cell in cells for prompt in cell.prompts]).choices)
    values = np.array([[_score(next(scores), gold) for gold in cell.gold] for cell in cells])
    hits, margins = values.mean(axis=0).T.tolist()
    return tuple(hits), tuple(margins)


def _score(logprobs: Sequence[float], gold: int) -> tuple[float, float]:
    """Return 1 or 0 for one item's answer, and its gold margin in nats."""
    row, label = np.array([logprobs]), np.array([gold])
    return float(is_correct(row, label)[0]), float(gold_margin(row, label)[0])


@contextmanager
def undisturbed(network: torch.nn.Module) -> Iterator[None]:
    """Leave the generators of random numbers and the modes of all modules as they were before the block."""
    modes = [(module, module.training) for module in network.modules()]
    generators = random.getstate(), np.random.get_state()
    devices = sorted({weight.device.index for weight in network.parameters() if weight.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        for module, training in modes:
            module.training = training


class ProbeCallback(TrainerCallback):  # type: ignore[misc] # transformers is untyped
    """Probes before the first step of tuning, every so many steps, and after the last one."""

    def __init__(self, prober: Prober, every: int, begin: int, end: int) -> None:
        """Set when to probe.

        Args:
            prober: evaluates the model.
            every: steps between two probes, at least 1.
            begin: steps of the phases before this one; steps go on counting across phases.
            end: steps of all phases.
        """
        self._prober, self._every, self._begin, self._end = prober, every, begin, end

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Probe the model before tuning."""
        if self._begin + state.global_step == 0:
            self._probe(state)

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Probe after a step; its checkpoint is written later, with the probe in its log."""
        step = self._begin + state.global_step
        if step % self._every == 0 or step == self._end:
            self._probe(state)

    def _probe(self, state: TrainerState) -> None:
        probe = self._prober.probe(self._begin + state.global_step)
        state.log_history.append({KEY: asdict(probe), "step": state.global_step})


def logged_probes(log: Sequence[Mapping[str, Any]]) -> tuple[Probe, ...]:
    """Return the probes in the lines of the Trainer's log, which may have been read from a checkpoint."""
    return tuple(Probe(**with_tuples(line[KEY])) for line in log if KEY in line)
