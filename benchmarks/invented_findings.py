"""Findings of every kind for 3 tasks in any number of languages, with a model of 32 blocks: numbers from a seed."""

from collections.abc import Iterator, Sequence

import numpy as np

from spillover.analysis.interpretability.folding import FOLDED_ABOVE, GROUPS, pair_layers
from spillover.experiment import Experiment
from spillover.languages import ENGLISH, languages
from spillover.plugins import METRICS
from spillover.records import (
    Alignment,
    Comparison,
    Curve,
    Data,
    Defect,
    Estimate,
    Findings,
    FoldedGeometry,
    Forgetting,
    Geometry,
    Internals,
    ItemScores,
    LanguageNeurons,
    LensSummary,
    PairChecks,
    Patch,
    Prediction,
    StageCost,
    Trajectory,
    Translation,
    TranslationCost,
    Tuning,
)
from spillover.sources import open_source
from spillover.tasks import ChoiceTask, open_labeled_task
from spillover.utils.environment import provenance

TASKS = ("sentiment", "entailment", "paraphrase")
ARMS = ("base", "tuned")

LAYERS = 33
"""Layers of the model: the embedding and 32 blocks."""

TRACED = 100
"""Items of a task and language that are traced."""

WORDS = 20
"""Words of an item's texts, drawn from the starter corpus; no two items are alike."""


def item_scores(codes: Sequence[str], items: int) -> Iterator[ItemScores]:
    """Yield the items of every task and language."""
    random = np.random.default_rng(0)
    for task in TASKS:
        for code in codes:
            yield sheet(open_labeled_task(task), code, items, random)


def findings(codes: Sequence[str], sheets: Sequence[ItemScores], comparison: Comparison) -> Findings:
    """Return findings of every kind."""
    random = np.random.default_rng(0)
    folded = len(codes) > FOLDED_ABOVE
    return Findings(
        name="benchmark",
        setup=Experiment().setup,
        comparisons=(comparison,),
        internals=Internals(
            trajectories=tuple(trajectory(arm, task, code) for task in TASKS for code in codes for arm in ARMS),
            lens_summaries=tuple(
                LensSummary(*ARMS, task, code, "logit", "english", *(estimate(0.2),) * 3)
                for task in TASKS
                for code in codes
            ),
            neurons=tuple(
                LanguageNeurons(arm, task, code, layer, 30, 50, 8000)
                for arm in ARMS
                for task in TASKS
                for code in ("", *codes)
                for layer in range(1, LAYERS)
            ),
            patches=tuple(patched(arm, task, code) for arm in ARMS for task in TASKS for code in codes[1:]),
            geometry=() if folded else tuple(geometry(task, codes, random) for task in TASKS),
            folded_geometry=tuple(folded_geometry(task, codes, random) for task in TASKS) if folded else (),
        ),
        tuning=Tuning(
            losses=tuple(random.normal(2, 0.1, size=1900).tolist()),
            validation=(2.6, 2.1, 2.0, 2.0),
            examples=30_000,
            left_out=0,
            target_tokens=600_000,
            chrf=(20.0, 50.0),
            translations=tuple(Translation(str(i), "de", "Gut.", "Good.", "Gut.", "Good.") for i in range(40)),
        ),
        forgetting=tuple(Forgetting(*ARMS, code, 600, 90_000, *(estimate(1.1),) * 3) for code in codes),
        item_scores=tuple(sheets),
        data=Data((Defect("warning", "collapse", "2 items"),), "", (PairChecks("zh", 10_000, 0, (("copy", 3),)),), ()),
        costs=(StageCost("adapter", 3600.0, 8_000_000_000),),
        translation_costs=(TranslationCost("zh", 0, 900_000, 900_000, 1200.0),),
        provenance=provenance("seed = 0\n"),
    )


def sheet(task: ChoiceTask, code: str, items: int, random: np.random.Generator) -> ItemScores:
    """Return a cell's items: words of the starter corpus, shuffled; written without blanks, they are characters."""
    written = code if code in languages() else ENGLISH
    corpus = [text for item in open_source("starter", {}, "benchmark").items(task, written) for text in item.fields]
    blank = "" if code in ("zh", "ja", "th") else " "
    words = list("".join(corpus)) if not blank else " ".join(corpus).split()
    places = random.integers(len(words), size=(items, len(task.fields), WORDS)).tolist()
    texts = [tuple(blank.join(words[place] for place in text) for text in item) for item in places]
    gold = np.arange(items) % len(task.labels)
    scores = [-random.exponential(3, size=(items, len(task.labels))).round(6) for _ in ARMS]
    ids = tuple(f"{task.name}-{i:04}" for i in range(items))
    both = tuple(tuple(map(tuple, arm.tolist())) for arm in scores)
    return ItemScores(task.name, code, tuple(task.labels), ids, tuple(texts), tuple(gold.tolist()), ARMS, both)


def predictions(sheets: Sequence[ItemScores], arm: str) -> Iterator[Prediction]:
    """Yield what an arm said."""
    for one in sheets:
        for id, gold, scores in zip(one.ids, one.gold, one.logprobs[one.arms.index(arm)], strict=True):
            yield Prediction(id, one.task, one.language, gold, scores)


def estimate(value: float) -> Estimate:
    """Return a number with an interval around it."""
    return Estimate(value, value - 0.02, value + 0.02, TRACED)


def trajectory(arm: str, task: str, code: str) -> Trajectory:
    """Return curves that rise."""
    values = np.linspace(0, 0.9, LAYERS) ** 2
    curve = Curve(*(tuple((values + shift).tolist()) for shift in (0, -0.02, 0.02)))
    return Trajectory(arm, task, code, "logit", *(curve,) * 8, TRACED, TRACED)


def patched(arm: str, task: str, code: str) -> Patch:
    """Return effects that grow with depth."""
    return Patch(arm, task, code, "en", tuple(np.linspace(0, -3, LAYERS).tolist()), 2)


def geometry(task: str, codes: Sequence[str], random: np.random.Generator) -> Geometry:
    """Return every metric of all languages, and their components."""
    count = len(codes)
    values = random.uniform(size=(len(METRICS), 2, LAYERS, count, count))
    shown = [
        Alignment(f"{name}{suffix}", own, own - 0.2, own - 0.1)
        for name, own in zip(METRICS, values, strict=True)
        for suffix in ("", "-partial")
    ]
    components = random.normal(size=(2, LAYERS, count, TRACED, 2))
    return Geometry(task, ARMS, tuple(codes), TRACED, tuple(shown), components)


def folded_geometry(task: str, codes: Sequence[str], random: np.random.Generator) -> FoldedGeometry:
    """Return every metric of very many languages beside groups of others, and the pairs of a few layers."""
    count, layers, alignments, pairs = len(codes), pair_layers(LAYERS), [], []
    for name in METRICS:
        for suffix in ("", "-partial"):
            values = random.uniform(size=(len(ARMS), LAYERS, len(GROUPS), count)).astype(np.float32)
            pairs.append(random.uniform(size=(len(ARMS), len(layers), count, count)).astype(np.float32))
            alignments.append(Alignment(f"{name}{suffix}", values, values - 0.2, values - 0.1))
    centers = random.normal(size=(len(ARMS), LAYERS, count, 2)).astype(np.float32)
    return FoldedGeometry(task, ARMS, tuple(codes), TRACED, GROUPS, layers, tuple(alignments), np.stack(pairs), centers)
