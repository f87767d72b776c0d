"""Several runs of the same items: the records of what each did, and of what tells them apart.

Frozen, without behavior, like `findings`, to which they are for several runs what that is for one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillover.findings import Verdict
from spillover.records import Estimate, Prediction


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as its folder tells of it."""

    name: str
    """Name of the run folder."""
    recipe: str
    """Digest of the experiment without its seed: runs that share it are one recipe with several seeds."""
    model: str
    """The model, as the experiment names it."""
    parameters: int
    """Number of the model's parameters; 0 where its files are not at hand."""
    mixture: str
    """What was tuned on, as the paper writes it."""
    asked: str
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
class Result:
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
class Entry:
    """One recipe: one run, or several that differ in the seed alone."""

    name: str
    """Names of its runs."""
    first: Run
    """The first of them, for what they share."""
    seeds: int
    """How many there are."""
    results: tuple[Result, ...]
    """One a task."""


@dataclass(frozen=True, slots=True)
class Duel:
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
class Lineup:
    """Recipes side by side."""

    entries: tuple[Entry, ...]
    """In the order given."""
    duels: tuple[Duel, ...]
    """Every two of them in every task that has languages new to both."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Languages to tune on, and what is known of them for the languages they are to help. Shares, means over those."""

    languages: tuple[str, ...]
    """Their codes."""
    predicted: float | None
    """Gain that the measured mixtures predict, in [-1, 1]; None where they predict nothing."""
    measured: float | None
    """Gain of that very mixture where it was measured, mean over seeds."""
    likeness: tuple[float, ...]
    """One a predictor: how like the nearest of them is to a language, in the predictor's own unit."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How well measured mixtures predict one that was left out: of the mean gain over the targets."""

    error: float
    """Root mean square error of the prediction, as a share."""
    plain: float
    """That of predicting the mean of the other mixtures."""
    p: float
    """How often mixtures dealt out at random predict as well, in (0, 1]."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Which languages to tune on."""

    targets: tuple[str, ...]
    """Codes of the languages that are to get better."""
    predictors: tuple[str, ...]
    """What two languages were compared by."""
    mixtures: int
    """Number of different mixtures measured."""
    trial: Trial | None
    """What leaving one out says; None with too few mixtures."""
    known: bool
    """Whether the prediction is better than the mean."""
    best: Proposal | None
    """The measured mixture that gained most, of any number of languages."""
    proposals: tuple[Proposal, ...]
    """Every choice, the best first: by its predicted gain if that is known, else by likeness alone."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What tuning on one mixture did in one task, language by language. Differences are tuned − base, over seeds."""

    mixture: str
    """What was tuned on, as the paper writes it."""
    budget: int
    """Number of languages tuned on."""
    seen: tuple[str, ...]
    """Codes of the languages that tuning read or wrote."""
    runs: tuple[str, ...]
    """Names of its runs, one a seed."""
    gains: tuple[Estimate, ...]
    """(languages,) differences of the accuracies, in [-1, 1], with the intervals over seeds."""
    new: Estimate | None
    """Mean difference over the languages that no mixture beside it read or wrote; None without any."""
    by_seed: tuple[float, ...]
    """(runs,) the same of each run; empty without any."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The best of several mixtures of as many languages: chosen on one half of the items, measured on the other."""

    budget: int
    """Number of languages tuned on."""
    candidates: int
    """Among how many mixtures it was chosen."""
    chosen: str
    """The mixture with the highest mean gain on the first half, over the languages that no mixture read or wrote."""
    seemed: float
    """That gain: too high, since it was chosen for it."""
    held_out: Estimate
    """The same on the items it was not chosen by."""
    otherwise: str
    """The mixture that the second half would have chosen."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Which language helps which: all mixtures of one setting in one task."""

    setting: str
    """What the runs share that others of the grid do not; empty where all of them do."""
    task: str
    """Name of the task."""
    languages: tuple[str, ...]
    """Codes of the languages that every run measured, like ones beside each other."""
    new: tuple[str, ...]
    """Those that no mixture read or wrote: over them, mixtures are compared."""
    items: int
    """Number of items."""
    rows: tuple[Transfer, ...]
    """One a mixture, like ones beside each other."""
    choices: tuple[Choice, ...]
    """One a number of languages of which there are several mixtures."""
    seed_deviation: float | None
    """Standard deviation of `new` between seeds as seen, pooled over mixtures; None without a second seed."""
    degrees: int
    """Seeds beyond the first, summed over mixtures: how well that deviation is known."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one experiment of a grid stands."""

    name: str
    """Its name, and its folder's."""
    state: str
    """`done`, `failed` or `queued`."""
    error: str
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class GridFindings:
    """All that the report of a grid tells."""

    name: str
    """Name of the grid."""
    standings: tuple[Standing, ...]
    """One an experiment, in the grid's order."""
    matrices: tuple[Matrix, ...]
    """One a setting and task."""
    file: str
    """The grid file, as it was read."""
