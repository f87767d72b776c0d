"""The prompts that the reference reads, exactly, cell by cell. They need neither pairs nor tuning."""

from collections.abc import Iterator, Sequence

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.languages import ENGLISH
from spillover.models.tokenization import CUT
from spillover.records import Item, Prompt
from spillover.stages.answers import answers_to, complete
from spillover.stages.arms import Arm, cells_of, reads, reference_arm
from spillover.stages.inputs import Inputs
from spillover.stages.items import balanced_subset
from spillover.tasks import GenerationTask, open_task


def render_prompts(experiment: Experiment, limit: int, scores: bool) -> Iterator[dict[str, object]]:
    """Yield a line per item: task, language, header, body, choices; with `scores` also the model's results.

    The results are the score of each choice, or the answer that the model writes, its score and the reason. In a
    chat, a line also has the prompt as the template renders it.

    limit: items per cell, balanced over labels; 0: all.

    Raises:
        SpilloverError: the reference translates its items first.
    """
    arm, model = reference_arm(experiment), reads(experiment)
    if arm.ask != "item":
        raise SpilloverError(
            f"prompts: the reference, {arm.name!r}, translates its items first, expected a reference that reads them "
            "as they are"
        )
    for cell, rows in cells_of(arm, Inputs(experiment).items):
        task, items = open_task(cell.task), balanced_subset(rows, limit)
        prompts = arm.prompts(task, items)
        results: list[dict[str, object]] = [{}] * len(prompts)
        if scores:
            results = _graded(arm, task, items, prompts) if isinstance(task, GenerationTask) else _scored(arm, prompts)
        for prompt, result in zip(prompts, results, strict=True):
            line: dict[str, object] = {"task": cell.task, "language": cell.language}
            line |= {"header": prompt.header, "body": prompt.body}
            if model.chat:
                line["rendered"] = model.render(prompt).replace(CUT, "")
            yield line | ({"choices": prompt.choices} if prompt.choices else {}) | result


def _scored(arm: Arm, prompts: Sequence[Prompt]) -> list[dict[str, object]]:
    """Return the scores of each prompt's choices."""
    from spillover.models.scoring.score import score

    chosen = arm.experiment.evaluate
    return [{"scores": values} for values in score(arm.reader, prompts, chosen.scoring, chosen.overflow).choices]


def _graded(
    arm: Arm, task: GenerationTask, items: Sequence[Item], prompts: Sequence[Prompt]
) -> list[dict[str, object]]:
    """Return what the model writes after each prompt of one language, and how the task grades it."""
    completions, _ = complete(arm, task, items, prompts)
    answers = answers_to(items, completions)
    return [
        {"answer": answer.text, "right": answer.golds, "score": outcome.score, "reason": outcome.reason}
        for answer, outcome in zip(answers, task.grade(answers, {ENGLISH, items[0].language}), strict=True)
    ]
