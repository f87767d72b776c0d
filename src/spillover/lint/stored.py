"""The examination of a run, kept in its folder: data that did not change are not examined again."""

import json
from collections.abc import Callable
from dataclasses import asdict

from spillover.experiment import Experiment
from spillover.lint.examine import examine, read_questions
from spillover.lint.reading import RawItems, read
from spillover.lint.tokens import Reads
from spillover.models.locate import fingerprint, locate
from spillover.records import Defect
from spillover.sources.remarks import gathering
from spillover.stages.inputs import Inputs
from spillover.store import Store
from spillover.tasks import Task
from spillover.utils.digests import package_digest

FOLDER, FILE = "lint", "defects.json"
"""Where a run folder keeps its defects."""


def stored_defects(store: Store, inputs: Inputs, reads: Callable[[Experiment], Reads]) -> list[Defect]:
    """Return the defects of an experiment's data, errors first, from the run folder if they are there.

    They are kept unless there is an error: a refused run leaves nothing behind.

    Args:
        store: the run folder.
        inputs: the questions and items, which are read in any case.
        reads: opens what reads prompts, such as `open_reads`; called if the data are examined.

    Raises:
        SpilloverError: as `examine`, for an unknown name or a model that is not there.
    """
    with gathering() as remarks:  # `examine` meets them no more: each file is read once
        texts = texts_of(inputs)  # before the model, which may have to be fetched first
    content = [package_digest(), inputs.experiment, fingerprint(locate(inputs.experiment.model.name)), texts]
    key = [*content, sorted(remarks.values())]
    if folder := store.replaced(FOLDER, key):
        return [Defect(**row) for row in json.loads((folder / FILE).read_text(encoding="utf-8"))]
    defects = examine(inputs, reads(inputs.experiment), remarks)
    if store.is_main_process and not any(defect.severity == "error" for defect in defects):
        store.replace(FOLDER, key, lambda: {FILE: json.dumps([asdict(defect) for defect in defects], indent=1)})
    return defects


def texts_of(inputs: Inputs) -> object:
    """Return all texts that are examined, as JSON-like values: each task with its items, and the questions."""
    questions, faults = read_questions(inputs) if inputs.experiment.tunes else ({}, [])
    return [[_of_task(inputs, task) for task in inputs.tasks.values()], questions, faults]


def _of_task(inputs: Inputs, task: Task) -> object:
    readings = [read(inputs, task, code) for code in inputs.item_languages(task)]
    return [task.model_dump(mode="json"), inputs.why_unpaired(task), [_of_reading(reading) for reading in readings]]


def _of_reading(reading: RawItems) -> object:
    published = sorted(reading.published_exemplar_ids)
    return [reading.language, reading.entries, reading.faults, published, reading.unreachable]
