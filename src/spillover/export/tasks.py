"""Our tasks for `lm_eval --include_path DIR` of lm-evaluation-harness: YAML and data, one task per cell.

Prompts are written out in full, so the harness renders nothing, and its scores are sums of the same log-probabilities.
"""

import json
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.stages.inputs import Inputs
from spillover.store import write_folder
from spillover.tasks import ChoiceTask, open_task

TASK = """\
# Written by `spillover export tasks`. Prompts and choices stand in the data as they are read.
task: {name}
tag: [spillover, spillover_{task}]
custom_dataset: !function items.load
dataset_kwargs: {{file: {name}.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: choices
doc_to_target: gold
target_delimiter: ""
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
"""

LOADER = '''\
"""Read the items of a task from the file beside this one, so that the folder may be moved."""

import json
from pathlib import Path

from datasets import Dataset


def load(file, **unused):
    """Return the one split of a task. The harness adds its own metadata to the arguments."""
    lines = Path(__file__).with_name(file).read_text(encoding="utf-8").split("\\n")
    return {"test": Dataset.from_list([json.loads(line) for line in lines if line])}
'''


def export_tasks(experiment: Experiment, folder: Path) -> list[str]:
    """Write one task per task and language to a new folder; return their names.

    Raises:
        SpilloverError: the folder exists, or the harness cannot score or format prompts as the experiment does.
    """
    for key, value, expected in (
        ("evaluate.scoring", experiment.evaluate.scoring, "exact"),
        ("model.template", experiment.model.template, "none"),
    ):
        if value != expected:
            raise SpilloverError(
                f"{key}: found {value!r}, expected {expected!r}: the harness's tasks are scored so alone"
            )
    contents, names = {"items.py": LOADER}, []
    for (spelling, language), rows in Inputs(experiment).items.items():
        task = open_task(spelling)
        if not isinstance(task, ChoiceTask):
            raise SpilloverError(f"evaluate.tasks: found {spelling!r}, answered in words, expected tasks with choices")
        name = f"spillover_{task.name}_{language}"
        lines = []
        for item in rows:
            prompt = task.prompt(item, experiment.evaluate.labels)
            line = {"id": item.id, "prompt": prompt.header + prompt.body, "choices": prompt.choices, "gold": item.gold}
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        contents |= {f"{name}.yaml": TASK.format(name=name, task=task.name), f"{name}.jsonl": "".join(lines)}
        names.append(name)
    write_folder(folder, contents)
    return names
