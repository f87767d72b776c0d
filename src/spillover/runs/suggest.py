"""Suggestions of languages to tune on, from finished runs and one traced pass of the base model.

This module reads run folders, counts tokens, and traces the base model if no run has. The statistics are in
`analysis.statistics.suggest`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np

from spillover.analysis.interpretability.alignment import States, cka, shuffled
from spillover.analysis.interpretability.geometry import MIN_ITEMS
from spillover.analysis.statistics.suggest import Array, Similarity, collect, suggest
from spillover.errors import SpilloverError, did_you_mean
from spillover.experiment import Experiment
from spillover.languages import get_language
from spillover.records import PROVENANCE_FILE, FinishedRun, Suggestion
from spillover.runs.read import read_run
from spillover.stages.arms import cells_of, reference_arm
from spillover.stages.inputs import Inputs
from spillover.stages.items import Items, balanced_subset
from spillover.stages.trace import trace_cell
from spillover.store import Store, read_layers
from spillover.tasks import has_labels, open_labeled_task, open_task
from spillover.utils.progress import bar, notify

MAX_COMBINATIONS = 20_000
"""Largest number of combinations of languages that are compared."""


@dataclass(frozen=True, slots=True)
class SuggestRequest:
    """The user's question."""

    targets: tuple[str, ...]
    """Codes of the languages that are to get better."""
    count: int
    """How many languages to tune on."""
    among: tuple[str, ...]
    """Codes of the languages to choose from; none: all that have items but the targets and the pivot."""


def suggest_languages(
    experiment: Experiment, store: Store, request: SuggestRequest, runs: Sequence[Path]
) -> Suggestion:
    """Order the choices of languages to tune on; see `analysis.statistics.suggest`.

    Args:
        experiment: the model, the items and the task whose questions would be translated.
        store: holds the traces.
        request: the languages to improve, and those to choose from.
        runs: folders of finished runs; runs of another model, task of questions, labels or recipe are left out.

    Raises:
        SpilloverError: a language has no items, or there are too many combinations.
    """
    everywhere = experiment.evaluate.model_copy(update={"languages": "all"})
    items = Inputs(experiment.model_copy(update={"evaluate": everywhere})).items
    codes = _shared(items)
    wanted = _choices(request, codes, experiment.mixture.pivot)
    finished = [read_run(folder) for folder in runs]
    fitting = [run for run in finished if _fits(run, experiment, request.targets, codes)]
    if len(fitting) < len(finished):
        others = len(finished) - len(fitting)
        notify(f"{others} of {len(finished)} runs are of another model, mixture, task or set of languages")
    similarities = [
        *_typology(codes),
        _fertility(experiment, items, codes),
        *_alignment(experiment, store, items, codes),
    ]
    return suggest(collect(fitting, codes), similarities, codes, request.targets, wanted)


def _choices(request: SuggestRequest, codes: Sequence[str], pivot: str) -> list[tuple[str, ...]]:
    """Return every choice of languages to tune on; refuse unknown languages and too many combinations."""
    among = request.among or tuple(code for code in codes if code not in (*request.targets, pivot))
    for name, chosen in (("--for", request.targets), ("--among", among)):
        if not chosen:
            raise SpilloverError(f"{name}: found no language, expected at least one; choose from {', '.join(codes)}")
        for code in chosen:
            if code not in codes:
                raise SpilloverError(
                    f"{name}: found {code!r}, expected a language with items; {did_you_mean(code, codes)}"
                )
    if pivot in among or not 0 < request.count <= len(among):
        raise SpilloverError(
            f"--k: found {request.count} of {', '.join(among)}, expected at least one, as many at most, and not the "
            f"pivot {pivot!r}"
        )
    number = comb(len(among), request.count)
    if number > MAX_COMBINATIONS:
        raise SpilloverError(
            f"--k: {request.count} of {len(among)} languages are {number:,} combinations, "
            f"expected at most {MAX_COMBINATIONS:,}; name fewer with --among"
        )
    return list(combinations(among, request.count))


def finished_runs(runs: Path) -> list[Path]:
    """Return the folders of finished runs, which have the file that a run writes last: its provenance."""
    return sorted(path.parent for path in runs.glob(f"*/{PROVENANCE_FILE}") if not path.parent.name.startswith("."))


def _shared(items: Items) -> list[str]:
    """Return the languages that have items of every task."""
    tasks = {task for task, _ in items}
    return [code for code in dict.fromkeys(code for _, code in items) if all((task, code) in items for task in tasks)]


def _fits(run: FinishedRun, experiment: Experiment, targets: Sequence[str], codes: Sequence[str]) -> bool:
    """Return whether a run tuned this model like this experiment, on some of the codes, and measured the targets."""
    tuned_on = run.seen[:-1]
    update = {"translate": experiment.translate.model_copy(update={"to": tuned_on})}
    return (
        bool(tuned_on)
        and set(tuned_on) <= set(codes)
        and run.model == experiment.model.name
        and run.question_task == experiment.questions.task
        and run.labels == experiment.evaluate.labels
        and run.mixture == experiment.model_copy(update=update).mixture_name
        and {result.language for result in run.arm} >= set(targets)
    )


def _typology(codes: Sequence[str]) -> list[Similarity]:
    """Return similarities by the table of languages: the same language, the same script, the same family."""
    rows = [get_language(code) for code in codes]
    return [
        Similarity(name, np.array([[float(getattr(a, field) == getattr(b, field)) for b in rows] for a in rows]))
        for name, field in (("itself", "code"), ("script", "script"), ("family", "family"))
    ]


def _fertility(experiment: Experiment, items: Items, codes: Sequence[str]) -> Similarity:
    """Return the similarity of fertilities: −|log ratio| of the numbers of tokens of the same items."""
    from spillover.models.token_counts import token_counter

    count = token_counter(experiment.model.name)
    texts = {
        code: [text for (_, language), rows in items.items() if language == code for row in rows for text in row.fields]
        for code in codes
    }
    tokens = np.log([sum(count(texts[code])) for code in codes])
    return Similarity("fertility", -np.abs(tokens[:, None] - tokens))


def _alignment(experiment: Experiment, store: Store, items: Items, codes: Sequence[str]) -> list[Similarity]:
    """Return the similarity of the base model's states of the same items: CKA, mean over layers and tasks."""
    limit = experiment.analyze.limit
    chosen = {key: balanced_subset(rows, limit) for key, rows in items.items() if limit and key[1] in codes}
    labeled = {key: rows for key, rows in chosen.items() if has_labels(open_task(key[0])) and len(rows) >= MIN_ITEMS}
    if not labeled:
        return []
    arm = reference_arm(experiment)
    with bar("trace (items)", sum(map(len, labeled.values()))) as progress:
        traces = [
            trace_cell(store, arm, open_labeled_task(cell.task), cell, rows, progress)
            for cell, rows in cells_of(arm, labeled)
        ]
    layers = []
    for task in dict.fromkeys(trace.cell.task for trace in traces):
        paths = {trace.cell.language: trace.artifact.path for trace in traces if trace.cell.task == task}
        states = [read_layers(paths[code] / f"{code}.safetensors", "body_mean") for code in codes]
        layers += [_aligned(np.stack(layer).astype(np.float64)) for layer in zip(*states, strict=True)]
    return [Similarity("alignment", np.mean(layers, axis=0))]


def _aligned(states: Array) -> Array:
    """Return the CKA of every two languages' states, (languages, items, width), as they are paired."""
    lengths = np.zeros(states.shape[:2])  # CKA does not read them
    similarity: Array = cka(States(states, states, lengths), shuffled(states.shape[1], 0))[0]
    return similarity
