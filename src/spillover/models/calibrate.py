"""Measure how fast this machine computes blocks of a model's sizes. A process of its own, started by `speed`.

It reads a request as JSON from standard input and writes a `Speed` as JSON. The weights are random: time does not
depend on them.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import cycle
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

from spillover.models.load import resolve_dtype
from spillover.models.shape import ModelShape
from spillover.models.speed import Speed

BUDGET = 0.6
"""Seconds of measurement for each of five works. The fastest of many short repetitions counts, since other processes
disturb most of them."""

MOST_WEIGHTS = 1 << 26
"""Weights in memory at most, 268 MB in float32. Wider blocks are measured as narrower ones of the same proportions."""

ROWS = {"cpu": 8, "cuda": 512}
"""Device → sequences of a pass."""

LENGTH = 32
"""Tokens of a sequence."""

WRITTEN = 8
"""Texts that are written at once."""

POSITIONS = 64
"""Positions whose next token is predicted in one pass."""

Weights = dict[str, Tensor]
"""Name of a linear map → its weights (output, input)."""


def measure(shape: ModelShape, dtype: str, threads: int) -> Speed:
    """Return the seconds of this machine for each of the four kinds of work.

    Args:
        shape: the sizes of the model.
        dtype: the precision of the weights; `auto` is resolved by `resolve_dtype`.
        threads: number of threads.
    """
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options: dict[str, Any] = {"dtype": getattr(torch, resolve_dtype(dtype)), "device": device}
    small = narrowed(shape, MOST_WEIGHTS)
    count = max(1, min(shape.layers, MOST_WEIGHTS // small.block))
    blocks = cycle(  # as in a model, a block's weights have left the processor's cache when it is used again
        [
            {name: torch.randn(out, size, **options) / size**0.5 for name, (size, out) in small.maps.items()}
            for _ in range(count)
        ]
    )
    states = torch.randn(ROWS[device], LENGTH, small.width, **options)
    learned = states.clone().requires_grad_()
    rows = min(shape.vocabulary, MOST_WEIGHTS // small.width)
    head = torch.randn(rows, small.width, **options)

    def learn() -> None:
        torch.autograd.backward(passed(learned, next(blocks), small).float().sum())

    tokens, per_model = states[..., 0].numel(), shape.layers * shape.block / small.block
    per_head = shape.vocabulary * shape.width / (rows * small.width)
    flat = states.reshape(-1, small.width)
    with torch.inference_mode():
        read = fastest(lambda: passed(states, next(blocks), small)) / tokens
        step = fastest(lambda: passed(states[:WRITTEN, :1], next(blocks), small)) / WRITTEN
        choice = fastest(lambda: linear(flat[:WRITTEN], head)) / WRITTEN
        unembed = fastest(lambda: linear(flat[:POSITIONS], head)) / POSITIONS
    return Speed(
        read=read * per_model,
        learn=fastest(learn) / tokens * per_model,
        write=step * per_model + choice * per_head,
        unembed=unembed * per_head,
    )


def narrowed(shape: ModelShape, most: int) -> ModelShape:
    """Return a shape of the same proportions whose block has about `most` weights, if this one has more."""
    ratio = (most / shape.block) ** 0.5
    if ratio >= 1:
        return shape
    heads, groups = shape.queries // shape.head, shape.queries // shape.keys
    key_heads = max(1, round(heads * ratio / groups))
    return replace(
        shape,
        width=max(1, round(shape.width * ratio)),
        inner=max(1, round(shape.inner * ratio)),
        queries=key_heads * groups * shape.head,
        keys=key_heads * shape.head,
    )


def passed(states: Tensor, weights: Weights, shape: ModelShape) -> Tensor:
    """Return the states (rows, tokens, width) after a block: attention and a gated MLP, each behind a norm."""
    rows, length, width = states.shape
    normed = rms_norm(states, (width,))
    queries, keys, values = (
        linear(normed, weights[name]).view(rows, length, -1, shape.head).transpose(1, 2)
        for name in ("q_proj", "k_proj", "v_proj")
    )
    groups = queries.shape[1] // keys.shape[1]
    keys, values = (each.repeat_interleave(groups, dim=1) for each in (keys, values))
    attended = scaled_dot_product_attention(queries, keys, values, is_causal=True)
    states = states + linear(attended.transpose(1, 2).reshape(rows, length, -1), weights["o_proj"])
    normed = rms_norm(states, (width,))
    gated = silu(linear(normed, weights["gate_proj"])) * linear(normed, weights["up_proj"])
    return states + linear(gated, weights["down_proj"])


def fastest(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest repetition of some work, after one that is not counted.

    On a processor, a repetition counts with its processor time if this is less than its time: then it had to wait for
    other processes.
    """
    work()
    times: list[float] = []
    end = time.monotonic() + BUDGET
    while not times or time.monotonic() < end:
        _wait()
        start, busy = time.perf_counter(), time.process_time()
        work()
        _wait()
        busy, taken = time.process_time() - busy, time.perf_counter() - start
        times.append(taken if torch.cuda.is_available() else min(taken, busy))
    return min(times)


def _wait() -> None:
    """Wait for the GPU, which computes while Python goes on."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    request = json.load(sys.stdin)
    print(json.dumps(asdict(measure(ModelShape(**request["shape"]), request["dtype"], request["threads"]))))  # noqa: T201
