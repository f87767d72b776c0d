"""Settle on a GPU what a CPU cannot: speed, memory and exactness of every part, in under ten minutes.

    python benchmarks/gpu.py                # one GPU; no network, random weights
    python benchmarks/gpu.py --toy          # the same code in a tiny shape, on a CPU

Writes a JSON file and, beside it, a table as Markdown, after every part. Each part runs in a process of its own with a
limit of time: one that fails or takes too long does not stop the others.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import torch

from gpu_parts import PARTS
from saving import RESULTS, save
from shapes import SHAPES
from spillover.utils.environment import machine, versions
from spillover.utils.progress import notify

PLAN = (
    ("exactness", "toy"),
    *((part, "1B") for part in PARTS if part != "exactness"),
    ("scoring", "1B with windows"),
    ("scoring", "7B"),
    ("scoring by compiled layers", "7B"),
    ("scoring by vLLM", "7B"),
    ("scoring by SGLang", "7B"),
    ("tuning", "7B"),
    ("tuning by TRL", "7B"),
    ("generation", "7B"),
    ("scoring", "14B"),
    ("tuning", "14B"),
)
"""What is measured in which shape, the most wanted first within a shape."""

LIMIT, TOTAL = 90.0, 585.0
"""Seconds that one part may take, and all parts together."""

RIVALS = {
    "scoring by compiled layers": "scoring",
    "scoring by vLLM": "scoring",
    "scoring by SGLang": "scoring",
    "tuning by TRL": "tuning",
}
"""Part of a rival → the part of ours that does the same. Compiled layers are another way of ours."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a part."""

    part: str
    shape: str
    seconds: float
    """Of its process, imports and making the model included."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Empty if it failed."""
    failure: str = ""
    """Why it has no numbers; empty if it has."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="every part in a tiny shape")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json", help="%(default)s")
    parser.add_argument("--of", nargs=2, help=argparse.SUPPRESS)  # the part and the shape of a child
    return parser.parse_args()


def main() -> None:
    """Run the plan, or in a child one part."""
    options = parse()
    if options.of is not None:
        part, shape = options.of
        print(json.dumps(PARTS[part](SHAPES[shape])))
        return
    plan = [(part, "toy") for part in PARTS] if options.toy else PLAN
    outcomes: list[Outcome] = []
    begun = time.monotonic()
    for part, shape in plan:
        if part in options.parts:
            left = TOTAL - (time.monotonic() - begun)
            outcomes.append(run(part, shape, [sys.executable, __file__, "--of", part, shape], min(LIMIT, left)))
            notify(f"{part}, {shape}: {outcomes[-1].failure or shown(outcomes[-1].numbers)}")
            rows = [asdict(outcome) for outcome in outcomes]
            save(options.out, {"machine": facts(), "rows": rows}, tables(outcomes))


def run(part: str, shape: str, command: Sequence[str], limit: float) -> Outcome:
    """Run a command that prints numbers as JSON in its last line, for at most `limit` seconds."""
    if limit <= 0:
        return Outcome(part, shape, 0.0, failure="no time was left")
    begun = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return Outcome(part, shape, limit, failure=f"not done in {limit:.0f} s")
    seconds = time.monotonic() - begun
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Outcome(part, shape, seconds, failure=lines[-1][:200])
    return Outcome(part, shape, seconds, json.loads(done.stdout.splitlines()[-1]))


def facts() -> dict[str, str]:
    """Return what the numbers depend on."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return dict(versions()) | dict(machine()) | {"gpu": name, "date": date.today().isoformat()}


def shown(numbers: dict[str, float]) -> str:
    """Return numbers in words."""
    return "; ".join(f"{name} {value:.3g}" for name, value in numbers.items())


def tables(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a page, with each rival's ratio."""
    rates = {(o.part, o.shape): next(iter(o.numbers.values())) for o in outcomes if o.numbers}
    lines = [
        "# On a GPU\n",
        "| part | shape | seconds | numbers | times faster than a rival |",
        "|---|---|--:|---|--:|",
    ]
    for outcome in outcomes:
        rivals = {rival: rates.get((rival, outcome.shape)) for rival, ours in RIVALS.items() if ours == outcome.part}
        rate = rates.get((outcome.part, outcome.shape))
        ratio = ", ".join(f"{rate / other:.2f} ({rival})" for rival, other in rivals.items() if rate and other)
        result = outcome.failure or shown(outcome.numbers)
        lines.append(f"| {outcome.part} | {outcome.shape} | {outcome.seconds:.0f} | {result} | {ratio} |")
    body = [f"| {name} | {value} |" for name, value in facts().items()]
    return "\n".join([*lines, "", "## Machine\n", "| | |", "|---|---|", *body]) + "\n"


if __name__ == "__main__":
    main()
