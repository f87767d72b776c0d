"""Another objective: the mean states of a question and of its translation come together at one block.

A step's pairs are read at once, since each is told apart from the step's other pairs of its language. The pass stops at
the block, so the blocks above it and the unembedding cost nothing, and learn nothing.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import DataLoader

from spillover.errors import SpilloverError
from spillover.models.inference.transfer import to_device
from spillover.models.model import Model
from spillover.models.tracing.anatomy import block_list, leaving
from spillover.models.tuning.loss import IGNORED, TokenizedExample
from spillover.models.tuning.trainer import TargetTrainer
from spillover.records import Example

TEMPERATURE = 0.1
"""Divides cosines before the softmax."""


class _Reached(Exception):  # noqa: N818 - no error: it ends a pass
    def __init__(self, states: Tensor) -> None:
        self.states = states


def encode_pair(model: Model, example: Example) -> TokenizedExample:
    """Return the tokens of both texts, each read by itself; the labels are the second text's."""
    first, second = model.tokenize([example.source.strip(), example.target.strip()])
    return TokenizedExample(example, (*first, *second), (IGNORED,) * len(first) + tuple(second))


def texts_of(rows: Sequence[TokenizedExample]) -> list[Sequence[int]]:
    """Return the tokens of the pairs' first texts, then those of their second texts."""
    starts = [row.labels.count(IGNORED) for row in rows]
    firsts: list[Sequence[int]] = [row.tokens[:start] for row, start in zip(rows, starts, strict=True)]
    return firsts + [row.tokens[start:] for row, start in zip(rows, starts, strict=True)]


def info_nce(first: Tensor, second: Tensor, languages: Sequence[str]) -> Tensor:
    """Return the InfoNCE loss () of pairs, in nats: how badly each text finds its partner, mean of both directions.

        −log exp(cos(a_i, b_i) / τ) / Σ over j of i's language exp(cos(a_i, b_j) / τ)

    Args:
        first: (n, d) mean states of texts.
        second: (n, d) mean states of their translations, in the same order.
        languages: (n,) codes; texts of other languages are no negatives. A language's only pair has loss 0.

    Source: van den Oord et al. 2018 (arXiv 1807.03748), with cosines; for alignment at a middle layer
    Liu and Niehues 2025 (arXiv 2502.14830).
    """
    codes = torch.tensor([sorted(set(languages)).index(code) for code in languages], device=first.device)
    cosines = normalize(first.float(), dim=1) @ normalize(second.float(), dim=1).T / TEMPERATURE
    cosines = cosines.masked_fill(codes[:, None] != codes, -torch.inf)
    partners = torch.arange(len(cosines), device=first.device)
    return (cross_entropy(cosines, partners) + cross_entropy(cosines.T, partners)) / 2


def mean_states(model: Model, texts: Sequence[Sequence[int]], depth: float) -> Tensor:
    """Return the mean (n, d) over each text's tokens of the states that leave the block at a relative depth.

    depth: in (0, 1]: the states after the first ⌈depth · blocks⌉ blocks.
    """
    blocks = block_list(model)
    block = blocks[max(0, -int(-depth * len(blocks) // 1) - 1)]
    width = max(map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    attended = torch.zeros_like(ids)
    for row, tokens in enumerate(texts):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        attended[row, : len(tokens)] = 1
    ids, attended = to_device(ids, model.device), to_device(attended, model.device)

    def reached(module: object, args: object, output: Any) -> None:  # noqa: ANN401
        raise _Reached(leaving(output))

    hook = block.register_forward_hook(reached)
    try:
        model.backbone(input_ids=ids, attention_mask=attended, use_cache=False)
    except _Reached as end:
        states = end.states
    finally:
        hook.remove()
    mask = attended[:, :, None].to(states)
    mean: Tensor = (states * mask).sum(dim=1) / mask.sum(dim=1)
    return mean


class ContrastiveTrainer(TargetTrainer):
    """The Trainer on pairs."""

    def prepare(self, model: Model, depth: float) -> "ContrastiveTrainer":
        """Set the model that is read, and the relative depth at which its states are compared.

        Raises:
            SpilloverError: several processes were launched, which would see each only a part of the negatives.
        """
        if self.args.world_size > 1:
            raise SpilloverError(
                f"mixture.phases: 'contrastive' found {self.args.world_size} processes, expected one: a pair is told "
                "apart from all others of its step"
            )
        self._read, self._depth = model, depth
        return self

    def get_train_dataloader(self) -> DataLoader[TokenizedExample]:
        """Return a loader of whole steps."""
        return DataLoader(self.train_dataset, batch_sampler=self.order, collate_fn=lambda rows: {"pairs": rows})

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: object = None
    ) -> Tensor:
        """Compute the gradient of a step's pairs; return its loss, in nats."""
        model.train()
        loss = self._loss(inputs["pairs"])
        self.accelerator.backward(loss)
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, *args: object, **kwargs: object) -> dict[str, float]:
        """Log and return the loss of the held-out pairs, in steps of the same size."""
        self.model_wrapped.eval()
        rows, size = list(self.eval_dataset), self.args.per_device_train_batch_size
        steps = [rows[start : start + size] for start in range(0, len(rows), size)]
        metrics = {"eval_loss": sum(self._loss(step).item() * len(step) for step in steps) / len(rows)}
        self.log(dict(metrics))
        return metrics

    def _loss(self, rows: Sequence[TokenizedExample]) -> Tensor:
        means = mean_states(self._read, texts_of(rows), self._depth)
        return info_nce(means[: len(rows)], means[len(rows) :], [row.example.language for row in rows])
