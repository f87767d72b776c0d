"""The prompts that the base model reads, exactly, cell by cell. They need neither pairs nor tuning."""

from collections.abc import Iterator

from spillover.experiment import Experiment
from spillover.models.tokenization import CUT
from spillover.stages.arms import Arm, cells_of, reads
from spillover.stages.inputs import Inputs
from spillover.stages.items import balanced_subset
from spillover.tasks import open_task


def render_prompts(experiment: Experiment, limit: int, scores: bool) -> Iterator[dict[str, object]]:
    """Yield a line per item: task, language, header, body, choices; with `scores`, the score of each choice too.

    In a chat a line also has the prompt as the template renders it.

    limit: items per cell, balanced over labels; 0: all.
    """
    arm, chosen, model = Arm("base", experiment, None), experiment.evaluate, reads(experiment)
    for cell, rows in cells_of(arm, Inputs(experiment).items):
        prompts = [open_task(cell.task).prompt(item, chosen.labels) for item in balanced_subset(rows, limit)]
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
