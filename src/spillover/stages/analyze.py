"""Looking inside: what tracing a cell leaves behind, and what lenses, neurons and patches make of it.

Beside the cells, which say what is scored; the pipeline says when. A trace does not depend on what is made of it, so
another lens traces nothing anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spillover.analysis.interpretability.latent import CellReading, latents, trajectory
from spillover.analysis.interpretability.lens import LensInput, LensOutput, apply_lens
from spillover.analysis.interpretability.neurons import Activity, neurons
from spillover.experiment import Experiment
from spillover.languages import ENGLISH
from spillover.plugins import LENSES, resolve
from spillover.records import AffineLens, Cell, Internals, Item, Patch, Prompt
from spillover.stages.arms import Arm, as_text, cells_of, of_prompts
from spillover.stages.geometry import check_metrics
from spillover.stages.items import Items, subsets
from spillover.store import Arrays, Artifact, Store, read_arrays, write_arrays
from spillover.tasks import Task, open_task
from spillover.utils.progress import Bar


@dataclass(frozen=True, slots=True)
class CellTrace:
    """A cell that was traced."""

    task: Task
    """Its task."""
    cell: Cell
    """The cell, under its task's own name."""
    rows: Sequence[Item]
    """The items traced, in every language of a task the same ids in the same order."""
    stage: Artifact
    """Where the trace is kept."""

    @property
    def arrays(self) -> Arrays:
        """What the trace holds: see `trace`."""
        return read_arrays(self.stage.path / f"{self.cell.language}.safetensors")


@dataclass(frozen=True, slots=True)
class FittedLens:
    """A lens fitted to one arm."""

    name: str
    """As the experiment names it."""
    stage: Artifact
    """Where it is kept."""

    @property
    def affine(self) -> AffineLens:
        """The map."""
        return AffineLens(**read_arrays(self.stage.path / f"{self.name}.safetensors"))


@dataclass(frozen=True, slots=True)
class ArmInternals:
    """What was seen in one arm."""

    seen: list[CellReading]
    """What each lens reads in each cell."""
    activity: list[Activity]
    """How active the neurons are in each cell."""
    patches: list[Patch]
    """What one language's states do in another."""


def items_to_trace(experiment: Experiment, items: Items) -> Items:
    """Return the items to trace; refuse lenses and metrics that cannot be taken of them."""
    chosen = experiment.analyze
    for name in chosen.lenses:
        resolve(LENSES, name, "analyze.lenses")
    traced = subsets({key: rows for key, rows in items.items() if open_task(key[0]).labels}, chosen.limit)
    check_metrics(chosen.metrics, traced)
    return traced


def lens_training_prompts(items: Items, traced: Items) -> list[Prompt]:
    """Return what lenses may learn from: the items measured that are not among those to trace."""
    return [
        prompt for key, rows in traced.items() for prompt in prompts_not_traced(open_task(key[0]), items[key], rows)
    ]


def count_passes(experiment: Experiment, items: Items) -> int:
    """Return how many items are traced, and how many patched, in one arm."""
    return sum(len(rows) + min(experiment.analyze.patch, len(rows)) for rows in items.values())


def analyze_arm(store: Store, arm: Arm, items: Items, others: Sequence[Prompt], progress: Bar) -> ArmInternals:
    """Trace an arm's items, read the traces through each lens, and patch; `others` are what lenses may learn from."""
    chosen = arm.experiment.analyze
    lenses = [fit_lens(store, arm, name, others) for name in chosen.lenses]
    cells = [trace(store, arm, open_task(cell.task), cell, rows, progress) for cell, rows in cells_of(arm, items)]
    return ArmInternals(
        seen=[read_through_lens(store, arm, each, lens) for each in cells for lens in lenses],
        activity=[
            Activity(each.cell, found["active"], int(found["counted"][0])) for each in cells for found in [each.arrays]
        ],
        patches=patch_pairs(store, arm, cells, progress) if chosen.patch else [],
    )


def compare_arms(looks: Sequence[ArmInternals]) -> Internals:
    """Compare what was seen in the arms."""
    every = [found for each in looks for found in each.seen]
    return Internals(
        trajectories=tuple(map(trajectory, every)),
        latents=tuple(latents(every)),
        neurons=tuple(neurons([found for each in looks for found in each.activity])),
        patches=tuple(found for each in looks for found in each.patches),
    )


def prompts_not_traced(task: Task, rows: Sequence[Item], analyzed: Sequence[Item]) -> list[Prompt]:
    """Return a cell's items that are not analyzed, as they would be traced."""
    taken = {item.id for item in analyzed}
    return [lens_prompt(task, item) for item in rows if item.id not in taken]


def lens_prompt(task: Task, item: Item) -> Prompt:
    """Return an item as it is traced: native exemplars, and its English answers, then its native ones, as choices.

    The labels are native: the question is whether English comes up on the way to an answer in another language.
    """
    both = (*task.choices("english", item.language), *task.choices("native", item.language))
    return replace(task.prompt(item, "native"), choices=both)


def trace(store: Store, arm: Arm, task: Task, cell: Cell, rows: Sequence[Item], progress: Bar) -> CellTrace:
    """Trace a cell if that was not done before.

    Its file holds the fields of `models.trace.Trace` and `ids`: the items' ids as UTF-8, (items, bytes), filled up with
    zeros.
    """
    prompts = [lens_prompt(task, item) for item in rows]
    cell, name = replace(cell, task=task.name), f"{cell.language}.safetensors"

    def write(folder: Path) -> None:
        from spillover.models.tracing.trace import trace

        found = trace(arm.reader, prompts, progress.advance)
        arrays = {field: np.asarray(getattr(found, field)) for field in found.__slots__}
        ids = np.array([item.id.encode() for item in rows])
        write_arrays(folder / name, **arrays, ids=ids.view(np.uint8).reshape(len(rows), -1))

    spelled = as_text(arm.experiment, of_prompts(prompts))
    inputs = [arm.key, cell.language, prompts, [item.id for item in rows], *spelled]
    with progress.counting(len(rows)):
        return CellTrace(
            task, cell, rows, store.get_or_make("trace", inputs, f"traces/{cell.arm}/{cell.task}/{name}", write)
        )


def fit_lens(store: Store, arm: Arm, name: str, prompts: Sequence[Prompt]) -> FittedLens:
    """Fit a lens on prompts that are not analyzed, if that was not done before."""
    fit, seed = resolve(LENSES, name, "analyze.lenses"), arm.experiment.seed

    def write(folder: Path) -> None:
        found: AffineLens = fit(arm.reader, prompts, seed)
        write_arrays(folder / f"{name}.safetensors", down=found.down, up=found.up, bias=found.bias)

    inputs = [arm.key, name, prompts, seed, *as_text(arm.experiment, of_prompts(prompts))]
    return FittedLens(name, store.get_or_make("lens", inputs, f"lenses/{arm.name}/{name}.safetensors", write))


def read_through_lens(store: Store, arm: Arm, traced: CellTrace, lens: FittedLens) -> CellReading:
    """Return what a lens reads in a traced cell, reading it first if that was not done before."""
    cell, gold = traced.cell, [item.gold for item in traced.rows]
    name = f"{cell.language}.safetensors"

    def write(folder: Path) -> None:
        found = traced.arrays
        sight = LensInput(
            last=found["last"][:, :-1],  # after the final norm nothing is left to read
            inner=found["inner"][:, :-1],
            nodes=found["nodes"],
            tokens=found["tokens"],
            gold=np.array(gold),
            same=cell.language == ENGLISH,
        )
        reading = apply_lens(sight, lens.affine, arm.readout)
        write_arrays(folder / name, **{field: getattr(reading, field) for field in LensOutput.__slots__})

    inputs = [arm.key, traced.stage.key, lens.stage.key, gold]
    stage = store.get_or_make("reading", inputs, f"readings/{cell.arm}/{cell.task}/{lens.name}/{name}", write)
    return CellReading(cell, lens.name, LensOutput(**read_arrays(stage.path / name)))


def patch_pairs(store: Store, arm: Arm, cells: Sequence[CellTrace], progress: Bar) -> list[Patch]:
    """Put English states into every other language of a task, and every other's into English, for the first items.

    Without English, the first language stands in for it.
    """
    found: list[Patch] = []
    for task in dict.fromkeys(each.cell.task for each in cells):
        own = {each.cell.language: each for each in cells if each.cell.task == task}
        hub = ENGLISH if ENGLISH in own else next(iter(own))
        spokes = [code for code in own if code != hub]
        for target, sources in ((hub, spokes), *((code, [hub]) for code in spokes)) if spokes else ():
            found += _patch(store, arm, own[target], [own[code] for code in sources], progress)
    return found


def _patch(store: Store, arm: Arm, target: CellTrace, sources: Sequence[CellTrace], progress: Bar) -> list[Patch]:
    cell, rows = target.cell, target.rows[: arm.experiment.analyze.patch]
    prompts = [lens_prompt(target.task, item) for item in rows]
    name = f"{cell.language}.safetensors"

    def write(folder: Path) -> None:
        from spillover.models.tracing.patch import patch

        states = np.stack([each.arrays["last"][: len(rows), :-1] for each in sources], axis=1)  # but for the final norm
        effects = []
        for prompt, item, given in zip(prompts, rows, states, strict=True):
            found = patch(arm.reader, prompt, len(prompt.choices) // 2 + item.gold, given)
            effects.append(found.patched - found.plain)
            progress.advance(1)
        write_arrays(folder / name, effects=np.stack(effects))

    inputs = [arm.key, cell.language, prompts, [item.gold for item in rows], [each.stage.key for each in sources]]
    with progress.counting(len(rows)):
        stage = store.get_or_make("patch", inputs, f"patches/{cell.arm}/{cell.task}/{name}", write)
    means = read_arrays(stage.path / name)["effects"].mean(axis=0).tolist()
    return [
        Patch(arm.name, cell.task, source.cell.language, cell.language, tuple(effects), len(rows))
        for source, effects in zip(sources, means, strict=True)
    ]
