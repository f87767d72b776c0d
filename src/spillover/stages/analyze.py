"""The work of `analyze`: traces of the cells, and the lenses, neurons and patches read from them.

A trace does not depend on its readers, so a new lens needs no new trace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spillover.analysis.interpretability.latent import CellReading, latents, trajectory
from spillover.analysis.interpretability.lens import LensInput, LensOutput, apply_lens
from spillover.analysis.interpretability.neurons import Activity, neuron_sets, neurons
from spillover.analysis.interpretability.overlap import overlaps
from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.languages import ENGLISH
from spillover.plugins import LENSES, check_name, resolve
from spillover.records import AffineLens, Deactivation, Exploration, Internals, Item, Patch, Prompt
from spillover.stages.arms import Arm, as_text, cells_of, of_prompts
from spillover.stages.deactivate import MeasuredCell, answer_activity, count_deactivations, deactivate, languages_off
from spillover.stages.explore import EXPLORED, PROBABILITIES, TOKENS, explore
from spillover.stages.geometry import check_metrics
from spillover.stages.items import Items, subsets
from spillover.stages.trace import CellTrace, lens_prompt, trace_cell
from spillover.store import Artifact, Store, read_arrays, write_arrays
from spillover.tasks import ChoiceTask, has_labels, open_labeled_task, open_task
from spillover.utils.progress import Bar


@dataclass(frozen=True, slots=True)
class FittedLens:
    """A lens fitted to one arm."""

    name: str
    """The lens's name in the experiment."""
    artifact: Artifact
    """The stored map."""

    @property
    def affine(self) -> AffineLens:
        """The map."""
        arrays = read_arrays(self.artifact.path / f"{self.name}.safetensors")
        return AffineLens(down=arrays["down"], up=arrays["up"], bias=arrays["bias"])


@dataclass(frozen=True, slots=True)
class ArmInternals:
    """The measurements inside one arm."""

    readings: list[CellReading]
    """One per cell and lens."""
    activity: list[Activity]
    """The neurons' activity, one per cell and kind of tokens."""
    patches: list[Patch]
    """Effects of one language's states in another language."""
    deactivations: list[Deactivation]
    """Effects of switching off one language's neurons on another language."""
    explorations: list[Exploration]
    """The first items of each task, one by one."""


def items_to_trace(experiment: Experiment, items: Items) -> Items:
    """Return the items to trace, per task and language; refuse lenses and metrics that do not work for them."""
    chosen = experiment.analyze
    for name in chosen.lenses:
        check_name(LENSES, name, "analyze.lenses")
    traced = subsets({key: rows for key, rows in items.items() if has_labels(open_task(key[0]))}, chosen.limit)
    check_metrics(chosen.metrics, traced)
    languages_off(experiment, traced)
    if chosen.patch or chosen.metrics:
        _check_paired(traced)
    return traced


def _check_paired(items: Items) -> None:
    """Refuse items that are not the same in every language: patches and geometry pair them by their ids."""
    ids: dict[str, set[str]] = {}
    for (task, language), rows in items.items():
        of_language = {row.id for row in rows}
        if ids.setdefault(task, of_language) != of_language:
            raise SpilloverError(
                f"analyze: the items of {task!r} in {language} are no translations of those in other languages, which "
                "patches and geometry compare; set analyze.patch = 0 and analyze.metrics = [], or analyze.limit = 0"
            )


def lens_training_prompts(items: Items, traced: Items) -> list[Prompt]:
    """Return the prompts that lenses learn from: those of measured items that are not traced."""
    return [
        prompt
        for key, rows in traced.items()
        for prompt in prompts_not_traced(open_labeled_task(key[0]), items[key], rows)
    ]


def count_passes(experiment: Experiment, items: Items) -> int:
    """Return the number of items to trace, to patch and to read with neurons on and off, in one arm."""
    passes = 1 + experiment.analyze.answers
    traced = sum(passes * len(rows) + min(experiment.analyze.patch, len(rows)) for rows in items.values())
    return traced + count_deactivations(experiment, items)


def analyze_arm(
    store: Store,
    arm: Arm,
    items: Items,
    others: Sequence[Prompt],
    progress: Bar,
    reference: ArmInternals | None = None,
) -> ArmInternals:
    """Trace an arm's items, read the traces through each lens, and intervene.

    others: the prompts that lenses learn from; reference: the first arm, whose thresholds make language neurons; None:
    this is the first arm.
    """
    chosen = arm.experiment.analyze
    lenses = [fit_lens(store, arm, name, others) for name in chosen.lenses]
    cells = [
        trace_cell(store, arm, open_labeled_task(cell.task), cell, rows, progress)
        for cell, rows in cells_of(arm, items)
    ]
    activity = [cell_activity(traced) for traced in cells]
    known = [*(reference.activity if reference else ()), *activity]
    measured = [MeasuredCell(traced.cell, traced.task, traced.rows) for traced in cells]
    readings = [read_through_lens(store, arm, traced, lens) for traced in cells for lens in lenses]
    return ArmInternals(
        readings=readings,
        activity=[*activity, *(_in_answers(store, arm, traced, progress) for traced in cells if chosen.answers)],
        patches=patch_pairs(store, arm, cells, progress) if chosen.patch else [],
        deactivations=list(
            deactivate(store, arm, measured, known, languages_off(arm.experiment, items), progress)
            if chosen.deactivate
            else ()
        ),
        explorations=list(explore(store, arm, cells)),
    )


def analyze_arms(store: Store, arms: Sequence[Arm], items: Items, others: Sequence[Prompt], progress: Bar) -> Internals:
    """Analyze the arms, the reference first, and compare them."""
    analyzed: list[ArmInternals] = []
    for arm in arms if items else ():
        analyzed.append(analyze_arm(store, arm, items, others, progress, analyzed[0] if analyzed else None))
    return compare_arms(analyzed)


def compare_arms(arms: Sequence[ArmInternals]) -> Internals:
    """Compare the measurements inside the arms."""
    readings = [reading for arm in arms for reading in arm.readings]
    sets = list(neuron_sets([activity for arm in arms for activity in arm.activity]))
    return Internals(
        trajectories=tuple(map(trajectory, readings)),
        lens_summaries=tuple(latents(readings)),
        neurons=tuple(neurons(sets)),
        patches=tuple(patch for arm in arms for patch in arm.patches),
        overlaps=tuple(overlaps(sets)),
        deactivations=tuple(effect for arm in arms for effect in arm.deactivations),
        explorations=tuple(exploration for arm in arms for exploration in arm.explorations),
    )


def cell_activity(traced: CellTrace) -> Activity:
    """Return how active neurons are in a cell's prompts."""
    arrays = traced.load("active", "counted")
    return Activity(traced.cell, arrays["active"], int(arrays["counted"][0]))


def _in_answers(store: Store, arm: Arm, traced: CellTrace, progress: Bar) -> Activity:
    prompts = [lens_prompt(traced.task, item) for item in traced.rows]
    gold = [item.gold for item in traced.rows]
    return answer_activity(store, arm, traced.cell, traced.task, prompts, gold, progress)


def prompts_not_traced(task: ChoiceTask, rows: Sequence[Item], traced: Sequence[Item]) -> list[Prompt]:
    """Return the prompts of a cell's items that are not traced."""
    ids = {item.id for item in traced}
    return [lens_prompt(task, item) for item in rows if item.id not in ids]


def fit_lens(store: Store, arm: Arm, name: str, prompts: Sequence[Prompt]) -> FittedLens:
    """Return a lens of an arm, fitted first on prompts that are not traced if there is none."""
    fit, seed = resolve(LENSES, name, "analyze.lenses"), arm.experiment.seed

    def write(folder: Path) -> None:
        lens: AffineLens = fit(arm.reader, prompts, seed)
        write_arrays(folder / f"{name}.safetensors", down=lens.down, up=lens.up, bias=lens.bias)

    inputs = [arm.key, name, prompts, seed, *as_text(arm.experiment, of_prompts(prompts))]
    return FittedLens(name, store.get_or_make("lens", inputs, f"lenses/{arm.name}/{name}.safetensors", write))


def read_through_lens(store: Store, arm: Arm, traced: CellTrace, lens: FittedLens) -> CellReading:
    """Return a lens's reading of a traced cell, read first if there is none."""
    cell, gold = traced.cell, [item.gold for item in traced.rows]
    name = f"{cell.language}.safetensors"

    def write(folder: Path) -> None:
        trace = traced.load("last", "inner", "nodes", "tokens")
        states = LensInput(
            last=trace["last"][:, :-1],  # a lens reads states before the final norm
            inner=trace["inner"][:, :-1],
            nodes=trace["nodes"],
            tokens=trace["tokens"],
            gold=np.array(gold),
            same=cell.language == ENGLISH,
        )
        reading, top = apply_lens(states, lens.affine, arm.readout, EXPLORED)
        arrays = {field: getattr(reading, field) for field in LensOutput.__slots__}
        arrays |= {TOKENS: top.tokens, PROBABILITIES: top.probabilities}
        write_arrays(folder / name, **arrays)

    inputs = [arm.key, traced.artifact.key, lens.artifact.key, gold]
    artifact = store.get_or_make("reading", inputs, f"readings/{cell.arm}/{cell.task}/{lens.name}/{name}", write)
    return CellReading(cell, lens.name, LensOutput(**read_arrays(artifact.path / name, *LensOutput.__slots__)))


def patch_pairs(store: Store, arm: Arm, cells: Sequence[CellTrace], progress: Bar) -> list[Patch]:
    """Put English states into every other language of a task, and their states into English, for the first items.

    If English was not traced, the first language takes its place.
    """
    patches: list[Patch] = []
    for task in dict.fromkeys(traced.cell.task for traced in cells):
        traces = {traced.cell.language: traced for traced in cells if traced.cell.task == task}
        hub = ENGLISH if ENGLISH in traces else next(iter(traces))
        spokes = [code for code in traces if code != hub]
        for target, sources in ((hub, spokes), *((code, [hub]) for code in spokes)) if spokes else ():
            patches += _patch(store, arm, traces[target], [traces[code] for code in sources], progress)
    return patches


def _patch(store: Store, arm: Arm, target: CellTrace, sources: Sequence[CellTrace], progress: Bar) -> list[Patch]:
    cell, rows = target.cell, target.rows[: arm.experiment.analyze.patch]
    prompts = [lens_prompt(target.task, item) for item in rows]
    name = f"{cell.language}.safetensors"

    def write(folder: Path) -> None:
        from spillover.models.tracing.patch import patch

        # without the states after the final norm
        states = np.stack([source.load("last")["last"][: len(rows), :-1] for source in sources], axis=1)
        natives = [len(prompt.choices) // 2 + item.gold for prompt, item in zip(prompts, rows, strict=True)]
        scores = patch(arm.reader, prompts, natives, states)
        progress.advance(len(rows))
        write_arrays(folder / name, effects=scores.patched - scores.plain[:, None, None])

    inputs = [
        arm.key,
        cell.language,
        prompts,
        [item.gold for item in rows],
        [source.artifact.key for source in sources],
    ]
    with progress.counting(len(rows)):
        artifact = store.get_or_make("patch", inputs, f"patches/{cell.arm}/{cell.task}/{name}", write)
    means = read_arrays(artifact.path / name)["effects"].mean(axis=0).tolist()
    return [
        Patch(arm.name, cell.task, source.cell.language, cell.language, tuple(effects), len(rows))
        for source, effects in zip(sources, means, strict=True)
    ]
