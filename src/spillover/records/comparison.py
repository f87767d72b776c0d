"""Base against tuned: from one arm in one cell to the verdict on a task, and the items that every number comes from."""

from dataclasses import dataclass
from typing import Literal

from spillover.records.estimates import Estimate

FALSE_ALARM_RATE = 0.025
"""Highest chance, per language, of a false possible harm: the share beyond one end of a 95% interval."""

Verdict = Literal["improved", "harmed", "equivalent", "inconclusive"]
"""What a difference shows. `docs/statistics.md` has the rules."""


@dataclass(frozen=True, slots=True)
class ArmMetrics:
    """How one arm does in one task and language."""

    accuracy: Estimate
    """Share of items whose chosen label is right, in [0, 1]; Wilson interval."""
    centered: Estimate
    """Accuracy after each label's mean log-probability over the cell is removed, in [0, 1]; score interval."""
    auc: Estimate | None
    """Mean over labels of the AUC of one against the rest, in [0, 1]; None if a label is gold fewer than twice."""
    chosen: tuple[float, ...]
    """(labels,) share of items in which each label is chosen, in [0, 1]; sums to 1."""
    ties: int
    """Items whose highest score occurs more than once; the first label counts as chosen."""
    near_ties: int
    """Items whose two highest scores differ by at most 0.05 nats. Half precision may choose differently."""
    per_token: Estimate | None = None
    """Accuracy by log-probability per token, in [0, 1]; Wilson interval. None if scoring is not `exact`."""
    contextual: Estimate | None = None
    """Accuracy calibrated by a content-free prompt, in [0, 1]; Wilson interval. None without such a prompt."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What tuning changed in one task and language. Differences are tuned − base; 0.01 is one point."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    group: Literal["unseen", "tuned", "pivot"]
    """Whether tuning read this language (`tuned`), wrote it (`pivot`), or neither (`unseen`)."""
    n: int
    """Number of items, the same in both arms."""
    chance: float
    """Accuracy of guessing: 1 / number of labels."""
    gold: tuple[float, ...]
    """(labels,) share of items whose right label this is, in [0, 1]; sums to 1."""
    base: ArmMetrics
    """The arm without adapter."""
    tuned: ArmMetrics
    """The arm with adapter."""
    difference: Estimate
    """Difference of the accuracies, in [-1, 1]; score interval of paired shares, `n` independent units."""
    fixed: int
    """Items wrong in base and right in tuned."""
    broken: int
    """Items right in base and wrong in tuned."""
    p: float
    """Exact McNemar test of `fixed` against `broken`, by clusters, two-sided, in [0, 1]."""
    p_adjusted: float
    """`p` corrected for the number of tasks and languages of the comparison, in [0, 1]."""
    minimum_detectable: float
    """Smallest gain that these items would show with 80% power, in (0, 1]."""
    discrimination: Estimate | None
    """The part of the gain due to better ranking of the labels. In [-1, 1]; None if golds are unbalanced."""
    label_prior: Estimate | None
    """The part of the gain due to a weaker bias toward one label. In [-1, 1]; None if golds are unbalanced."""
    verdict: Verdict
    """What the difference shows, corrected for the number of tasks and languages."""
    possible_harm: bool
    """Whether the uncorrected interval of 30 items or more lies wholly below 0."""


@dataclass(frozen=True, slots=True)
class GroupGain:
    """The mean difference over the unseen languages that share a property."""

    by: Literal["tier", "script", "family"]
    """The property."""
    name: str
    """Its value: `low`, `Cyrillic`, `Slavic`, …"""
    languages: tuple[str, ...]
    """Codes of the unseen languages that have it."""
    difference: Estimate
    """Mean difference of the accuracies over them, in [-1, 1]; score interval over items."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What tuning changed in one task, over languages. Differences are tuned − base; 0.01 is one point."""

    task: str
    """Name of the task."""
    n: int
    """Number of items that occur in at least one language."""
    unseen: Estimate | None
    """The primary endpoint: mean difference over unseen languages; score interval over items; None without any."""
    unseen_general: Estimate | None
    """The primary endpoint for languages in general: its interval covers their choice. None with fewer than two."""
    tuned: Estimate | None
    """Mean difference over the languages tuned on; None where none is measured."""
    overall: Estimate
    """Mean difference over all languages measured."""
    pivot: Estimate | None
    """Difference in the pivot (English); None where it is not measured."""
    worst_language: str
    """Code of the language with the smallest difference."""
    worst: Estimate
    """The difference of `worst_language`. Its `low` is the lowest end of all languages' intervals."""
    discrimination: Estimate | None
    """Mean discrimination over unseen languages; None if one of them has unbalanced golds."""
    label_prior: Estimate | None
    """Mean label prior over unseen languages; None if one of them has unbalanced golds."""
    minimum_detectable: float | None
    """Smallest mean gain over unseen languages that these items would show with 80% power; None without any."""
    by_property: tuple[GroupGain, ...]
    """The primary endpoint by resource tier, script and family."""
    verdict: Verdict | None
    """What the primary endpoint shows; None without unseen languages."""
    sentence: str
    """The verdict in one sentence, with the part that changed or the minimum detectable gain."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two arms compared: everything the report says about accuracy."""

    gains: tuple[Gain, ...]
    """One per task and language; tasks in the experiment's order, languages in the paper's."""
    summaries: tuple[Summary, ...]
    """One per task."""
    margin: float
    """Differences within ± this share count as equivalent; 0.02 is two points."""
    correction: str
    """How p-values were adjusted: `holm` or `benjamini-hochberg`."""
    sentence: str
    """The verdicts of all tasks in one sentence."""


@dataclass(frozen=True, slots=True)
class ItemScores:
    """The items of one task and language with the scores of both arms. Every number is computed from these."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    labels: tuple[str, ...]
    """The task's labels, in the order of the scores."""
    ids: tuple[str, ...]
    """(items,) ids of the items."""
    texts: tuple[tuple[str, ...], ...]
    """(items, fields) their texts."""
    gold: tuple[int, ...]
    """(items,) index of the right label."""
    base: tuple[tuple[float, ...], ...]
    """(items, labels) log-probabilities of the arm without adapter, nats."""
    tuned: tuple[tuple[float, ...], ...]
    """(items, labels) log-probabilities of the arm with adapter, nats."""
    clusters: tuple[str, ...] = ()
    """(items,) first id of the item's cluster; empty if the item shares none."""
