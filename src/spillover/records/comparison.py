"""Base against tuned: from one arm in one cell to the verdict on a task, and the items that every number comes from."""

from dataclasses import dataclass
from typing import Literal

from spillover.records.estimates import Estimate

FALSE_ALARM_RATE = 0.025
"""How often at most a language raises an alarm where nothing is true: one end of a 95% interval."""

Verdict = Literal["improved", "harmed", "equivalent", "inconclusive"]
"""What an interval of a difference says, by the fixed rules of `docs/statistics.md`."""


@dataclass(frozen=True, slots=True)
class ArmMetrics:
    """How one arm does in one task and language."""

    accuracy: Estimate
    """Share of items whose chosen label is right, in [0, 1]; Wilson interval."""
    centered: Estimate
    """The same after removing each label's mean log-probability over the cell, in [0, 1]; score interval."""
    auc: Estimate | None
    """Mean over labels of the AUC of one against the rest, in [0, 1]; None if a label is gold fewer than twice."""
    chosen: tuple[float, ...]
    """(labels,) share of items in which each label is chosen, in [0, 1]; sums to 1."""
    ties: int
    """Items whose highest score occurs more than once; the first label counts as chosen."""
    near_ties: int
    """Items whose two highest scores are within 0.05 nats of each other: what half precision may decide otherwise."""
    per_token: Estimate | None = None
    """Accuracy by log-probability a token, in [0, 1]; Wilson interval; None where scoring is not `exact`."""
    contextual: Estimate | None = None
    """Accuracy calibrated by a content-free prompt, in [0, 1]; Wilson interval; None where it was not scored."""


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
    """The same, corrected over all tasks and languages of the comparison, in [0, 1]."""
    minimum_detectable: float
    """Smallest gain these items would have shown with 80% power, in (0, 1]."""
    discrimination: Estimate | None
    """Its part due to better ranking of the labels, in [-1, 1]; None where golds are unbalanced."""
    label_prior: Estimate | None
    """The rest of it: preference for a label, whatever the item, that went; in [-1, 1]; None likewise."""
    verdict: Verdict
    """What the difference says, corrected for the number of tasks and languages."""
    possible_harm: bool
    """Whether, of 30 items or more, the uncorrected interval lies wholly below 0: possible harm, worth a look."""


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
    """The same as a claim about languages in general, as if others had been drawn; None with fewer than two."""
    tuned: Estimate | None
    """Mean difference over the languages tuned on; None where none is measured."""
    overall: Estimate
    """Mean difference over all languages measured."""
    pivot: Estimate | None
    """Difference in the pivot (English); None where it is not measured."""
    worst_language: str
    """Code of the language with the smallest difference."""
    worst: Estimate
    """Its difference; `low` is the lowest end of all languages' intervals: a bound for every language."""
    discrimination: Estimate | None
    """Mean over unseen languages of the discrimination part; None where one of them withholds it."""
    label_prior: Estimate | None
    """Mean over unseen languages of its label-prior part; None likewise."""
    minimum_detectable: float | None
    """Smallest mean gain over unseen languages that would have shown with 80% power; None without any."""
    by_property: tuple[GroupGain, ...]
    """The primary endpoint by resource tier, script and family."""
    verdict: Verdict | None
    """What the primary endpoint says; None without unseen languages."""
    sentence: str
    """The verdict in one sentence, with what moved or what could have been seen."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two arms compared: everything the report says about accuracy."""

    gains: tuple[Gain, ...]
    """One a task and language; tasks in the order given, languages in the paper's."""
    summaries: tuple[Summary, ...]
    """One a task."""
    margin: float
    """Differences within ± this share count as equivalent; 0.02 is two points."""
    correction: str
    """How p-values were adjusted: `holm` or `benjamini-hochberg`."""
    sentence: str
    """The verdicts of all tasks in one sentence."""


@dataclass(frozen=True, slots=True)
class ItemScores:
    """The items of one task and language, with what both arms say to each: what every number comes from."""

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
    """(items, labels) those of the arm with adapter."""
    clusters: tuple[str, ...] = ()
    """(items,) first id of the cluster that an item shares; an empty text, or none at all, where it shares none."""
