"""The loss of tuning: the negative log-likelihood of the targets, with only their positions unembedded."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from spillover.errors import SpilloverError
from spillover.models.inference.probe import ignores_padding
from spillover.models.inference.trees import common_prefix
from spillover.models.inference.unembed import POSITION_BLOCK
from spillover.models.model import Model
from spillover.models.network.head import LOGIT_BLOCK, VOCABULARY_BLOCK, Head, LinearHead, forward_replaced
from spillover.records import Example

IGNORED = -100
"""The label of a token that is read but not learned; the same as in `transformers`."""


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """An example as token ids."""

    example: Example
    """The example."""
    tokens: tuple[int, ...]
    """Source, target, and the end of the sequence or of the assistant's turn."""
    labels: tuple[int, ...]
    """The tokens again, with `IGNORED` in place of those that are not learned."""


def encode(model: Model, example: Example) -> TokenizedExample:
    """Return an example as token ids. The target begins at the first token that is not the source's own."""
    source = model.apply_chat_template(example.source)
    prompt, whole = model.tokenize([source, source + model.format_answer(example.target)])
    if not model.chat:
        whole = [*whole, model.tokenizer.eos_token_id]
    start = max(1, common_prefix([prompt, whole]))
    return TokenizedExample(example, tuple(whole), (IGNORED,) * start + tuple(whole[start:]))


def collate(rows: Sequence[TokenizedExample]) -> dict[str, Any]:
    """Pad the rows of a step on the right; they are split later into micro-batches, each with its own width."""
    width = max(len(row.tokens) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    for place, row in enumerate(rows):
        ids[place, : len(row.tokens)] = torch.tensor(row.tokens)
        labels[place, : len(row.tokens)] = torch.tensor(row.labels)
    lengths = torch.tensor([len(row.tokens) for row in rows])
    return {"input_ids": ids, "labels": labels, "lengths": lengths, "ids": [row.example.id for row in rows]}


Rows = Callable[[], tuple[Tensor, Tensor]]
"""Returns the tokens (k,), ascending, whose rows (k, d) of the unembedding learn, and these rows."""


@contextmanager
def loss_as_forward(model: Model, rows: Rows | None = None) -> Iterator[None]:
    """Let the network's own forward return the summed loss of a batch's targets, in nats, during the block.

    The forward itself is replaced, so that wrappers of the network (adapter, DDP, FSDP, DeepSpeed) work in every pass.

    Args:
        model: the model, whose network may have an adapter.
        rows: the rows of a linear unembedding that learn, every target among them; None if it is frozen.

    Raises:
        SpilloverError: the model's states depend on the padding of a batch, or its head cannot be found.
    """
    model.network.eval()  # dropout in an adapter would keep the head from being found
    head = model.head
    if not ignores_padding(model):
        raise SpilloverError(
            f"tune: {model.config.model_type}: padding changes what it reads, so it cannot learn from batches; "
            "choose another model"
        )

    def forward(input_ids: Tensor, attention_mask: Tensor, labels: Tensor, places: Tensor, **unused: object) -> Tensor:
        losses = []
        for ids, attended, learned, at in _batchable(model, input_ids, attention_mask, labels, places):
            states = model.backbone(input_ids=ids, attention_mask=attended, use_cache=False).last_hidden_state
            targets = learned.flatten()[at + 1].to(states.device)
            losses.append(
                target_loss(head, states.flatten(0, 1)[at.to(states.device)], targets, rows() if rows else None)
            )
        return torch.stack(losses).sum()

    with forward_replaced(model.network, forward):
        yield


def target_places(labels: Tensor) -> Tensor:
    """Return (n,) indices into flattened labels (rows, width): the tokens before each token that is learned."""
    before = torch.nn.functional.pad(labels[:, 1:] != IGNORED, (0, 1))
    return before.flatten().nonzero()[:, 0]


def _batchable(
    model: Model, ids: Tensor, attended: Tensor, labels: Tensor, places: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Split a batch into rows that one pass may read together, each part as wide as its longest row."""
    if model.short_limit is None:
        yield ids, attended, labels, places
        return
    lengths = attended.sum(dim=1).tolist()
    for rows in model.batchable(lengths):
        width = max(lengths[row] for row in rows)
        part = labels[rows, :width]
        yield ids[rows, :width], attended[rows, :width], part, target_places(part)


def target_loss(head: Head, hidden: Tensor, targets: Tensor, rows: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return the summed loss (), in nats, of predicting targets (n,) from hidden states (n, d).

    A linear head is frozen but for `rows`: the tokens (k,), ascending, and their rows (k, d). Parameters that learn in
    a network's own head get their gradients too.
    """
    if isinstance(head, LinearHead):
        frozen = targets.new_empty(0), hidden.new_empty(0, hidden.shape[1])
        tokens, values = rows if rows and torch.is_grad_enabled() else frozen
        loss: Tensor = _TargetLoss.apply(hidden, targets, head, tokens, values)  # type: ignore[no-untyped-call]
        return loss
    size = max(1, LOGIT_BLOCK // head.vocabulary)
    total = hidden[:0].float().sum()
    for states, tokens in zip(torch.split(hidden, size), torch.split(targets, size), strict=True):
        # checkpointed, so that the logits of two blocks never exist at once
        total = total + checkpoint(_block_loss, head, states, tokens, use_reentrant=False)
    return total


def _block_loss(head: Head, hidden: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(head.logits(hidden, slice(None)), targets, reduction="sum")


class _TargetLoss(torch.autograd.Function):
    """Summed negative log-likelihood and its gradient, in one sweep over the vocabulary.

    The gradient is the mean row of the unembedding, under the model's distribution, minus the target's row. As in
    attention, it is accumulated block by block with a running maximum (Milakov & Gimelshein 2018): the logits of only
    one block exist at a time, and they are computed once. Rows of the unembedding that learn are read once more, when
    the sum over the whole vocabulary is known.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        hidden: Tensor,
        targets: Tensor,
        head: LinearHead,
        tokens: Tensor,
        values: Tensor,
    ) -> Tensor:
        gradient, total = torch.empty_like(hidden), hidden.new_zeros((), dtype=torch.float32)
        of_rows = torch.zeros_like(values, dtype=torch.float32)
        for start in range(0, len(hidden), POSITION_BLOCK):
            part = slice(start, start + POSITION_BLOCK)
            loss, gradient[part], log_mass = _sweep(hidden[part], targets[part], head)
            total += loss
            add_row_gradient(of_rows, hidden[part], targets[part], head, tokens, log_mass)
        ctx.save_for_backward(gradient, of_rows.to(values.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None, None, Tensor]:  # noqa: ANN401
        gradient, of_rows = ctx.saved_tensors
        return gradient * scale.to(gradient.dtype), None, None, None, of_rows * scale.to(of_rows.dtype)


def add_row_gradient(
    total: Tensor, hidden: Tensor, targets: Tensor, head: LinearHead, tokens: Tensor, log_mass: Tensor
) -> None:
    """Add to `total` (k, d) the gradient of the loss for the unembedding's rows of tokens (k,).

    log_mass (n, 1): logarithm of the sum of exp over each state's logits.
    """
    bias = head.unembedding.bias
    for start in range(0, len(tokens), VOCABULARY_BLOCK):
        chosen = tokens[start : start + VOCABULARY_BLOCK]
        part_bias = None if bias is None else bias[chosen]
        raw = torch.nn.functional.linear(hidden, head.unembedding.weight[chosen], part_bias).float()
        logits, slope = _finish_logits(head, raw)
        slopes = (logits - log_mass).exp_() - (targets[:, None] == chosen).float()
        if slope is not None:
            slopes *= slope
        total[start : start + VOCABULARY_BLOCK] += (slopes.to(hidden.dtype).T @ hidden).float()


def _sweep(hidden: Tensor, targets: Tensor, head: LinearHead) -> tuple[Tensor, Tensor, Tensor]:
    """Return the summed loss (), its gradient (n, d), and log Σ exp(logits) (n, 1) for hidden states (n, d).

    All are in float32.
    """
    weight, bias = head.unembedding.weight[: head.vocabulary], head.unembedding.bias
    top = hidden.new_full((len(hidden), 1), -torch.inf, dtype=torch.float32)
    mass, mean = torch.zeros_like(top), torch.zeros_like(hidden, dtype=torch.float32)
    target_logits, target_slopes = torch.zeros_like(top), torch.zeros_like(top)
    for start in range(0, len(weight), VOCABULARY_BLOCK):
        part = weight[start : start + VOCABULARY_BLOCK]
        part_bias = None if bias is None else bias[: len(weight)][start : start + VOCABULARY_BLOCK]
        logits, slope = _finish_logits(head, torch.nn.functional.linear(hidden, part, part_bias).float())
        columns = targets[:, None] - start
        here, columns = (columns >= 0) & (columns < logits.shape[1]), columns.clamp(0, logits.shape[1] - 1)
        target_logits = torch.where(here, logits.gather(1, columns), target_logits)
        target_slopes = torch.where(here, slope.gather(1, columns) if slope is not None else 1.0, target_slopes)
        highest = torch.maximum(top, logits.amax(dim=1, keepdim=True))
        shrink = (top - highest).exp()
        shares = (logits - highest).exp_()
        mass = mass * shrink + shares.sum(dim=1, keepdim=True)
        mean = mean * shrink + (shares if slope is None else shares * slope).to(part.dtype) @ part
        top = highest
    log_mass = top + mass.log()
    return (log_mass - target_logits).sum(), mean / mass - target_slopes * weight[targets], log_mass


def _finish_logits(head: LinearHead, logits: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return finished logits and the slope of each; None for the slopes if there is neither scale nor cap."""
    with torch.enable_grad():
        raw = logits.requires_grad_()
        finished = head.finish(raw)
        if finished is raw:
            return raw.detach(), None
        (slope,) = torch.autograd.grad(finished.sum(), raw)
    return finished.detach(), slope
