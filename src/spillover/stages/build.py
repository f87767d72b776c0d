"""The work of `build`: the training set, and the questions in it that the evaluation asks too.

A recipe is given only the data that its parameters name.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

from spillover.errors import SpilloverError, did_you_mean
from spillover.experiment import Experiment, PartConfig, QuestionsConfig
from spillover.experiment.treatments import treatment
from spillover.mixture.frames import FRAMES
from spillover.mixture.leakage import Overlap, find_overlaps, sentence
from spillover.mixture.recipes import CONTROLS, TokenCounter, take_first
from spillover.plugins import RECIPES, resolve
from spillover.records import Example, LabeledQuestion, Pair, PartPlan, PhasePlan, Question
from spillover.sources.replay import read_replay
from spillover.stages.evaluation import items_origin
from spillover.stages.inputs import Inputs
from spillover.tasks import open_task


@dataclass(frozen=True)
class QuestionSource:
    """One source of questions, and two functions that read and pair them when a recipe needs them."""

    config: QuestionsConfig
    """The source."""
    questions: Callable[[], list[Question]]
    """Returns the questions in the language they are asked in."""
    pairs: Callable[[], list[Pair]]
    """Returns the questions paired with the pivot, in every language to tune on."""


@dataclass(frozen=True)
class TrainingSet:
    """A recipe's examples, and those of their questions that leak."""

    examples: list[Example]
    """The training examples."""
    overlaps: list[Overlap]
    """The questions that the evaluation asks too."""
    questions: int
    """Number of different questions in the examples."""
    paired: bool
    """Whether a recipe reads translations of them."""
    phases: tuple[PhasePlan, ...] = ()
    """The phases that the experiment lists; none where a recipe stands for them."""
    translates: tuple[tuple[bool, ...], ...] = ()
    """Phase → part → whether its targets are translations of its sources, or stand in their place."""

    @property
    def overlap(self) -> str:
        """A sentence with the number of overlaps and the first of them; empty if there are none."""
        return sentence(self.overlaps, self.questions) if self.overlaps else ""


def build_training_set(inputs: Inputs, questions: QuestionSource, unrelated: QuestionSource) -> TrainingSet:
    """Make the examples of the experiment's mixture; `unrelated` has the questions of an unrelated control."""
    mixture = inputs.experiment.mixture
    examples: list[Example] = []
    phases: list[PhasePlan] = []
    translates: list[tuple[bool, ...]] = []
    overlaps: dict[str, Overlap] = {}
    paired = False
    for number, phase in enumerate(mixture.all_phases):
        parts, written = [], []
        for part in phase.parts:
            recipe = resolve(RECIPES, part.recipe, "mixture.recipe")
            arguments = _recipe_arguments(recipe, part, inputs, questions, unrelated)
            rows = recipe(**arguments)
            if mixture.phases:
                rows = _in_phase(rows, number, part)
            source = unrelated if "unrelated" in arguments else questions
            ids = {example.id for example in rows}
            trained = [question for question in _trained(source, arguments) if question.id in ids]
            overlaps |= {overlap.id: overlap for overlap in _overlaps(inputs, source.config, trained)}
            paired = paired or "pairs" in arguments
            control = "" if part.control == "none" else f" ({part.control})"
            parts.append(PartPlan(part.recipe + control, part.weight, len(rows)))
            written.append("pairs" in arguments and treatment(part.recipe).teaches)
            examples += rows
        translates.append(tuple(written))
        phases.append(PhasePlan(tuple(parts), phase.epochs, phase.learning_rate, phase.layers, phase.depth))
    ids = {example.id for example in examples}
    listed = tuple(phases) if mixture.phases else ()
    return TrainingSet(examples, list(overlaps.values()), len(ids), paired, listed, tuple(translates))


def expected_examples(experiment: Experiment, questions: float) -> list[tuple[float, float]]:
    """Return per phase about how many examples it will have, before any is made, and its epochs.

    A part has an example per question, or one per question and language if its recipe reads pairs.

    questions: number of questions; nan if it is not known.
    """
    sizes = experiment.mixture.sizes
    pairs = sum(min(questions, sizes.get(code, questions)) for code in experiment.translate.to)
    examples = [
        sum(pairs if "pairs" in _parameters(part.recipe) else questions for part in phase.parts)
        for phase in experiment.mixture.all_phases
    ]
    return list(zip(examples, experiment.epochs_of_phases, strict=True))


def _in_phase(rows: Sequence[Example], number: int, part: PartConfig) -> list[Example]:
    """Return a part's examples as those of a phase; refuse none, and a recipe with phases of its own."""
    if not rows:
        raise SpilloverError(f"mixture.phases: {part.recipe!r} in phase {number + 1} has no examples")
    if any(row.stage for row in rows):
        raise SpilloverError(
            f"mixture.phases: {part.recipe!r} has phases of its own, expected a recipe of one phase; list its phases "
            "instead, as docs/recipes.md shows for 'two-stage'"
        )
    return [replace(row, stage=number) for row in rows]


def _parameters(recipe: str) -> frozenset[str]:
    """Return the names of the data that a recipe reads."""
    return frozenset(signature(resolve(RECIPES, recipe, "mixture.recipe")).parameters)


def _recipe_arguments(
    recipe: Callable[..., object],
    part: PartConfig,
    inputs: Inputs,
    questions: QuestionSource,
    unrelated: QuestionSource,
) -> dict[str, Any]:
    """Fetch the data that the recipe's parameters name, and nothing else: no other recipe can see a label."""
    experiment, mixture = inputs.experiment, inputs.experiment.mixture
    fetch: dict[str, Callable[[], object]] = {
        "pairs": lambda: _controlled(take_first(questions.pairs(), mixture.sizes), part, experiment.seed),
        "task": lambda: inputs.task,
        "frame": lambda: FRAMES[mixture.frame],
        "seed": lambda: experiment.seed,
        "labeled": lambda: _labeled(inputs),
        "labels": lambda: experiment.evaluate.labels,
        "unrelated": lambda: _unrelated(questions, unrelated),
        "unrelated_task": lambda: open_task(mixture.unrelated.task, "mixture.unrelated.task"),
        "count": lambda: _count(experiment.model.name),
        "share": lambda: part.share,
        "texts": lambda: read_replay(part.source, experiment.model.template == "chat", "mixture.phases.parts.source"),
    }
    names = signature(recipe).parameters
    for name in names:
        if name not in fetch:
            raise SpilloverError(f"mixture.recipe: {part.recipe!r} asks for {name!r}; {did_you_mean(name, fetch)}")
    if part.control != "none" and "pairs" not in names:
        raise SpilloverError(
            f"mixture.phases: found control = {part.control!r} for {part.recipe!r}, which reads no pairs, expected none"
        )
    return {name: fetch[name]() for name in names}


def _controlled(pairs: list[Pair], part: PartConfig, seed: int) -> list[Pair]:
    return pairs if part.control == "none" else CONTROLS[part.control](pairs, seed)


def _labeled(inputs: Inputs) -> list[LabeledQuestion]:
    config = inputs.experiment.questions
    return inputs.labeled_questions[: inputs.experiment.mixture.sizes.get(config.language, config.limit or None)]


def _unrelated(questions: QuestionSource, unrelated: QuestionSource) -> list[Pair]:
    config = questions.config
    if (unrelated.config.source, unrelated.config.task) == (config.source, config.task):
        raise SpilloverError(
            f"mixture.unrelated: found the questions' own source {config.source!r} and task {config.task!r}, "
            "expected another source or task"
        )
    return unrelated.pairs()


def _count(name: str) -> TokenCounter:
    from spillover.models.token_counts import token_counter

    return token_counter(name)


def _trained(source: QuestionSource, arguments: dict[str, Any]) -> Iterator[Question]:
    """Yield every question that a recipe worked on, in every language whose text was read."""
    pairs: Sequence[Pair] = arguments["unrelated"] if "unrelated" in arguments else arguments.get("pairs", ())
    for pair in pairs:
        yield Question(pair.task, pair.id, pair.source_language, pair.source)
        yield Question(pair.task, pair.id, pair.target_language, pair.target)
    for text in arguments.get("texts", ()):
        yield Question("replay", text.id, text.language, (text.source or text.target,))
    for row in arguments.get("labeled", ()):
        yield Question(row.task, row.id, row.language, row.fields)
    yield from source.questions()  # pairs of two other languages do not hold this text


def _overlaps(inputs: Inputs, questions: QuestionsConfig, trained: Sequence[Question]) -> list[Overlap]:
    items = [item for rows in inputs.items.values() for item in rows]
    tasks = list(inputs.tasks.values())
    sharing = {task.name for task in tasks if items_origin(inputs.experiment, task).spec == questions.source}
    return find_overlaps(trained, items, tasks, sharing)
