"""Where the time of scoring goes: `scoring.py --profile`. One thread, seconds of the processor.

Every operation of torch is timed and counted to the part of the network whose module calls it. What is left inside the
network is Python between operations. Timing adds a few microseconds per operation, which count as Python too.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from rivals import Backbone, Ours, best_product
from spillover.models.model import Model
from workload import Cell

PRODUCTS, PYTHON = "products over weights", "Python between operations"
OUTSIDE, HEAD = "tokens, plans and masks: Python", "unembedding, softmax and masks: torch"
BY_MODULE = {
    "Linear": PRODUCTS,
    "Norm": "norms",
    "Embedding": "embedding and tables of rotation",
    "Attention": "rotation of queries and keys, copies",
    "GELU": "activation",
    "MLP": "activation",
    "Layer": "residual sums",
}
"""Part of a module's class name → part of the time; the first that fits."""
BY_OPERATION = {
    "scaled_dot_product_attention": "attention",
    "cat": "keys and values of the prefix before a batch's own: copies",
}
"""Operations that are parts of their own wherever they are."""


class Timer(TorchFunctionMode):
    """Adds up seconds by part; each second counts once, for the innermost part."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open = [OUTSIDE]
        self._modules = [HEAD]
        self._last = time.process_time()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever an operation returns
        """Run one operation and count its time."""
        name = getattr(func, "__name__", "")
        with self.part(BY_OPERATION.get(name, self._modules[-1])):
            return func(*args, **(kwargs or {}))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block for a part."""
        self._tick()
        self._open.append(name)
        try:
            yield
        finally:
            self._tick()
            self._open.pop()

    @contextmanager
    def modules(self) -> Iterator[None]:
        """Follow which module is running, within the block."""
        hooks = register_module_forward_pre_hook(self._enter), register_module_forward_hook(self._leave)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, module: torch.nn.Module, inputs: object) -> None:
        self._tick()
        kind = type(module).__name__
        self._modules.append(next((part for name, part in BY_MODULE.items() if name in kind), PYTHON))
        self._open.append(PYTHON)

    def _leave(self, module: torch.nn.Module, inputs: object, output: object) -> None:
        self._tick()
        self._modules.pop()
        self._open.pop()

    def _tick(self) -> None:
        instant = time.process_time()
        self.seconds[self._open[-1]] += instant - self._last
        self._last = instant


def profile(model: Model, cell: Cell) -> list[list[str]]:
    """Score a cell with a timer; return per part its name, its milliseconds per item, and its share of the whole.

    The time of products over weights is split in three: what the tokens that are read need at the rate of the best
    plain product, what padding adds at this rate, and what the products take beyond both.
    """
    ours, threads = Ours(model), torch.get_num_threads()
    linear = [module for module in model.backbone.modules() if isinstance(module, torch.nn.Linear)]
    computed: list[int] = []
    counter = linear[0].register_forward_pre_hook(lambda module, inputs: computed.append(inputs[0].shape[:-1].numel()))
    torch.set_num_threads(1)
    try:
        rate = best_product(model.network.dtype, model.device, time.process_time)
        ours(cell.prompts[:2])
        computed.clear()
        timer = Timer()
        with timer.modules(), timer:
            ours(cell.prompts)
    finally:
        torch.set_num_threads(threads)
        counter.remove()
    read, weights = Backbone(ours, cell.prompts).read, sum(module.weight.numel() for module in linear)
    needed, padding = (2.0 * weights * tokens / rate for tokens in (read, sum(computed) - read))
    return rows(timer.seconds, needed, padding, len(cell.prompts))


def rows(seconds: Mapping[str, float], needed: float, padding: float, items: int) -> list[list[str]]:
    """Return the table's rows: products in their three parts, then the other parts, the longest first."""
    others = sorted((part for part in seconds if part != PRODUCTS), key=lambda part: -seconds[part])
    parts = {
        f"{PRODUCTS}: tokens, at the best rate": needed,
        f"{PRODUCTS}: padding, at the best rate": padding,
        f"{PRODUCTS}: slower than the best": seconds[PRODUCTS] - needed - padding,
    } | {part: seconds[part] for part in others}
    whole = sum(seconds.values())
    return [[part, f"{1000 * value / items:.2f}", f"{value / whole:.1%}"] for part, value in parts.items()]
