"""Several runs of the same items: the records of what each did, and of what tells them apart.

Frozen, without behavior, like `findings`, to which they are for several runs what that is for one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillover.records.comparison import Verdict
from spillover.records.estimates import Estimate
from spillover.records.scoring import Prediction


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """One run, as its folder tells of it."""

    name: str
    """Name of the run folder."""
    recipe_digest: str
    """Digest of the experiment without its seed: runs that share it are one recipe with several seeds."""
    model: str
    """The model, as the experiment names it."""
    parameters: int
    """Number of the model's parameters; 0 where its files are not at hand."""
    mixture: str
    """What was tuned on, as the paper writes it."""
    question_task: str
    """Task whose questions were tuned on."""
    labels: str
    """How labels were asked for."""
    seen: tuple[str, ...]
    """Codes of the languages that tuning read or wrote."""
    base: tuple[Prediction, ...]
    """What the arm without adapter says."""
    tuned: tuple[Prediction, ...]
    """What the arm with adapter says."""
    setting: str = ""
    """What tells its experiment from others of its grid, beside languages and seed."""
    clusters: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    """Task → an item's id → the first id of its cluster; empty where all items are independent of one another."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What one recipe did in one task, over the languages that all runs share. Shares, means over seeds."""

    task: str
    """Name of the task."""
    languages: tuple[str, ...]
    """Codes of the languages."""
    base: tuple[float, ...]
    """(languages,) accuracy of the arm without adapter, in [0, 1]."""
    tuned: tuple[float, ...]
    """(languages,) that of the arm with adapter."""
    gain: Estimate | None
    """Mean difference over languages neither read nor written, with the interval over seeds; None without any."""


@dataclass(frozen=True, slots=True)
class RecipeResult:
    """One recipe: one run, or several that differ in the seed alone."""

    name: str
    """Names of its runs."""
    first: FinishedRun
    """The first of them, for what they share."""
    seeds: int
    """How many there are."""
    results: tuple[TaskResult, ...]
    """One a task."""


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """The tuned arms of two recipes, paired item by item."""

    task: str
    """Name of the task."""
    one: str
    """Name of the one recipe."""
    other: str
    """Name of the other."""
    languages: int
    """How many languages neither of them read or wrote."""
    difference: Estimate
    """Mean difference of the accuracies over those, one − other, in [-1, 1], with the interval over seeds."""
    verdict: Verdict
    """What it says of the one: see `docs/statistics.md`."""


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Recipes side by side."""

    recipes: tuple[RecipeResult, ...]
    """In the order given."""
    comparisons: tuple[PairedComparison, ...]
    """Every two of them in every task that has languages new to both."""
