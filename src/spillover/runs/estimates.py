"""First estimates of time and disk per example and item, for a model that no run in the folder has used.

Tokens are counted as bytes / `BYTES_PER_TOKEN`, and a small measurement tells how fast this machine computes blocks of
the model's sizes. From these follow the network's part of the time; the rest is in two tables, `EFFICIENCY` and
`OVERHEAD`, that were fitted to runs. An estimate is meant to be right within about a factor of two.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, ModelConfig
from spillover.models.shape import ModelShape, model_shape
from spillover.models.speed import Speed, machine_speed
from spillover.records import Item, Prompt
from spillover.runs.rates import UnitCost
from spillover.stages.build import expected_examples
from spillover.stages.inputs import Inputs
from spillover.stages.items import Items, answered_in_words, subsets, with_choices
from spillover.stages.trace import lens_prompt
from spillover.tasks import has_labels, open_labeled_task, open_task, open_written_task

FIRST_ESTIMATE = "a first estimate, within about a factor of two"
"""What a forecast says of estimates."""

BYTES_PER_TOKEN = 4
"""Bytes of UTF-8 in a token. Gemma's tokenizer has 3.2 to 5.5 in the texts of the twenty languages."""

SAMPLE = 20
"""Items of a cell that are looked at."""

PARQUET_BYTES, ROW_BYTES = 3000, 30
"""Bytes of an empty file of results with its marker, and of a row in it."""

FLOAT = 4
"""Bytes of a number in a trace, in an adapter and in the state of the optimizer."""

EFFICIENCY = {"tune": 0.75, "evaluate": 0.7, "analyze": 0.5, "deactivate": 0.6, "answers": 0.7, "texts": 0.8}
"""Part of a run → the share of the measured speed that it reaches. Fitted to two runs of Gemma-3-270M on a processor:
the demo on two quiet cores, and a small run on one thread. They agree within a fifth for `tune`, `evaluate` and
`analyze`. The values of `deactivate` and `answers` are guesses, since no run was at hand."""

OVERHEAD = {"tune": 1e-3, "evaluate": 5.5e-4, "analyze": 2e-3, "deactivate": 1e-3, "answers": 5e-3, "texts": 5e-4}
"""Part of a run → the seconds that one unit of its work takes outside the network: those of the model organism, whose
network takes nearly none. In four of its runs `evaluate` took 0.6 to 7 ms, on machines more or less busy."""

WRITTEN_AT_ONCE = 8
"""Held-out pairs that are translated together. Fewer take as long as these."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a network does for one unit of work, or for several."""

    read: float = 0.0
    """Tokens read."""
    unembed: float = 0.0
    """Positions whose next token is predicted."""
    learn: float = 0.0
    """Tokens read and learned from."""
    write: float = 0.0
    """Tokens written."""
    bytes: float = 0.0
    """Bytes of what is stored."""

    def __add__(self, other: "Effort") -> "Effort":
        """Return the effort of both."""
        return Effort(
            self.read + other.read,
            self.unembed + other.unembed,
            self.learn + other.learn,
            self.write + other.write,
            self.bytes + other.bytes,
        )

    def times(self, count: float) -> "Effort":
        """Return this effort, `count` times."""
        return Effort(
            count * self.read, count * self.unembed, count * self.learn, count * self.write, count * self.bytes
        )

    def seconds(self, speed: Speed) -> float:
        """Return the time of it at this speed."""
        return (
            self.read * speed.read + self.unembed * speed.unembed + self.learn * speed.learn + self.write * speed.write
        )


def with_estimates(
    recorded: Mapping[str, UnitCost], parts: Iterable[str], experiment: Experiment, inputs: Inputs
) -> dict[str, UnitCost]:
    """Return part of a run → the cost of one unit: as recorded, else a first estimate.

    If one of `parts` is not recorded, the machine's speed is measured, unless it is known: this takes seconds. A part
    is left out if it is not recorded and the model is not on this machine.
    """
    if all(part in recorded for part in parts) or (shape := model_shape(experiment.model.name)) is None:
        return dict(recorded)
    if (speed := machine_speed(experiment.model, shape)) is None:
        return dict(recorded)
    estimated = {
        part: UnitCost(effort.seconds(speed) / EFFICIENCY[part] + OVERHEAD[part], effort.bytes, estimated=True)
        for part, effort in efforts(experiment, inputs, shape)
    }
    return {**estimated, **recorded}


def costs_of_models(
    costs: Mapping[tuple[ModelConfig, str], UnitCost],
    parts: Mapping[ModelConfig, Iterable[str]],
    trials: Iterable[Experiment],
) -> dict[tuple[ModelConfig, str], UnitCost]:
    """Return (model, part of a run) → the cost of one unit, as `with_estimates` does for each model of `parts`.

    costs: the recorded ones. trials: the first experiment with a model stands for all with it.
    """
    completed = dict(costs)
    first = {experiment.model: experiment for experiment in reversed(list(trials))}
    for model, needed in parts.items():
        recorded = {part: cost for (known, part), cost in costs.items() if known == model}
        with suppress(SpilloverError), first[model].registered():  # the plan says which data cannot be read
            every = with_estimates(recorded, needed, first[model], Inputs(first[model]))
            completed |= {(model, part): cost for part, cost in every.items()}
    return completed


def efforts(experiment: Experiment, inputs: Inputs, shape: ModelShape) -> Iterator[tuple[str, Effort]]:
    """Yield each part of a run with the mean effort of one unit of its work. Parts without work are left out."""
    items, analyze = inputs.items, experiment.analyze
    if experiment.tunes and inputs.questions:
        yield "tune", _example(experiment, inputs, shape)
    scored = _mean(with_choices(items), lambda task, rows: _scored(_prompts(experiment, task, rows)))
    if scored:
        yield "evaluate", scored
    if written := _mean(answered_in_words(items), lambda task, rows: _written(experiment, task, rows)):
        yield "answers", written
    if texts := _mean(subsets(items, analyze.texts), lambda task, rows: _likelihood(rows)):
        yield "texts", texts
    labeled = subsets({key: rows for key, rows in items.items() if has_labels(open_task(key[0]))}, analyze.limit)
    patches = _Patches(analyze.patch, len({language for _, language in labeled}), shape)
    traced = _mean(labeled, lambda task, rows: _traced(experiment, task, rows, shape, patches))
    if traced:
        yield "analyze", traced
        yield "deactivate", (scored or Effort()) + (_mean(labeled, lambda task, rows: _likelihood(rows)) or Effort())


def _mean(items: Items, effort: Callable[[str, Sequence[Item]], Effort]) -> Effort | None:
    """Return the mean effort per item over all cells; None if there are no items."""
    total, count = Effort(), 0
    for (task, _), rows in items.items():
        if rows:
            total += effort(task, rows[:SAMPLE]).times(len(rows))
            total += Effort(bytes=PARQUET_BYTES)
            count += len(rows)
    return total.times(1 / count) if count else None


def _prompts(experiment: Experiment, task: str, rows: Sequence[Item]) -> list[Prompt]:
    opened = open_task(task)
    return [opened.prompt(row, experiment.evaluate.labels) for row in rows]


def _tokens(*texts: str) -> float:
    return sum(len(text.encode()) for text in texts) / BYTES_PER_TOKEN


def _scored(prompts: Sequence[Prompt]) -> Effort:
    """Return the mean effort of one item of a cell: exemplars are read once, each choice after the item."""
    shared = _tokens(prompts[0].header)
    each = Effort()
    for prompt in prompts:
        steps = sum(max(1.0, _tokens(choice)) - 1 for choice in prompt.choices)
        each += Effort(read=_tokens(prompt.body) + steps, unembed=1 + steps, bytes=ROW_BYTES)
    return (each + Effort(read=shared)).times(1 / len(prompts))


def _written(experiment: Experiment, task: str, rows: Sequence[Item]) -> Effort:
    """Return the mean effort of an item answered in words; half of the longest answer is written."""
    prompts, length = _prompts(experiment, task, rows), open_written_task(task).limit(rows[0].language) / 2
    answer = Effort(write=length, bytes=length * BYTES_PER_TOKEN)
    return _scored(prompts) + answer


def _likelihood(rows: Sequence[Item]) -> Effort:
    """Return the mean effort of predicting each token of an item's own text."""
    tokens = sum(_tokens(*row.fields) for row in rows) / len(rows)
    return Effort(read=tokens, unembed=tokens, bytes=ROW_BYTES)


@dataclass(frozen=True, slots=True)
class _Patches:
    """What is patched into the first items of a cell."""

    items: int
    """Items of a cell."""
    languages: int
    """Languages of a task. One of them takes the states of all others, and these take its states."""
    shape: ModelShape
    """The model's sizes."""

    def effort(self, prompt: Prompt) -> Effort:
        """Return the mean effort per cell: its exemplars, and per item its body and the tokens that get a state."""
        sources = 2 * (self.languages - 1) / max(1, self.languages)
        states = 1.5 * sources * (self.shape.layers + 1)  # most answers differ in their first token
        item = Effort(read=_tokens(prompt.body) + states, unembed=states)
        return Effort(read=_tokens(prompt.header) * (self.items > 0)) + item.times(self.items)


def _traced(experiment: Experiment, task: str, rows: Sequence[Item], shape: ModelShape, patches: _Patches) -> Effort:
    """Return the mean effort of a traced item: the trace, what lenses read from it, and the patches of its cell."""
    prompts = [lens_prompt(open_labeled_task(task), row) for row in rows]
    scored, layers = _scored(prompts), shape.layers + 1
    states = 2 * (layers + 1) * shape.width * FLOAT
    neurons = 2 * shape.layers * shape.inner * FLOAT / len(rows)
    lenses = Effort(unembed=len(experiment.analyze.lenses) * layers * 1.5)  # most answers differ in their first token
    trace = Effort(read=scored.read, bytes=states + neurons)
    return trace + lenses + patches.effort(prompts[0]).times(1 / len(rows))


def _example(experiment: Experiment, inputs: Inputs, shape: ModelShape) -> Effort:
    """Return the mean effort of an example in one epoch, with its share of all that is done once.

    The two texts of an example are as long as the questions. The loss needs the whole vocabulary at each target token,
    forward and back. Some held-out pairs are translated before the tuning, when most texts do not end by themselves and
    become twice as long as the longest target, and after it.
    """
    chosen, questions = experiment.tune, inputs.questions
    length = sum(_tokens(*question.fields) for question in questions) / len(questions)
    count = len(questions) * len(experiment.translate.to)
    full = chosen.method == "full"
    learned = Effort(learn=(3 if full else 2) * length, unembed=2 * length)
    held_out = min(chosen.translations, chosen.validation_share * count)
    longest = max(_tokens(*question.fields) for question in questions)
    written = Effort(write=2 * longest + length).times(max(held_out, WRITTEN_AT_ONCE) if held_out >= 1 else 0)
    translated = written + Effort(read=4 * length, unembed=2 * length).times(held_out)
    stored = Effort(bytes=_adapter_weights(experiment, shape) * FLOAT * 4)  # beside a checkpoint with two moments
    phases = expected_examples(experiment, len(questions))
    return learned + (translated + stored).times(1 / sum(examples * epochs for examples, epochs in phases))


def _adapter_weights(experiment: Experiment, shape: ModelShape) -> float:
    """Return the number of weights that are tuned. A map of an unknown name counts as one from state to state."""
    chosen = experiment.tune
    if chosen.method == "full":
        return shape.layers * shape.block + shape.vocabulary * shape.width
    names = tuple(shape.maps) if chosen.targets == "all-linear" else chosen.targets
    sizes = (shape.maps.get(name, (shape.width, shape.width)) for name in names)
    rows = shape.vocabulary * shape.width if chosen.embeddings == "seen" else 0
    return shape.layers * chosen.rank * sum(size + out for size, out in sizes) + rows
