"""Two arms compared: from one arm in one cell to the verdict on a task, and the items that every number comes from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spillover.records.estimates import Estimate
from spillover.records.outcomes import Reason

if TYPE_CHECKING:
    from pandas import DataFrame

FALSE_ALARM_RATE = 0.025
"""Highest chance, per language, of a false possible harm: the share beyond one end of a 95% interval."""

Verdict = Literal["improved", "harmed", "equivalent", "inconclusive"]
"""What a difference shows. `docs/statistics.md` has the rules."""


@dataclass(frozen=True, slots=True)
class ChoiceMetrics:
    """What the scores of the labels tell about one arm in one task and language."""

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
    per_character: Estimate | None = None
    """Accuracy by log-probability per character of the choice, in [0, 1]; None unless the task asks for it."""
    per_byte: Estimate | None = None
    """The same per byte."""


@dataclass(frozen=True, slots=True)
class AnswerMetrics:
    """What became of the answers in words of one arm in one task and language."""

    reasons: tuple[float, ...]
    """(reasons,) share of items with each of `REASONS`, in [0, 1]; sums to 1."""
    in_language: float | None = None
    """Share of answers in no other language than the one asked for, in [0, 1]; None where any will do."""
    lines_in_language: float | None = None
    """Share of answers whose lines all are, of those that tell (line-level pass rate), in [0, 1]; None if none does."""


@dataclass(frozen=True, slots=True)
class ArmMetrics:
    """How one arm does in one task and language."""

    score: Estimate
    """Mean score of the items, in [0, 1]: for choices the accuracy. Wilson interval."""
    choices: ChoiceMetrics | None = None
    """The part that only tasks with labels have."""
    answers: AnswerMetrics | None = None
    """The part that only tasks with answers in words have."""


@dataclass(frozen=True, slots=True)
class ChoiceGain:
    """The part of a gain that only tasks with labels have."""

    chance: float
    """Accuracy of guessing: 1 / number of labels."""
    gold: tuple[float, ...]
    """(labels,) share of items whose right label this is, in [0, 1]; sums to 1."""
    discrimination: Estimate | None
    """The part of the gain due to better ranking of the labels. In [-1, 1]; None if golds are unbalanced."""
    label_prior: Estimate | None
    """The part of the gain due to a weaker bias toward one label. In [-1, 1]; None if golds are unbalanced."""
    margin: Estimate
    """Change of the gold margin, the right label's score − logsumexp of the others', nats; Student's interval."""
    margin_detectable: float
    """Smallest change of the gold margin, in nats, that these items would show with 80% power; above 0."""
    per_character: Estimate | None = None
    """Difference of the accuracies per character, in [-1, 1]; None unless the task asks for it."""
    per_byte: Estimate | None = None
    """The same per byte."""


@dataclass(frozen=True, slots=True)
class ReasonPart:
    """The part of a gain that one reason for a lower score accounts for."""

    reason: Reason
    """Any reason but `right`, whose part is 0."""
    part: Estimate
    """Mean score lost for this reason in the reference − in the arm, in [-1, 1]. The parts sum to the gain."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What differs between two arms in one task and language. Differences are arm − reference; 0.01 is one point."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    group: Literal["unseen", "tuned", "pivot"]
    """Whether tuning read this language (`tuned`), wrote it (`pivot`), or neither (`unseen`)."""
    n: int
    """Number of items, the same in both arms."""
    reference: ArmMetrics
    """The arm that the other one is compared with."""
    arm: ArmMetrics
    """The other arm."""
    difference: Estimate
    """Difference of the mean scores, in [-1, 1]; score interval of paired shares, `n` independent units."""
    fixed: int
    """Items with a higher score in the arm than in the reference: for choices, wrong before and right now."""
    broken: int
    """Items with a lower score in the arm than in the reference."""
    p: float
    """Paired test by clusters, two-sided, in [0, 1]: McNemar's for scores of 0 and 1, else of all signs."""
    p_adjusted: float
    """`p` corrected for the number of tests of all comparisons, in [0, 1]."""
    minimum_detectable: float
    """Smallest gain that these items would show with 80% power, in (0, 1]."""
    choices: ChoiceGain | None
    """The part that only tasks with labels have."""
    reasons: tuple[ReasonPart, ...]
    """The gain split by reason; empty for tasks with labels."""
    answer_language: Estimate | None
    """Difference of the shares of answers in the language asked for, in [-1, 1]; None where there is no such share."""
    language_harm: bool
    """Whether the interval of `answer_language`, over 30 items or more, lies wholly below 0."""
    verdict: Verdict
    """What the difference shows, corrected for the number of tests of all comparisons."""
    possible_harm: bool
    """Whether the uncorrected interval of 30 items or more lies wholly below 0, and the corrected one not within the
    margin."""


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
    """Mean difference of the scores over them, in [-1, 1]; score interval over items."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What differs between two arms in one task, over languages. Differences are arm − reference; 0.01 is one point."""

    task: str
    """Name of the task."""
    n: int
    """Number of items that occur in at least one language."""
    reference_score: Estimate
    """Mean score of the reference over all languages, in [0, 1]; score interval over items."""
    arm_score: Estimate
    """Mean score of the arm over all languages, in [0, 1]; score interval over items."""
    unseen: Estimate | None
    """The primary endpoint: mean difference over unseen languages; score interval over items; None without any."""
    unseen_general: Estimate | None
    """The primary endpoint for languages in general: its interval covers their choice. None with fewer than two."""
    tuned: Estimate | None
    """Mean difference over the languages tuned on; None where none is measured."""
    overall: Estimate
    """Mean difference over all languages measured."""
    pivot: Estimate | None
    """Difference in the pivot; None where it is not measured."""
    worst_language: str
    """Code of the language with the smallest difference."""
    worst: Estimate
    """The difference of `worst_language`. Its `low` is the lowest end of all languages' intervals."""
    discrimination: Estimate | None
    """Mean discrimination over unseen languages; None without labels, or if one of them has unbalanced golds."""
    label_prior: Estimate | None
    """Mean label prior over unseen languages; None without labels, or if one of them has unbalanced golds."""
    reasons: tuple[ReasonPart, ...]
    """The primary endpoint split by reason; empty for tasks with labels, or without unseen languages."""
    minimum_detectable: float | None
    """Smallest mean gain over unseen languages that these items would show with 80% power; None without any."""
    margin: Estimate | None
    """Mean change of the gold margin over unseen languages, nats; Student's interval. None without labels or them."""
    margin_detectable: float | None
    """Smallest such mean change that these items would show with 80% power, nats; None where there is none."""
    per_character: Estimate | None
    """Mean difference over unseen languages of the accuracy per character; None unless the task asks for it."""
    per_byte: Estimate | None
    """The same per byte."""
    by_property: tuple[GroupGain, ...]
    """The primary endpoint by resource tier, script and family."""
    verdict: Verdict | None
    """What the primary endpoint shows; None without unseen languages."""
    sentence: str
    """The verdict in one sentence, with the part that changed or the minimum detectable gain."""

    def _repr_html_(self) -> str:
        from spillover.records.notebook import paragraph

        return paragraph(self.sentence)

    def to_pandas(self) -> "DataFrame":
        """Return one row with every number, without the groups of `by_property`: columns as in `summary.csv`."""
        from spillover.records.frames import data_frame

        return data_frame(Summary, [({}, self)])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two arms compared: everything the report says about scores."""

    reference: str
    """Name of the arm that the other one is compared with."""
    arm: str
    """Name of the other arm."""
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

    def _repr_html_(self) -> str:
        from spillover.records.notebook import of_comparison

        return of_comparison(self)

    def to_pandas(self) -> "DataFrame":
        """Return a row per task and language with every number of its `Gain`: columns as in `gains.csv`.

        Scores are in [0, 1] and differences in [-1, 1]. An estimate has four columns: `difference`, `difference_low`,
        `difference_high` and `difference_n`. A column without any value is left out.
        """
        from spillover.records.frames import data_frame

        arms = {"reference": self.reference, "arm": self.arm}
        return data_frame(Gain, [(arms, gain) for gain in self.gains])


@dataclass(frozen=True, slots=True)
class ItemScores:
    """The items of one task and language with the scores of all arms. Every number is computed from these."""

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
    arms: tuple[str, ...]
    """Names of the arms."""
    logprobs: tuple[tuple[tuple[float, ...], ...], ...]
    """(arms, items, labels) log-probabilities, nats."""
    clusters: tuple[str, ...] = ()
    """(items,) first id of the item's cluster; empty if the item shares none."""


@dataclass(frozen=True, slots=True)
class ItemAnswers:
    """The items of one task and language that are answered in words, with what all arms wrote."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    ids: tuple[str, ...]
    """(items,) ids of the items."""
    texts: tuple[tuple[str, ...], ...]
    """(items, fields) their texts."""
    golds: tuple[tuple[str, ...], ...]
    """(items, answers) the answers that count as right."""
    arms: tuple[str, ...]
    """Names of the arms."""
    answers: tuple[tuple[str, ...], ...]
    """(arms, items) the texts written."""
    scores: tuple[tuple[float, ...], ...]
    """(arms, items) their scores, in [0, 1]."""
    reasons: tuple[tuple[Reason, ...], ...]
    """(arms, items) why each has its score."""
    clusters: tuple[str, ...] = ()
    """(items,) first id of the item's cluster; empty if the item shares none."""
