"""How fast the harness is with our backend: `spillover` and `hf` on the same requests and the same weights, in turn.

Writes a JSON file and, beside it, its table as Markdown. Time includes tokenization and excludes loading and rendering.
Stops if two answers differ in float32, where `hf` sums its softmax in float64.
"""

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from rivals import now
from saving import add_out, save
from scoring import facts, table
from spillover.harness.backend import SpilloverLM
from spillover.models.load import load
from spillover.records import Prompt
from spillover.sources import open_source
from spillover.tasks import open_task
from spillover.utils.progress import notify
from workload import lengthened, sample

TOLERANCE = 1e-4
"""Largest difference of two log-likelihoods in float32, in nats."""

LOGITS = 4096
"""Positions of a batch of `hf` beyond which it is not tried: it keeps the logits of all, here more than 4 GB."""

Shape = Callable[[Prompt, Sequence[Prompt], random.Random], list[tuple[str, str]]]
"""A prompt, all prompts, a source of randomness → the contexts and continuations that the harness asks about it."""

LETTERS = (" A", " B", " C")


def _asked(prompt: Prompt, header: str, choices: Sequence[str]) -> list[tuple[str, str]]:
    return [(header + prompt.body, choice) for choice in choices]


def _drawn(prompts: Sequence[Prompt], draw: random.Random) -> str:
    """Return as many shots as the task has, others for each item: what `sampler: default` does."""
    shots = draw.choices(prompts, k=len(prompts[0].exemplars))
    return "".join(shot.body + shot.choices[0] for shot in shots)


def _sentences(prompt: Prompt) -> list[tuple[str, str]]:
    """Ask as XNLI does: no context, each choice a whole text."""
    premise, hypothesis = (line.partition(": ")[2] for line in prompt.body.split("\n")[:2])
    return [("", f"{premise}, right? {word}, {hypothesis}") for word in ("Yes", "Also", "No")]


SHAPES: dict[str, tuple[Shape, float]] = {
    "fixed shots, letters": (lambda prompt, prompts, draw: _asked(prompt, prompt.header, LETTERS), 5),
    "fixed shots, words": (lambda prompt, prompts, draw: _asked(prompt, prompt.header, prompt.choices), 5),
    "drawn shots, words": (lambda prompt, prompts, draw: _asked(prompt, _drawn(prompts, draw), prompt.choices), 5),
    "drawn shots, letters": (lambda prompt, prompts, draw: _asked(prompt, _drawn(prompts, draw), LETTERS), 2.5),
    "no shots, words": (lambda prompt, prompts, draw: _asked(prompt, "", prompt.choices), 0.95),
    "no shots, letters": (lambda prompt, prompts, draw: _asked(prompt, "", LETTERS), 0.95),
    "no context, sentences": (lambda prompt, prompts, draw: _sentences(prompt), 0.95),
}
"""Shape of a task → what is asked, and how many times faster than `hf` we mean to be on two cores."""


@dataclass(frozen=True, slots=True)
class Row:
    """One shape."""

    shape: str
    items: int
    """Items of ours; three requests each."""
    rival_items: int
    """Those that `hf` was timed on."""
    items_per_second: float
    rival: dict[int, float]
    """Its items a second at each batch size."""
    wanted: float

    @property
    def ratio(self) -> float:
        """Times faster than the best batch size of `hf`."""
        return self.items_per_second / max(self.rival.values())


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=120, help="items a shape (%(default)s)")
    parser.add_argument("--rival-items", type=int, default=16, help="items that hf is timed on (%(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16], help="hf's batch sizes (%(default)s)")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES), metavar="SHAPE")
    parser.add_argument("--model", default="gemma-3-270m", help="%(default)s")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    add_out(parser, "harness")
    return parser.parse_args()


def main() -> None:
    """Run every shape."""
    asked = parse()
    model = load(asked.model, asked.dtype)
    ours, rival = (kind(model.network, tokenizer=model.tokenizer) for kind in (SpilloverLM, HFLM))
    task = open_task("entailment")
    items = lengthened(task.name, open_source("starter", {}, "benchmark").items(task, "en"), asked.items)
    prompts = [task.prompt(item) for item in items]
    rows = []
    for shape in asked.shapes:
        rows.append(compete(ours, rival, shape, prompts, asked))
        notify(f"{shape}: {rows[-1].ratio:.1f} times faster, {rows[-1].wanted} wanted")
    found = {"rows": [asdict(row) | {"ratio": row.ratio} for row in rows], "machine": facts(asked)}
    body = [[row.shape, f"{row.items_per_second:.2f}", f"{row.ratio:.1f}×", f"{row.wanted}×"] for row in rows]
    save(asked.out, found, table(["shape", "items a second", "than hf, best batch", "wanted"], body))


def compete(ours: SpilloverLM, rival: HFLM, shape: str, prompts: Sequence[Prompt], asked: argparse.Namespace) -> Row:
    """Time one shape: ours on all items, `hf` on some that are like all in length, at each of its batch sizes.

    Half of ours comes before the rival and half after it, so that a machine that slows down slows both.
    """
    ask, wanted = SHAPES[shape]
    draw = random.Random(0)
    requests = [ask(prompt, prompts, draw) for prompt in prompts]
    chosen = sample(prompts, asked.rival_items)
    sampled, half = [requests[index] for index in chosen], len(requests) // 2
    timed(ours, requests[:2])
    timed(rival, requests[:2])
    found, seconds = timed(ours, requests[:half])
    longest = max(len(rival.tok_encode(context + text)) for request in sampled for context, text in request)
    rates = {}
    for batch in asked.batches:
        if batch == 1 or batch * longest <= LOGITS:
            rival.batch_size_per_gpu = batch
            _, rival_seconds = timed(rival, sampled)
            rates[batch] = len(sampled) / rival_seconds
    rest, more = timed(ours, requests[half:])
    if asked.dtype == "float32":
        # over 262,144 words hf's log-softmax is off by several 1e-5 a token in float32, so it sums in float64 for this
        rival.batch_size_per_gpu, rival.softmax_dtype = 1, torch.float64
        expected, _ = timed(rival, sampled[::2])
        rival.softmax_dtype = None
        every = found + rest
        agree(shape, [answer for index in chosen[::2] for answer in every[3 * index : 3 * index + 3]], expected)
    return Row(shape, len(requests), len(chosen), len(requests) / (seconds + more), rates, wanted)


def timed(lm: HFLM, requests: Sequence[Sequence[tuple[str, str]]]) -> tuple[list[Any], float]:
    """Return a backend's answers and the seconds it took."""
    pairs = [pair for of_item in requests for pair in of_item]
    instances = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    begun = now()
    return lm.loglikelihood(instances, disable_tqdm=True), now() - begun


def agree(shape: str, found: Sequence[tuple[float, bool]], expected: Sequence[tuple[float, bool]]) -> None:
    """Stop if two answers differ."""
    for mine, other in zip(found, expected, strict=True):
        if abs(mine[0] - other[0]) > TOLERANCE or mine[1] != other[1]:
            raise SystemExit(f"{shape}: found {mine} and {other}, expected equal answers")


if __name__ == "__main__":
    main()
