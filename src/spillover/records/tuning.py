"""What tuning did: losses, held-out pairs before and after, and forgetting."""

from dataclasses import dataclass

from spillover.records.estimates import Estimate


@dataclass(frozen=True, slots=True)
class Translation:
    """Greedy translations of an example held out of tuning."""

    id: str
    """The question's id."""
    language: str
    """Code of the source's language."""
    source: str
    """What the model read."""
    reference: str
    """What it should have written."""
    before: str
    """What it wrote before tuning."""
    after: str
    """What it wrote after tuning."""
    losses: tuple[float, ...] = ()
    """Mean loss of the reference's tokens before and after tuning, nats; empty in runs of version 0.1.0."""
    nearly_learned: bool | None = None
    """Whether tuning learned a pair of this language that is nearly the same in both texts; None: not looked for."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Whether the two texts of a held-out pair find each other among the held-out pairs of their language."""

    id: str
    """The question's id."""
    language: str
    """Code of the first text's language."""
    before: float
    """Share of the two directions in which the nearest text (cosine) is the partner, before tuning: 0, 0.5 or 1."""
    after: float
    """The same after tuning."""


@dataclass(frozen=True, slots=True)
class PairAlignment:
    """How alike the states of held-out pairs are, at the block where `contrastive` compares them."""

    language: str
    """Code of the first text's language."""
    metric: str
    """A name of the alignment metrics."""
    pairs: int
    """Number of pairs."""
    before: float
    """Value before tuning."""
    before_chance: float
    """Its mean over shuffled pairs."""
    after: float
    """Value after tuning."""
    after_chance: float
    """Its mean over shuffled pairs."""


@dataclass(frozen=True, slots=True)
class TranslationGain:
    """The held-out translations of one language, before and after tuning. Differences are after − before."""

    language: str
    """Code of the source's language; empty for all of them."""
    pairs: int
    """Number of pairs."""
    before: float
    """Mean chrF of the translations before tuning, in [0, 100]."""
    after: float
    """Mean chrF after tuning."""
    difference: Estimate
    """Mean difference of the two; Student's interval."""
    copied: float
    """Mean chrF of the sources themselves: what a model gets that copies."""
    over_copy: Estimate
    """Mean of chrF after tuning − chrF of the source."""
    over_other: Estimate | None
    """Mean of chrF after tuning − its chrF against another pair's reference; None without another reference."""
    loss_before: float | None
    """Mean loss of the references' tokens before tuning, nats, each pair alike; None if it was not measured."""
    loss_after: float | None
    """The same after tuning."""
    loss_difference: Estimate | None
    """Mean difference of the two; Student's interval."""


@dataclass(frozen=True, slots=True)
class RetrievalGain:
    """The held-out pairs of one language that find each other inside the model, before and after tuning."""

    language: str
    """Code of the first text's language; empty for all of them."""
    pairs: int
    """Number of pairs."""
    before: float
    """Share found before tuning, in [0, 1]."""
    after: float
    """Share found after tuning."""
    difference: Estimate
    """Mean difference of the two, in [-1, 1]; score interval."""


@dataclass(frozen=True, slots=True)
class TreatmentCheck:
    """Whether tuning taught what it was meant to teach: the manipulation check."""

    took: bool | None
    """Whether held-out pairs are better than before; None where it is not known."""
    sentence: str
    """The answer in words, with numbers."""
    translations: tuple[TranslationGain, ...] = ()
    """All languages together, then each; empty if no translation was learned or measured."""
    retrievals: tuple[RetrievalGain, ...] = ()
    """The same for pairs that are compared inside the model."""
    has_pairs: bool = True
    """Whether the mixture has pairs to learn from, so that shuffling them would make a control."""


@dataclass(frozen=True, slots=True)
class LearnedPart:
    """What tuning drew from one part of a phase."""

    phase: int
    """The phase, from 0."""
    name: str
    """The part's recipe, and its control if it has one."""
    examples: int
    """Number of its examples, without those held out."""
    drawn: int
    """Examples drawn from it; more than it has where its weight asks for more."""
    seen: int
    """Different examples among them."""
    target_tokens: int
    """Target tokens of the examples drawn."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A small evaluation of the model at one step of tuning.

    Its scores are means over languages per item, (items,), once over languages never tuned on and once over the others.
    """

    step: int
    """Optimizer steps before it, over all phases."""
    chrf: float | None
    """chrF of the greedy translations of all held-out pairs, in [0, 100]; None if there are none."""
    loss: float | None
    """Mean loss of the held-out pairs' target tokens, nats, each pair alike; None if there are none."""
    unseen: tuple[float, ...]
    """Share of the languages never tuned on in which each item was answered right; empty without such languages."""
    unseen_margins: tuple[float, ...]
    """Mean gold margin of each item in these languages, nats."""
    tuned: tuple[float, ...]
    """As `unseen`, in the languages tuned on."""
    tuned_margins: tuple[float, ...]
    """As `unseen_margins`, in the languages tuned on."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What happened in tuning. Each phase has held-out examples of its own."""

    losses: tuple[float, ...]
    """Mean loss of each step's target tokens, in nats."""
    validation: tuple[float, ...]
    """Mean loss of the held-out examples' target tokens, in nats: before the first step, then after each epoch."""
    examples: int
    """Examples learned from."""
    left_out: int
    """Examples left out because they are longer than the cutoff."""
    target_tokens: int
    """Target tokens of one epoch."""
    chrf: tuple[float, ...]
    """chrF of the translations before and after tuning, in [0, 100]; empty if nothing was translated."""
    translations: tuple[Translation, ...]
    """Translations of held-out examples."""
    parts: tuple[LearnedPart, ...] = ()
    """What was drawn from each part of each phase; none where the mixture lists no phases."""
    retrievals: tuple[Retrieval, ...] = ()
    """Held-out pairs of phases that compare pairs inside the model."""
    alignments: tuple[PairAlignment, ...] = ()
    """Alignment of these pairs, per language and metric."""
    probes: tuple[Probe, ...] = ()
    """Small evaluations at steps of tuning, in their order; none without `tune.probe_every`."""


@dataclass(frozen=True, slots=True)
class DoseGroup:
    """What a probe measured on the items of a task, as means over items; changes are since the first probe."""

    accuracy: float
    """Share of right answers, mean over languages, in [0, 1]."""
    change: Estimate
    """Change of the accuracy, in [-1, 1]; score interval over items."""
    margin: float
    """Mean gold margin, nats."""
    margin_change: Estimate
    """Change of the margin, nats; Student's interval over items."""


@dataclass(frozen=True, slots=True)
class DosePoint:
    """A probe of the model during tuning."""

    step: int
    """Optimizer steps before it, over all phases."""
    chrf: float | None
    """chrF of the greedy translations of all held-out pairs, in [0, 100]; None if there are none."""
    loss: float | None
    """Mean loss of the held-out pairs' target tokens, nats, each pair alike; None if there are none."""
    unseen: DoseGroup | None
    """In the languages never tuned on; None if no item was asked in any."""
    tuned: DoseGroup | None
    """In the languages tuned on."""


@dataclass(frozen=True, slots=True)
class Dose:
    """What the model is worth after each number of steps."""

    points: tuple[DosePoint, ...]
    """One per probe, in the order of tuning; at least one."""
    sentence: str
    """The best step beside the last one, with a caution; empty if no item was asked."""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """How well two arms predict the texts of one language. Differences are arm − reference; below 0 is better."""

    reference: str
    """Name of the arm that the other one is compared with."""
    arm: str
    """Name of the other arm."""
    language: str
    """Code of the language."""
    n: int
    """Number of texts, over all tasks measured."""
    bytes: int
    """Their length in UTF-8."""
    reference_bits: Estimate
    """Bits per byte of the reference, at least 0."""
    arm_bits: Estimate
    """Bits per byte of the arm, at least 0."""
    difference: Estimate
    """Difference of the two, over the same texts."""
