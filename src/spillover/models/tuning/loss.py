"""What tuning minimizes: the negative log-likelihood of the targets, with only their positions unembedded.

Knows neither optimizer nor schedule.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from spillover.errors import SpilloverError
from spillover.models.inference.head import CELLS, VOCABULARY, Head, Linear
from spillover.models.inference.probe import ignores_padding
from spillover.models.inference.trees import common_prefix
from spillover.models.inference.unembed import POSITIONS
from spillover.models.load import Model
from spillover.records import Example

IGNORED = -100
"""The label of a token that is read but not learned, as everywhere in `transformers`."""


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """An example as token ids."""

    example: Example
    """What it was made from."""
    tokens: tuple[int, ...]
    """Source, target, and the end of the sequence or of the assistant's turn."""
    labels: tuple[int, ...]
    """The same with `IGNORED` in place of what is not learned."""


def encode(model: Model, example: Example) -> TokenizedExample:
    """Return an example's row. The target begins where the tokens of source and target depart from the source's own."""
    asked = model.wrap(example.source)
    prompt, whole = model.tokenize([asked, asked + model.answer(example.target)])
    if not model.chat:
        whole = [*whole, model.tokenizer.eos_token_id]
    start = max(1, common_prefix([prompt, whole]))
    return TokenizedExample(example, tuple(whole), (IGNORED,) * start + tuple(whole[start:]))


def collate(rows: Sequence[TokenizedExample]) -> dict[str, Any]:
    """Pad a step's rows on the right; they are cut to micro-batches later, each to its own width."""
    width = max(len(row.tokens) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    for place, row in enumerate(rows):
        ids[place, : len(row.tokens)] = torch.tensor(row.tokens)
        labels[place, : len(row.tokens)] = torch.tensor(row.labels)
    lengths = torch.tensor([len(row.tokens) for row in rows])
    return {"input_ids": ids, "labels": labels, "lengths": lengths, "ids": [row.example.id for row in rows]}


@contextmanager
def loss_as_forward(model: Model) -> Iterator[None]:
    """Let the network's own forward return the summed loss of a batch's targets, in nats, for the block.

    Its own, so that whatever stands around the network (adapter, DDP, FSDP, DeepSpeed) does its part in every pass.

    Raises:
        SpilloverError: what the model reads depends on the padding of its batch, or its logits are not to be had.
    """
    model.network.eval()  # without dropout the head is found, if an adapter is in it
    head = model.head
    if not ignores_padding(model):
        raise SpilloverError(
            f"tune: {model.config.model_type}: padding changes what it reads, so it cannot learn from batches; "
            "choose another model"
        )

    def forward(input_ids: Tensor, attention_mask: Tensor, labels: Tensor, **unused: object) -> Tensor:
        losses = []
        for ids, attended, learned in _sides(model, input_ids, attention_mask, labels):
            states = model.backbone(input_ids=ids, attention_mask=attended, use_cache=False).last_hidden_state[:, :-1]
            following = learned[:, 1:]
            wanted = following != IGNORED
            losses.append(target_loss(head, states[wanted], following[wanted]))
        return torch.stack(losses).sum()

    model.network.forward = forward
    try:
        yield
    finally:
        del model.network.forward


def _sides(model: Model, ids: Tensor, attended: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Split a batch into rows that may be read in one pass, each part as wide as its longest row."""
    if model.turn is None:
        yield ids, attended, labels
        return
    lengths = attended.sum(dim=1).tolist()
    for side in model.sides(lengths):
        width = max(lengths[row] for row in side)
        yield ids[side, :width], attended[side, :width], labels[side, :width]


def target_loss(head: Head, hidden: Tensor, targets: Tensor) -> Tensor:
    """Return the summed loss (), in nats, of predicting targets (n,) from hidden states (n, d).

    A linear head is frozen; whatever learns in a network's own head gets its gradient too.
    """
    if isinstance(head, Linear):
        loss: Tensor = _TargetLoss.apply(hidden, targets, head)  # type: ignore[no-untyped-call]
        return loss
    rows = max(1, CELLS // head.vocabulary)
    total = hidden[:0].float().sum()
    for part, wanted in zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True):
        total = total + checkpoint(_block_loss, head, part, wanted, use_reentrant=False)  # no two blocks' logits exist
    return total


def _block_loss(head: Head, hidden: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(head.logits(hidden, slice(None)), targets, reduction="sum")


class _TargetLoss(torch.autograd.Function):
    """Summed negative log-likelihood and its gradient, in one sweep over the vocabulary.

    The gradient is the mean row of the unembedding, under the model's distribution, less the target's row. Like
    attention it is gathered a block at a time with a running maximum (Milakov & Gimelshein 2018), so the logits of no
    more than a block ever exist, and they are computed once. The unembedding itself is frozen.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, head: Linear) -> Tensor:  # noqa: ANN401
        gradient, total = torch.empty_like(hidden), hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, len(hidden), POSITIONS):
            rows = slice(start, start + POSITIONS)
            loss, gradient[rows] = _sweep(hidden[rows], targets[rows], head)
            total += loss
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        (gradient,) = ctx.saved_tensors
        return gradient * scale.to(gradient.dtype), None, None


def _sweep(hidden: Tensor, targets: Tensor, head: Linear) -> tuple[Tensor, Tensor]:
    """Return the summed loss () and its gradient (n, d) for hidden states (n, d), both in float32."""
    weight, bias = head.unembedding.weight[: head.vocabulary], head.unembedding.bias
    top = hidden.new_full((len(hidden), 1), -torch.inf, dtype=torch.float32)
    mass, mean = torch.zeros_like(top), torch.zeros_like(hidden, dtype=torch.float32)
    found, slope_there = torch.zeros_like(top), torch.zeros_like(top)
    for start in range(0, len(weight), VOCABULARY):
        part = weight[start : start + VOCABULARY]
        own = None if bias is None else bias[: len(weight)][start : start + VOCABULARY]
        logits, slope = _finished(head, torch.nn.functional.linear(hidden, part, own).float())
        here = ((targets >= start) & (targets < start + VOCABULARY)).nonzero()[:, 0]
        found[here, 0] = logits[here, targets[here] - start]
        slope_there[here, 0] = slope[here, targets[here] - start] if slope is not None else 1.0
        highest = torch.maximum(top, logits.amax(dim=1, keepdim=True))
        shrink = (top - highest).exp()
        shares = (logits - highest).exp_()
        mass = mass * shrink + shares.sum(dim=1, keepdim=True)
        mean = mean * shrink + (shares if slope is None else shares * slope).to(part.dtype) @ part
        top = highest
    return (top + mass.log() - found).sum(), mean / mass - slope_there * weight[targets]


def _finished(head: Linear, logits: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return logits as the architecture finishes them, and each one's slope; None where nothing is done to them."""
    with torch.enable_grad():
        raw = logits.requires_grad_()
        finished = head.finish(raw)
        if finished is raw:
            return raw.detach(), None
        (slope,) = torch.autograd.grad(finished.sum(), raw)
    return finished.detach(), slope
