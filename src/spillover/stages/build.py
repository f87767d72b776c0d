"""The work of `build`: the training set, and the questions in it that the evaluation asks too.

A recipe is given only the data that its parameters name.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

from spillover.errors import SpilloverError, did_you_mean
from spillover.experiment import QuestionsConfig
from spillover.languages import ENGLISH
from spillover.mixture.frames import FRAMES
from spillover.mixture.leakage import Overlap, find_overlaps, sentence
from spillover.mixture.recipes import TokenCounter, take_first
from spillover.plugins import RECIPES, resolve
from spillover.records import Example, LabeledQuestion, Pair, Question
from spillover.stages.evaluation import items_origin
from spillover.stages.inputs import Inputs
from spillover.tasks import open_task


@dataclass(frozen=True)
class QuestionSource:
    """One source of questions, and two functions that read and pair them when a recipe needs them."""

    config: QuestionsConfig
    """The source."""
    questions: Callable[[], list[Question]]
    """Returns the questions in English."""
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
    """Whether the recipe reads translations of them."""

    @property
    def overlap(self) -> str:
        """A sentence with the number of overlaps and the first of them; empty if there are none."""
        return sentence(self.overlaps, self.questions) if self.overlaps else ""


def build_training_set(inputs: Inputs, questions: QuestionSource, unrelated: QuestionSource) -> TrainingSet:
    """Make the examples of the experiment's recipe; `unrelated` has the questions of an unrelated control."""
    recipe = resolve(RECIPES, inputs.experiment.mixture.recipe, "mixture.recipe")
    arguments = _recipe_arguments(recipe, inputs, questions, unrelated)
    examples = recipe(**arguments)
    source = unrelated if "unrelated" in arguments else questions
    ids = {example.id for example in examples}
    trained = [question for question in _trained(source, arguments) if question.id in ids]
    return TrainingSet(examples, _overlaps(inputs, source.config, trained), len(ids), "pairs" in arguments)


def _recipe_arguments(
    recipe: Callable[..., object], inputs: Inputs, questions: QuestionSource, unrelated: QuestionSource
) -> dict[str, Any]:
    """Fetch the data that the recipe's parameters name, and nothing else: no other recipe can see a label."""
    experiment, mixture = inputs.experiment, inputs.experiment.mixture
    fetch: dict[str, Callable[[], object]] = {
        "pairs": lambda: take_first(questions.pairs(), mixture.sizes),
        "task": lambda: inputs.task,
        "frame": lambda: FRAMES[mixture.frame],
        "seed": lambda: experiment.seed,
        "labeled": lambda: _labeled(inputs),
        "labels": lambda: experiment.evaluate.labels,
        "unrelated": lambda: _unrelated(questions, unrelated),
        "unrelated_task": lambda: open_task(mixture.unrelated.task, "mixture.unrelated.task"),
        "count": lambda: _count(experiment.model.name),
    }
    names = signature(recipe).parameters
    for name in names:
        if name not in fetch:
            raise SpilloverError(f"mixture.recipe: {mixture.recipe!r} asks for {name!r}; {did_you_mean(name, fetch)}")
    return {name: fetch[name]() for name in names}


def _labeled(inputs: Inputs) -> list[LabeledQuestion]:
    limit = inputs.experiment.questions.limit or None
    return inputs.labeled_questions[: inputs.experiment.mixture.sizes.get(ENGLISH, limit)]


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
    for row in arguments.get("labeled", ()):
        yield Question(row.task, row.id, row.language, row.fields)
    yield from source.questions()  # pairs of two other languages do not hold the English text


def _overlaps(inputs: Inputs, questions: QuestionsConfig, trained: Sequence[Question]) -> list[Overlap]:
    items = [item for rows in inputs.items.values() for item in rows]
    tasks = list(inputs.tasks.values())
    sharing = {task.name for task in tasks if items_origin(inputs.experiment, task).spec == questions.source}
    return find_overlaps(trained, items, tasks, sharing)
