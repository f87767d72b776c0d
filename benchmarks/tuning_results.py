"""What `tuning.py` measures: its rows, the comparison of their losses, and their tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import median
from typing import Any

from scoring import table

CONTRASTIVE = "contrastive"
"""The method that has no rival: another objective on the same pairs."""
TOLERANCE = 1e-4
"""Largest difference of the loss of a rival's step from ours, as a share of ours."""
WANTED = {"target tokens a second": 1.8, "peak memory": 0.6}
"""How many times TRL's we mean to reach on two cores: at least, and at most."""


@dataclass(frozen=True, slots=True)
class Result:
    """One contender's run."""

    method: str
    """What it tunes: a name of `METHODS`, or `CONTRASTIVE`."""
    contender: str
    examples: int
    steps: int
    target_tokens: int
    """Tokens that are learned, over the run; 0 if states are compared."""
    learned: int
    """Number of weights that learn."""
    seconds: float
    losses: tuple[float, ...]
    """(steps,) loss of each step, in nats a target token; `CONTRASTIVE`: in nats a text."""
    peak: float
    """Peak memory of the process (on a GPU: of its allocator), in MB."""
    beyond_model: float
    """What imports and weights leave of it."""

    @property
    def rate(self) -> float:
        """Target tokens a second."""
        return self.target_tokens / self.seconds


def as_result(row: dict[str, Any]) -> Result:
    """Return a row of the JSON file."""
    return Result(**row | {"losses": tuple(row["losses"])})


def check(rows: Sequence[Result]) -> None:
    """Stop if a rival learned something else."""
    for row in rows:
        difference = largest_difference(row, rows)
        if difference is not None and difference > TOLERANCE:
            raise SystemExit(f"{row.method}: a step's loss of {row.contender} is {difference:.1e} of ours off ours")


def largest_difference(row: Result, rows: Sequence[Result]) -> float | None:
    """Return the largest difference of a step's loss from ours, as a share of ours; None if ours learned other rows."""
    mine = [one for one in rows if one.contender == "ours" and one.method == row.method and one.steps == row.steps]
    if not mine or mine[0].target_tokens != row.target_tokens:
        return None
    return max(abs(loss - own) / own for loss, own in zip(row.losses, mine[0].losses, strict=True))


def tables(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    rows = [as_result(row) for row in results["rows"]]
    wanted = ", ".join(f"{name} {times}×" for name, times in WANTED.items())
    parts = ["# Speed of tuning\n", f"Medians over turns. Wanted against TRL: {wanted}.\n", contest(rows)]
    if pairs := objectives(rows):
        parts += ["## A pair's cost by objective, with ours\n", pairs]
    if results["llama_shapes"]:
        lines = [
            [name, *(f"{value:,.2f}" for value in shape.values())] for name, shape in results["llama_shapes"].items()
        ]
        columns = [name.replace("_", " ") for name in next(iter(results["llama_shapes"].values()))]
        parts += ["## Random weights in Llama's shapes, bf16\n", table(["shape", *columns], lines)]
    parts += ["## Machine\n", table(["", ""], [list(pair) for pair in results["machine"].items()])]
    return "\n".join(parts)


def contest(rows: Sequence[Result]) -> str:
    """Return a row per method and contender."""

    def middle(method: str, contender: str, value: Callable[[Result], float]) -> float:
        """Return a median over turns; nan without any."""
        values = [value(row) for row in rows if (row.method, row.contender) == (method, contender)]
        return median(values) if values else float("nan")

    head = ["method", "contender", "examples", "weights that learn", "target tokens a second", "ours is faster"]
    head += ["peak memory, MB", "ours over it", "beyond the model, MB", "ours over it", "loss, first to last step"]
    head += ["largest difference from ours"]
    body = []
    for row in {(row.method, row.contender): row for row in rows if row.method != CONTRASTIVE}.values():
        key = row.method, row.contender
        rate = middle(*key, attrgetter("rate"))
        line = [*key, str(row.examples), f"{row.learned:,}", f"{rate:.1f}"]
        line.append(f"{middle(row.method, 'ours', attrgetter('rate')) / rate:.2f}×")
        for field in ("peak", "beyond_model"):
            own, other = (middle(row.method, one, attrgetter(field)) for one in ("ours", row.contender))
            line += [f"{other:,.0f}", f"{own / other:.2f}×"]
        line.append(f"{row.losses[0]:.4f} to {row.losses[-1]:.4f}")
        difference = largest_difference(row, rows)
        body.append([*line, "" if difference is None else f"{difference:.0e}"])
    return table(head, body)


def objectives(rows: Sequence[Result]) -> str:
    """Return the cost of a pair when states are compared, and when its translation is learned; empty without both."""
    lines = []
    for method, name in (("lora", "question-translation"), (CONTRASTIVE, CONTRASTIVE)):
        own = [row for row in rows if (row.method, row.contender) == (method, "ours")]
        if not own:
            return ""
        seconds = median(row.seconds / row.examples for row in own)
        lines.append([name, str(own[0].examples), f"{seconds:.3f}", f"{median(row.peak for row in own):,.0f}"])
    return table(["objective", "pairs", "seconds a pair", "peak memory, MB"], lines)
