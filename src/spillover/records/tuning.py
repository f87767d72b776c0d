"""What tuning did beside the task: what it learned, whether it translates, what it forgot."""

from dataclasses import dataclass

from spillover.records.estimates import Estimate


@dataclass(frozen=True, slots=True)
class Translation:
    """What the model wrote, greedily, for an example held out of tuning."""

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
class Tuning:
    """What happened in tuning. Its stages follow one another, each with held-out examples of its own."""

    losses: tuple[float, ...]
    """Mean loss of each step's target tokens, in nats."""
    validation: tuple[float, ...]
    """The same on the held-out examples, if any: before the first step, then after each epoch."""
    examples: int
    """Examples learned from."""
    left_out: int
    """Examples longer than the cutoff."""
    target_tokens: int
    """Target tokens of one epoch."""
    chrf: tuple[float, ...]
    """chrF of the translations before and after, in [0, 100]; empty where nothing was translated."""
    translations: tuple[Translation, ...]
    """Held-out examples of the first stage, translated."""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """How well each arm still predicts the texts of one language. Differences are tuned − base; below 0 is better."""

    language: str
    """Code of the language."""
    n: int
    """Number of texts, those of every task measured."""
    bytes: int
    """Their length in UTF-8."""
    base: Estimate
    """Bits per byte of the arm without adapter, at least 0; item bootstrap."""
    tuned: Estimate
    """Bits per byte of the arm with adapter."""
    difference: Estimate
    """Difference of the two; paired bootstrap of items."""
