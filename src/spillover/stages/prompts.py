"""The prompts that the reference reads, exactly, cell by cell. They need neither pairs nor tuning."""

from collections.abc import Iterator

from spillover.experiment import Experiment
from spillover.models.tokenization import CUT
from spillover.stages.arms import cells_of, reads, reference_arm
from spillover.stages.inputs import Inputs
from spillover.stages.items import balanced_subset
from spillover.tasks import open_task


def render_prompts(experiment: Experiment, limit: int, scores: bool) -> Iterator[dict[str, object]]:
    """Yield a line per item: task, language, header, body, choices; with `scores`, the score of each choice too.

    In a chat a line also has the prompt as the template renders it.

    limit: items per cell, balanced over labels; 0: all.
    """
    arm, chosen, model = reference_arm(experiment), experiment.evaluate, reads(experiment)
    for cell, rows in cells_of(arm, Inputs(experiment).items):
        prompts = arm.prompts(open_task(cell.task), balanced_subset(rows, limit))
        scored: list[tuple[float, ...] | None] = [None] * len(prompts)
        if scores:
            from spillover.models.scoring.score import score

            scored = list(score(arm.reader, prompts, chosen.scoring, chosen.overflow).choices)
        for prompt, values in zip(prompts, scored, strict=True):
            line: dict[str, object] = {"task": cell.task, "language": cell.language}
            line |= {"header": prompt.header, "body": prompt.body}
            if model.chat:
                line["rendered"] = model.apply_chat_template(prompt.header + prompt.body).replace(CUT, "")
            yield line | {"choices": prompt.choices} | ({} if values is None else {"scores": values})
