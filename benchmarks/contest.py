"""Ours against its rivals over one model, cell by cell: rates, ratios, agreement of scores, growth."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
import torch

from llama_cpp_rival import LlamaCpp
from rivals import Backbone, Found, Harness, Ours, PaperLoop, now
from spillover.models.model import Model
from spillover.records import Prompt
from spillover.utils.progress import notify
from workload import Cell, sample

TOLERANCE = 1e-3
"""Largest difference of two contenders' scores in float32, in nats."""
GELU_TOLERANCE = 2e-2
"""The same for llama.cpp, whose GELU is a table of 65,536 half-precision numbers whatever the weights are."""

Rival = Harness | PaperLoop | LlamaCpp


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of rival."""

    label: str
    """What a row is called, with a place for the size."""
    open: Callable[[Model, Path, int], Rival]
    """Makes one of a size; the folder is for its files."""
    sizes: tuple[int, ...]
    """Those that are tried; the best one counts."""
    middle: int
    """The one that scores are compared with where no time counts."""


RIVALS = {
    "harness": Entry("harness, batch {}", lambda model, folder, size: Harness(model, size), (1, 4, 8, 16, 32), 4),
    "paper's loop": Entry("paper's loop", lambda model, folder, size: PaperLoop(model), (1,), 1),
    "llama.cpp": Entry("llama.cpp, {} tokens", LlamaCpp, (256, 512), 256),
}
"""Name → kind of rival."""


def open_rivals(names: Iterable[str], model: Model, folder: Path, every_size: bool = True) -> dict[str, Rival]:
    """Return the rivals of some kinds over one model: in every size, or in the middle one."""
    entries = [RIVALS[name] for name in names]
    sizes = [(entry, size) for entry in entries for size in (entry.sizes if every_size else (entry.middle,))]
    return {entry.label.format(size): entry.open(model, folder, size) for entry, size in sizes}


T = TypeVar("T")


@dataclass(slots=True)
class Lap:
    """Time spent on items, over all turns of a contender."""

    items: int = 0
    seconds: float = 0.0

    def run(self, work: Callable[[], T], items: int) -> T:
        """Run a turn on so many items and count it."""
        begun = now()
        found = work()
        self.seconds += now() - begun
        self.items += items
        return found

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.items / self.seconds


Laps = defaultdict[str, Lap]


@dataclass(frozen=True, slots=True)
class Row:
    """One contender in one cell."""

    task: str
    language: str
    dtype: str
    rival: str
    items: int
    """Items of the cell."""
    rival_items: int
    """Those it was timed on; 0 where its tensors would not fit the memory."""
    items_per_second: float | None
    ratio: float | None
    """Items per second of ours over its own; None for ours."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What else is asked of ours in one cell."""

    task: str
    language: str
    shared_tokens: int
    """Tokens of the prefix of all items, read once."""
    unshared_tokens: int
    """Those beyond it, over all items."""
    tokens_read: int
    """What ours reads in all: the prefix, and what a few items share beyond it, once."""
    unshared_tokens_per_second: float
    """Over the whole time of scoring: tokenization, prefix and unembedding included."""
    backbone_tokens_per_second: float
    """The bare backbone on plain batches of the same lengths, without prefix."""
    share_of_backbone: float
    """The one over the other; above 1 where items share more than the prefix."""
    share_of_backbone_reading: float
    """Tokens that ours reads, over the time it spends in the backbone, over the bare backbone's rate."""
    share_of_best_product: float
    """Operations a second in the matrix products over weights that ours needs, over the best plain product's."""
    twice_items: float | None
    """Time for all items over time for half of them."""
    twice_shots: float | None
    """Time with twice the exemplars over time."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a rival's scores are from ours."""

    task: str
    language: str
    dtype: str
    rival: str
    items: int
    """Items both scored."""
    compared: int
    """Those of them where both put the boundary between prompt and label at the same token."""
    largest_difference: float
    """Over their choices, in nats."""


class Contest:
    """Runs cells and keeps what it finds."""

    def __init__(self, model: Model, rivals: Mapping[str, Rival], rival_items: int, product: float) -> None:
        """Wrap the model for ours; `product` is the best matrix product's rate in operations a second."""
        self._ours = Ours(model)
        self._rivals = rivals
        self._rival_items = rival_items
        self._product = product
        self._dtype = str(model.network.dtype).removeprefix("torch.")
        self.rows: list[Row] = []
        self.measures: list[Measure] = []
        self.agreements: list[Agreement] = []

    def warm_up(self, cell: Cell) -> None:
        """Let each contender run two items, so that none pays for what is made once."""
        for contender in (self._ours, *self._rivals.values()):
            contender(cell.prompts[:2])

    def compete(self, cell: Cell) -> None:
        """Run a cell: ours before every third rival, so that a machine that slows down slows both."""
        laps: Laps = defaultdict(Lap)
        plain = Backbone(self._ours, cell.prompts, every=2)
        exact: Found = []
        for turn, (name, rival) in enumerate(self._rivals.items()):
            if turn % 3 == 0:
                exact = self._turn_of_ours(cell, laps, plain)
            chosen = self._chosen(cell, rival)
            prompts = [cell.prompts[index] for index in chosen]
            if isinstance(rival, Harness) and rival.memory(prompts) > 0.85 * _available(self._ours.model):
                notify(f"{name} would need {rival.memory(prompts) / 1e9:.1f} GB")
                continue
            found = laps[name].run(partial(rival, prompts), len(prompts))
            self._agree(cell, name, prompts, found, [exact[index] for index in chosen])
        self.rows += [self._row(cell, name, laps) for name in ("ours", *self._rivals)]
        self.measures.append(self._measure(cell, laps, plain))

    def check(self, cell: Cell) -> None:
        """Compare scores only, on a few items."""
        prompts = [cell.prompts[index] for index in sample(cell.prompts, 3)]
        for name, rival in self._rivals.items():
            self._agree(cell, name, prompts, rival(prompts), self._ours(prompts))

    def _chosen(self, cell: Cell, rival: Rival) -> list[int]:
        """Choose a rival's items: as many as asked and a full batch of the harness; thrice as many of the loop.

        llama.cpp gets all of them: it reads the prefix once, as ours does, so its rate grows with their number.
        """
        if isinstance(rival, LlamaCpp):
            return list(range(len(cell.prompts)))
        fill = -(-rival.batch // len(cell.prompts[0].choices)) if isinstance(rival, Harness) else 3 * self._rival_items
        return sample(cell.prompts, max(self._rival_items, fill))

    def _turn_of_ours(self, cell: Cell, laps: Laps, plain: Backbone) -> Found:
        """Run ours and what is measured against it."""
        before = self._ours.reading
        found = laps["ours"].run(partial(self._ours, cell.prompts), len(cell.prompts))
        laps["reading"].seconds += self._ours.reading - before
        laps["backbone"].run(plain.run, len(cell.prompts))
        if cell.doubled:
            half = cell.prompts[: len(cell.prompts) // 2]
            laps["half"].run(partial(self._ours, half), len(half))
            laps["doubled"].run(partial(self._ours, cell.doubled), len(cell.doubled))
        return found

    def _agree(self, cell: Cell, name: str, prompts: list[Prompt], found: Found, exact: Found) -> None:
        """Compare scores where both score the same tokens; in float32 stop if they differ."""
        rival = self._rivals[name]
        if isinstance(rival, Harness):
            kept = [index for index, prompt in enumerate(prompts) if rival.same_boundary(prompt)]
        else:
            kept = list(range(len(prompts)))
        if isinstance(rival, PaperLoop):
            exact = self._ours(prompts, "first-token")
        differences = [abs(a - b) for i in kept for a, b in zip(exact[i], found[i], strict=True)]
        tolerance = GELU_TOLERANCE if isinstance(rival, LlamaCpp) else TOLERANCE
        agree, worst = all(one < tolerance for one in differences), max(differences, default=0.0)
        self.agreements.append(Agreement(cell.task, cell.language, self._dtype, name, len(prompts), len(kept), worst))
        if self._dtype == "float32" and not agree:
            raise SystemExit(f"{cell.task} {cell.language}: scores of {name} and of ours differ by {worst} nats")

    def _row(self, cell: Cell, name: str, laps: Laps) -> Row:
        rate = laps[name].rate if laps[name].items else None
        ratio = laps["ours"].rate / rate if rate and name != "ours" else None
        timed = len(cell.prompts) if name == "ours" else laps[name].items
        shown = "does not fit" if rate is None else f"{rate:.3f} items/s"
        notify(f"{cell.task} {cell.language} {name}: {shown}" + (f", ratio {ratio:.1f}" if ratio else ""))
        return Row(cell.task, cell.language, self._dtype, name, len(cell.prompts), timed, rate, ratio)

    def _measure(self, cell: Cell, laps: Laps, plain: Backbone) -> Measure:
        turns = laps["ours"].items / len(cell.prompts)
        ours, reading = laps["ours"].seconds / turns, laps["reading"].seconds / turns
        bare = laps["backbone"].seconds / turns * plain.tokens / plain.tokens_run
        return Measure(
            task=cell.task,
            language=cell.language,
            shared_tokens=plain.prefix,
            unshared_tokens=plain.tokens,
            tokens_read=plain.read,
            unshared_tokens_per_second=plain.tokens / ours,
            backbone_tokens_per_second=plain.tokens / bare,
            share_of_backbone=bare / ours,
            share_of_backbone_reading=bare / plain.tokens * plain.read / reading,
            share_of_best_product=plain.operations / ours / self._product,
            twice_items=2 * laps["half"].rate / laps["ours"].rate if cell.doubled else None,
            twice_shots=laps["ours"].rate / laps["doubled"].rate if cell.doubled else None,
        )


def _available(model: Model) -> float:
    """Return the bytes of memory that are free where the model is."""
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
        return float(torch.cuda.mem_get_info()[0])
    return float(psutil.virtual_memory().available)
