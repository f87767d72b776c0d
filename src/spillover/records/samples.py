"""Results of other tools: one item as a model answered it, whichever program asked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one item in one arm, as another tool's file has it."""

    item: str
    """The item's id, as a text."""
    task: str
    """The task, as the tool names it."""
    language: str
    """The language, as the file writes it; empty if the file has none."""
    score: float
    """In [0, 1]; 1 is right."""
    metric: str = ""
    """The metric of the score, as the tool names it; empty if the file says nothing of it."""
    digest: str = ""
    """A digest of the item's content; empty if the file has none."""
    texts: tuple[str, ...] = ()
    """The item's texts, for readers."""
    cluster: str = ""
    """What it shares with other items that are not independent of it, such as their passage; empty without any."""
    golds: tuple[str, ...] = ()
    """The answers that count as right, for readers."""
    answer: str = ""
    """What the model wrote, for readers."""
    labels: tuple[str, ...] = ()
    """The choices, in the order of `logprobs`."""
    gold: int = 0
    """Index of the right choice; it means nothing without `logprobs`."""
    logprobs: tuple[float, ...] = ()
    """log p(choice | prompt) in nats, one per choice; empty if the file has no scores of choices."""
