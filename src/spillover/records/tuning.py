"""What tuning did: losses, translations and forgetting."""

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
    """Translations of held-out examples of the first phase."""
    parts: tuple[LearnedPart, ...] = ()
    """What was drawn from each part of each phase; none where the mixture lists no phases."""


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
