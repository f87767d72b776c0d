"""The work behind language neurons: counting them in answers, and what switching them off changes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.interpretability.deactivation import DRAWS, Readings, deactivation, random_neurons
from spillover.analysis.interpretability.neurons import Activity, NeuronSets, neuron_sets
from spillover.errors import SpilloverError, did_you_mean
from spillover.experiment import Experiment
from spillover.records import Cell, Deactivation, Item, Prompt
from spillover.stages.arms import Arm, as_text, of_prompts
from spillover.stages.items import Items
from spillover.store import MissingArtifactError, Store, read_arrays, write_arrays
from spillover.tasks import ChoiceTask
from spillover.utils.progress import Bar

PLAIN = "none"
"""Name of the reading with all neurons on."""

Neurons = NDArray[np.bool_]
"""(blocks, neurons): whether a neuron is switched off."""


@dataclass(frozen=True, slots=True)
class MeasuredCell:
    """A cell that is read with neurons on and off."""

    cell: Cell
    """The cell. Its task is named by the task's file."""
    task: ChoiceTask
    """The task."""
    rows: Sequence[Item]
    """The items."""

    @property
    def texts(self) -> list[str]:
        """The items' own texts."""
        return ["\n".join(item.fields) for item in self.rows]


def languages_off(experiment: Experiment, items: Items) -> tuple[str, ...]:
    """Return the languages whose neurons are switched off; refuse one that is not traced."""
    chosen, traced = experiment.analyze.deactivate, list(dict.fromkeys(language for _, language in items))
    if chosen == "all":
        return tuple(traced)
    for code in chosen if items else ():
        if code not in traced:
            raise SpilloverError(
                f"analyze.deactivate: found {code!r}, expected a language of the evaluation; "
                f"{did_you_mean(code, traced)}"
            )
    return chosen


def readings_per_item(experiment: Experiment, languages: Collection[str]) -> int:
    """Return how often one arm reads an item with neurons on or off, in a task that is traced in these languages.

    With one language alone, no neuron belongs to a language, so none is switched off.
    """
    chosen = experiment.analyze.deactivate
    off = len(languages) if chosen == "all" else sum(code in languages for code in chosen)
    return 1 + off * (1 + DRAWS) if off and len(languages) > 1 else 0


def count_deactivations(experiment: Experiment, items: Items) -> int:
    """Return the number of items that one arm reads with neurons on and off, each as often as it is read."""
    languages: dict[str, list[str]] = {}
    for task, language in items:
        languages.setdefault(task, []).append(language)
    return sum(len(rows) * readings_per_item(experiment, languages[task]) for (task, _), rows in items.items())


def answer_activity(
    store: Store, arm: Arm, cell: Cell, task: ChoiceTask, prompts: Sequence[Prompt], gold: Sequence[int], bar: Bar
) -> Activity:
    """Return how active neurons are in a cell's right answers in its language, counted first if they were not.

    prompts: as traced, with the English answers, then the native ones, as choices.
    """
    cell, name = replace(cell, task=task.name), f"{cell.language}.safetensors"
    with_answer = [
        replace(prompt, choices=(prompt.choices[len(prompt.choices) // 2 + place],))
        for prompt, place in zip(prompts, gold, strict=True)
    ]

    def write(folder: Path) -> None:
        from spillover.models.tracing.activity import count_in_answers

        active, tokens = count_in_answers(arm.reader, with_answer, bar.advance)
        write_arrays(folder / name, active=active, counted=np.array([tokens]))

    inputs = [arm.key, cell.language, with_answer, *as_text(arm.experiment, of_prompts(with_answer))]
    with bar.counting(len(with_answer)):
        artifact = store.get_or_make("answer-activity", inputs, f"answer-activity/{cell.arm}/{cell.task}/{name}", write)
    arrays = read_arrays(artifact.path / name)
    return Activity(cell, arrays["active"], int(arrays["counted"][0]), "answers")


def deactivate(
    store: Store,
    arm: Arm,
    cells: Sequence[MeasuredCell],
    activity: Sequence[Activity],
    off: Sequence[str],
    bar: Bar,
) -> Iterator[Deactivation]:
    """Switch off each language's neurons, then random ones, and read every cell of the task each time.

    activity: of the first arm, whose thresholds hold for all, and of this one.
    """
    for of_task, chosen in _sets(arm, cells, activity, off):
        plain = {m.cell.language: _read(store, arm, m, None, PLAIN, bar) for m in of_task}
        for code in (code for code in off if code in chosen.languages):
            settings = _settings(chosen, code)
            for measured in of_task:
                without, *random = [_read(store, arm, measured, neurons, title, bar) for title, neurons in settings]
                sizes = np.array([len(text.encode()) for text in measured.texts])
                compared = (plain[measured.cell.language], without, random)
                number = int(chosen.members[chosen.languages.index(code)].sum())
                yield deactivation(measured.cell, chosen.score, code, number, compared, sizes)


def count_stored(
    store: Store, arm: Arm, cells: Sequence[MeasuredCell], activity: Sequence[Activity], off: Sequence[str], bar: Bar
) -> int:
    """Return how many of the items that `deactivate` reads are read already. The model reads nothing here."""
    count = 0
    for of_task, chosen in _sets(arm, cells, activity, off):
        settings: list[tuple[str, Neurons | None]] = [(PLAIN, None)]
        settings += [setting for code in off if code in chosen.languages for setting in _settings(chosen, code)]
        for measured, (title, neurons) in product(of_task, settings):
            try:
                _read(store.read_only(), arm, measured, neurons, title, bar)
                count += len(measured.rows)
            except MissingArtifactError:
                continue
    return count


def _sets(
    arm: Arm, cells: Sequence[MeasuredCell], activity: Sequence[Activity], off: Sequence[str]
) -> Iterator[tuple[list[MeasuredCell], NeuronSets]]:
    """Yield the cells of each task with a language of `off`, and its language neurons in an arm's prompts."""
    for chosen in neuron_sets(activity):
        wanted = (arm.name, "prompts", arm.experiment.analyze.deactivate_by)
        if (chosen.arm, chosen.part, chosen.score) == wanted and not set(off).isdisjoint(chosen.languages):
            yield [measured for measured in cells if measured.cell.task == chosen.task], chosen


def _settings(chosen: NeuronSets, off: str) -> list[tuple[str, Neurons]]:
    """Return which neurons are off for one language, and the name of each setting: its own, then random ones."""
    members = chosen.members[chosen.languages.index(off)]
    random = [(f"{off}-random-{draw + 1}", random_neurons(members, draw)) for draw in range(DRAWS)]
    return [(off, members), *random]


def _read(store: Store, arm: Arm, measured: MeasuredCell, neurons: Neurons | None, title: str, bar: Bar) -> Readings:
    """Return what an arm makes of a cell with some neurons off, read first if it was not; None: with all on."""
    cell, texts = measured.cell, measured.texts
    name, gold = f"{cell.language}.safetensors", np.array([item.gold for item in measured.rows])
    prompts = arm.prompts(measured.task, measured.rows)

    def write(folder: Path) -> None:
        from contextlib import nullcontext

        from spillover.models.scoring.likelihood import negative_log_likelihood
        from spillover.models.scoring.score import score
        from spillover.models.tracing.deactivate import neurons_off

        reader = arm.reader
        with nullcontext() if neurons is None else neurons_off(reader.model, neurons):
            scores = score(reader, prompts, advance=bar.advance).choices
            nats = negative_log_likelihood(reader, texts)
        right = [float(max(values) == values[place]) for values, place in zip(scores, gold.tolist(), strict=True)]
        write_arrays(folder / name, right=np.array(right), bits=np.array(nats) / np.log(2))

    places = [] if neurons is None else [neurons.shape[1], np.flatnonzero(neurons).tolist()]
    inputs = [arm.key, cell.language, prompts, gold.tolist(), texts, places]
    inputs += as_text(arm.experiment, [*of_prompts(prompts), *texts])
    link = f"deactivations/{cell.arm}/{cell.task}/{title}/{name}"
    with bar.counting(len(measured.rows)):
        artifact = store.get_or_make("deactivation", inputs, link, write)
    arrays = read_arrays(artifact.path / name)
    return Readings(arrays["right"], arrays["bits"])
