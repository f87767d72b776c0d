"""What a sweep shows: gains of mixtures, who helps whom, the best mixture, the state of each experiment."""

from dataclasses import dataclass

from spillover.records.estimates import Estimate


@dataclass(frozen=True, slots=True)
class MixtureGains:
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
class BestMixture:
    """The best of several mixtures of as many languages: chosen on one half of the items, measured on the other."""

    budget: int
    """Number of languages tuned on."""
    candidates: int
    """Among how many mixtures it was chosen."""
    chosen: str
    """The mixture with the highest mean gain on the first half, over the languages that no mixture read or wrote."""
    selection_gain: float
    """That gain: too high, since it was chosen for it."""
    held_out: Estimate
    """The same on the items it was not chosen by."""
    other_half_choice: str
    """The mixture that the second half would have chosen."""


@dataclass(frozen=True, slots=True)
class TransferMatrix:
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
    rows: tuple[MixtureGains, ...]
    """One a mixture, like ones beside each other."""
    choices: tuple[BestMixture, ...]
    """One a number of languages of which there are several mixtures."""
    seed_deviation: float | None
    """Standard deviation of `new` between seeds as seen, pooled over mixtures; None without a second seed."""
    degrees: int
    """Seeds beyond the first, summed over mixtures: how well that deviation is known."""


@dataclass(frozen=True, slots=True)
class ExperimentStatus:
    """Where one experiment of a grid stands."""

    name: str
    """Its name, and its folder's."""
    state: str
    """`done`, `failed` or `queued`."""
    error: str
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class SweepFindings:
    """All that the report of a grid tells."""

    name: str
    """Name of the grid."""
    experiments: tuple[ExperimentStatus, ...]
    """One an experiment, in the grid's order."""
    matrices: tuple[TransferMatrix, ...]
    """One a setting and task."""
    file: str
    """The grid file, as it was read."""
