"""The README of a run folder: a few lines that say what each file is for."""

from pathlib import Path

from spillover.experiment import Experiment
from spillover.records import EXPERIMENT_FILE, PROVENANCE_FILE

README = "README.md"
"""Its name in the run folder."""


def readme(folder: Path, experiment: Experiment) -> str:
    """Return the README of a run folder in Markdown: what the experiment is, and what each file is for."""
    tasks = ", ".join(experiment.evaluate.tasks)
    subject = f"{experiment.model.name} tuned on {experiment.mixture_name}" if experiment.tunes else "models compared"
    return f"""# {folder.name}

A run of `spillover`: {subject}, measured on {tasks}. `spillover status {folder}` says what is finished.

- `report/index.html` is the page with the verdict. `spillover open {folder}` opens it in a browser.
- `report/tables/` has every table as CSV, Markdown and LaTeX. `report/tables/items.csv` has every score.
- `{EXPERIMENT_FILE}` has every key. `spillover run {EXPERIMENT_FILE}` repeats the run.
- `questions.parquet`, `pairs/` and `examples.parquet` are what the model was tuned on.
- `adapter/` is what tuning made. `spillover export model {folder} DIR` writes the tuned model.
- `predictions/<arm>/<task>/<language>.parquet` has the log-probability of each choice.
- `traces/`, `lenses/`, `readings/`, `patches/`, `geometry/` and `explorer/` are measurements inside the model.
- `log.jsonl` says what was made and when. `{PROVENANCE_FILE}` has versions and machine.
- Most files are links into `../.stages`. `cp -rL` copies a run with its contents.
"""
