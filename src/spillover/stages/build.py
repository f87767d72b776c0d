"""What a recipe works on, fetched only where its parameters name it, and what of it the evaluation asks too.

Sits below the pipeline, which says how questions and pairs are made and where they are kept.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

from spillover.errors import SpilloverError, did_you_mean
from spillover.experiment import Experiment, QuestionsConfig
from spillover.mixture.frames import FRAMES
from spillover.mixture.leakage import Overlap, find_overlaps, sentence
from spillover.mixture.recipes import TokenCounter, take_first
from spillover.plugins import RECIPES, resolve
from spillover.records import Example, LabeledQuestion, Pair, Question
from spillover.sources import annotated_questions, open_source
from spillover.stages.evaluation import items_origin, listed_tasks
from spillover.stages.items import evaluation_items
from spillover.tasks import open_task

ASKED = "en"
"""The language of the user's questions."""


@dataclass(frozen=True)
class QuestionSource:
    """Questions of one source, with what the pipeline makes of them when it is asked to."""

    asked: QuestionsConfig
    """Where they come from."""
    questions: Callable[[], list[Question]]
    """Returns them as the user asked them."""
    pairs: Callable[[], list[Pair]]
    """Returns them paired with the pivot, in every language to tune on."""


@dataclass(frozen=True)
class TrainingSet:
    """What a recipe made, and what of it should not be there."""

    examples: list[Example]
    """The training examples."""
    overlaps: list[Overlap]
    """Their questions that the evaluation asks too."""
    questions: int
    """Number of different questions in the examples."""
    paired: bool
    """Whether the recipe reads translations of them."""

    @property
    def overlap(self) -> str:
        """How many overlap and which, in a sentence; empty where none does."""
        return sentence(self.overlaps, self.questions) if self.overlaps else ""


def build_training_set(experiment: Experiment, own: QuestionSource, other: QuestionSource) -> TrainingSet:
    """Make the examples of the experiment's recipe; `other` is the origin of an unrelated control's questions."""
    recipe = resolve(RECIPES, experiment.mixture.recipe, "mixture.recipe")
    given = _recipe_arguments(recipe, experiment, own, other)
    examples = recipe(**given)
    origin = other if "unrelated" in given else own
    ids = {example.id for example in examples}
    trained = [question for question in _trained(origin, given) if question.id in ids]
    return TrainingSet(examples, _overlaps(experiment, origin.asked, trained), len(ids), "pairs" in given)


def _recipe_arguments(
    recipe: Callable[..., object], experiment: Experiment, own: QuestionSource, other: QuestionSource
) -> dict[str, Any]:
    """Fetch what the recipe's parameters name, and nothing else: a label is read only where one is asked for."""
    asked, mixture = experiment.questions, experiment.mixture
    fetch: dict[str, Callable[[], object]] = {
        "pairs": lambda: take_first(own.pairs(), mixture.sizes),
        "task": lambda: open_task(asked.task, "questions.task"),
        "frame": lambda: FRAMES[mixture.frame],
        "seed": lambda: experiment.seed,
        "annotated": lambda: _annotated(experiment),
        "labels": lambda: experiment.evaluate.labels,
        "unrelated": lambda: _unrelated(own, other),
        "unrelated_task": lambda: open_task(mixture.unrelated.task, "mixture.unrelated.task"),
        "count": lambda: _count(experiment.model.name),
    }
    names = signature(recipe).parameters
    for name in names:
        if name not in fetch:
            raise SpilloverError(f"mixture.recipe: {mixture.recipe!r} asks for {name!r}; {did_you_mean(name, fetch)}")
    return {name: fetch[name]() for name in names}


def _annotated(experiment: Experiment) -> list[LabeledQuestion]:
    asked = experiment.questions
    source = open_source(asked.source, asked.columns, "questions.source", asked.markers, asked.classes)
    task = open_task(asked.task, "questions.task")
    rows = annotated_questions(source, task, ASKED, f"questions.source {asked.source!r}")
    return rows[: experiment.mixture.sizes.get(ASKED, asked.limit or None)]


def _unrelated(own: QuestionSource, other: QuestionSource) -> list[Pair]:
    if (other.asked.source, other.asked.task) == (own.asked.source, own.asked.task):
        raise SpilloverError(
            f"mixture.unrelated: found the questions' own source {own.asked.source!r} and task {own.asked.task!r}, "
            "expected another source or task"
        )
    return other.pairs()


def _count(name: str) -> TokenCounter:
    from spillover.models.tokenizer import token_counter

    return token_counter(name)


def _trained(origin: QuestionSource, given: dict[str, Any]) -> Iterator[Question]:
    """Yield every question of the origin that a recipe was given, in every language whose text is at hand."""
    pairs: Sequence[Pair] = given["unrelated"] if "unrelated" in given else given.get("pairs", ())
    for pair in pairs:
        yield Question(pair.task, pair.id, pair.source_language, pair.source)
        yield Question(pair.task, pair.id, pair.target_language, pair.target)
    for row in given.get("annotated", ()):
        yield Question(row.task, row.id, row.language, row.fields)
    yield from origin.questions()  # a pair of two other languages does not hold the original


def _overlaps(experiment: Experiment, asked: QuestionsConfig, trained: Sequence[Question]) -> list[Overlap]:
    items = [item for rows in evaluation_items(experiment).values() for item in rows]
    tasks = list(listed_tasks(experiment).values())
    sharing = {task.name for task in tasks if items_origin(experiment, task).spec == asked.source}
    return find_overlaps(trained, items, tasks, sharing)
