"""The phases of tuning: each has its examples, shuffled and split, and one schedule of the learning rate."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice, zip_longest

from spillover.errors import SpilloverError
from spillover.experiment import TuneConfig
from spillover.models.model import Model
from spillover.models.tuning.contrastive import encode_pair
from spillover.models.tuning.held_out import HeldOut, nearly_learned
from spillover.models.tuning.loss import IGNORED, TokenizedExample, encode
from spillover.models.tuning.schedule import Steps, WeightedSteps
from spillover.records import Example, LearnedPart, PartPlan, PhasePlan
from spillover.utils import distributed

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


def make_phases(
    model: Model, examples: Sequence[Example], settings: TuneConfig, seed: int, plans: Sequence[PhasePlan]
) -> list[Phase]:
    """Return the phases in their order, each part shuffled and split; examples that are too long are left out."""
    longest, key = longest_example(model, settings)
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


def held_out_examples(phases: Sequence[Phase], translates: Sequence[Sequence[bool]]) -> HeldOut:
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
    chosen, learned = _in_turn(translated, limit), (row.example for phase in phases for row in phase.learned)
    near = nearly_learned([row.example for row in chosen], learned)
    return HeldOut(chosen, near, _in_turn(compared, limit), *depths[:1])


def _in_turn(parts: Sequence[Sequence[TokenizedExample]], limit: int) -> tuple[TokenizedExample, ...]:
    """Return the first examples of the parts: one of each, then another of each, up to a limit in all."""
    rows = (row for rows in zip_longest(*parts) for row in rows if row is not None)
    return tuple(islice(rows, limit))


def longest_example(model: Model, settings: TuneConfig) -> tuple[int, str]:
    """Return how many tokens an example may have, and the source of that limit."""
    return min((settings.cutoff, "tune.cutoff"), (model.context, "the model's context"))
