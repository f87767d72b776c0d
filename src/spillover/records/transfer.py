"""Results of a sweep: gains of mixtures, transfer between languages, the best mixture, the state of each experiment."""

from dataclasses import dataclass

from spillover.records.estimates import Estimate


@dataclass(frozen=True, slots=True)
class MixtureGains:
    """Gains of one mixture in one task, per language. Differences are tuned − base, over seeds."""

    mixture: str
    """What was tuned on, as the paper writes it."""
    budget: int
    """Number of languages tuned on."""
    seen: tuple[str, ...]
    """Codes of the languages that tuning read or wrote."""
    runs: tuple[str, ...]
    """Names of its runs, one per seed."""
    gains: tuple[Estimate, ...]
    """(languages,) differences of the accuracies, in [-1, 1], with the intervals over seeds."""
    new: Estimate | None
    """Mean difference over the languages that no mixture of the matrix read or wrote; None without any."""
    by_seed: tuple[float, ...]
    """(runs,) that mean difference in each run; empty without such languages."""


@dataclass(frozen=True, slots=True)
class BestMixture:
    """The best of several mixtures of the same size: chosen on one half of the items, measured on the other."""

    budget: int
    """Number of languages tuned on."""
    candidates: int
    """Number of mixtures that it was chosen from."""
    chosen: str
    """The mixture with the highest mean gain on the first half, over the languages that no mixture read or wrote."""
    selection_gain: float
    """Its mean gain on the first half. Too high, since it was chosen for it."""
    held_out: Estimate
    """Its mean gain on the second half."""
    other_half_choice: str
    """The mixture that the second half would have chosen."""


@dataclass(frozen=True, slots=True)
class TransferMatrix:
    """All mixtures of one setting in one task: which languages help which."""

    setting: str
    """The keys in which these runs differ from others of the grid; empty if the grid has one setting."""
    task: str
    """Name of the task."""
    languages: tuple[str, ...]
    """Codes of the languages that every run measured, similar ones beside each other."""
    new: tuple[str, ...]
    """Codes of the languages that no mixture read or wrote. Mixtures are compared over these."""
    items: int
    """Number of items."""
    rows: tuple[MixtureGains, ...]
    """One per mixture, similar ones beside each other."""
    choices: tuple[BestMixture, ...]
    """One per number of languages that several mixtures have."""
    seed_deviation: float | None
    """Observed standard deviation of `new` between seeds, pooled over mixtures; None without a second seed."""
    degrees: int
    """Degrees of freedom of `seed_deviation`: seeds beyond the first, summed over mixtures."""


@dataclass(frozen=True, slots=True)
class ExperimentStatus:
    """State of one experiment of a grid."""

    name: str
    """Its name, which is also its folder's."""
    state: str
    """`done`, `failed` or `queued`."""
    error: str
    """Why it failed; empty if it did not."""


@dataclass(frozen=True, slots=True)
class SweepFindings:
    """All that the report of a grid shows."""

    name: str
    """Name of the grid."""
    experiments: tuple[ExperimentStatus, ...]
    """One per experiment, in the grid's order."""
    matrices: tuple[TransferMatrix, ...]
    """One per setting and task."""
    file: str
    """Text of the grid file."""
