"""Lenses as affine maps: the logit lens is the identity; the tuned lens is trained to predict the model's own output.

A lens is fitted on prompts that are not analyzed.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import kl_div

from spillover.errors import SpilloverError
from spillover.models.inference.prefix import PrefixReader
from spillover.models.model import Model
from spillover.models.tracing.anatomy import anatomy
from spillover.models.tracing.trace import trace
from spillover.records import AffineLens, Prompt

RANK = 16
"""Rank of a tuned lens's map. It is low because few states say little about width² numbers."""

MAX_PROMPTS, MIN_PROMPTS = 512, 20
"""Prompts that a tuned lens is trained on."""

STEPS, STEP_STATES, LEARNING_RATE, EVAL_EVERY = 200, 64, 5e-3, 25
"""Of Adam: steps, states per step, learning rate, and steps between two measurements on the held-out states."""

LIKELIEST, SAMPLED = 32, 2048
"""Tokens that the loss is taken over: the likeliest ones per state, and a sample that stands for all others."""


def logit(reader: PrefixReader, prompts: Sequence[Prompt], seed: int) -> AffineLens:
    """Return the identity for every layer (nostalgebraist 2020). No prompt is read."""
    layers, width = reader.model.config.num_hidden_layers + 1, reader.model.config.hidden_size
    empty = np.zeros((layers, width, 0), dtype=np.float32)
    return AffineLens(empty, empty.transpose(0, 2, 1), np.zeros((layers, width), dtype=np.float32))


def tuned(reader: PrefixReader, prompts: Sequence[Prompt], seed: int) -> AffineLens:
    """Return, per layer, a map that predicts the model's own output (Belrose et al. 2023, arXiv 2303.08112).

    It minimizes KL(p ‖ q_l) at the last position of the prompts. p is the output's distribution; q_l is the one that
    norm and unembedding give for h + (h V) U + b. The map has a low rank and starts as the identity. Every fifth state
    is held out. Each layer keeps the step with the lowest loss on these, so no lens is worse there than the logit lens.

    Raises:
        SpilloverError: there are fewer prompts than `MIN_PROMPTS`.
    """
    if len(prompts) < MIN_PROMPTS:
        raise SpilloverError(
            f"analyze.lenses: the tuned lens learns from items that are not analyzed and found {len(prompts)}, "
            f"expected at least {MIN_PROMPTS}; lower analyze.limit"
        )
    random = np.random.default_rng(seed)
    chosen = sorted(random.permutation(len(prompts))[:MAX_PROMPTS].tolist())
    states = body_states(reader, [prompts[index] for index in chosen])
    return _train(reader.model, states[random.permutation(len(states))], seed)


def body_states(reader: PrefixReader, prompts: Sequence[Prompt]) -> Tensor:
    """Return states (n, layers, width) at the last position; prompts with the same exemplars are read together."""
    groups: dict[tuple[object, ...], list[Prompt]] = {}
    for prompt in prompts:
        groups.setdefault((prompt.exemplars, prompt.choices), []).append(prompt)
    return torch.from_numpy(np.concatenate([trace(reader, group).last for group in groups.values()]))


class SampledLoss:
    """KL(p ‖ q) over the likeliest tokens and a sample that stands for the others, in nats; 0 where q is p."""

    def __init__(self, model: Model, final: Tensor, seed: int) -> None:
        """Choose the tokens by the model's output for normed final states (n, width)."""
        self._model, self._norm = model, anatomy(model).norm
        random = torch.Generator().manual_seed(seed)
        vocabulary = model.head.vocabulary
        likely = torch.cat([model.logits(row[None]).topk(min(LIKELIEST, vocabulary)).indices[0] for row in final]).cpu()
        rest = torch.ones(vocabulary, dtype=torch.bool)
        rest[likely] = False
        others = rest.nonzero()[:, 0]
        sample = others[torch.randperm(len(others), generator=random)[:SAMPLED]]
        self.tokens = torch.cat([torch.unique(likely), sample]).to(model.device)
        weights = torch.zeros(len(self.tokens))
        weights[len(self.tokens) - len(sample) :] = np.log(max(1, len(others)) / max(1, len(sample)))
        self._weights = weights.to(model.device)

    def target(self, final: Tensor) -> Tensor:
        """Return log p (n, tokens) of normed states (n, width)."""
        return (self._model.logits(final, self.tokens) + self._weights).log_softmax(dim=-1)

    def __call__(self, states: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss (layers,) over n of states (n, layers, width), not normed."""
        hidden = self._norm(states.to(self._model.network.dtype)).flatten(0, 1).to(states.device)
        spoken = (self._model.logits(hidden, self.tokens) + self._weights).log_softmax(dim=-1)
        spoken = spoken.reshape(*states.shape[:2], len(self.tokens))
        expected = target[:, None].expand_as(spoken)
        return kl_div(spoken, expected, reduction="none", log_target=True).sum(dim=-1).mean(dim=0)


class _LowRankLens:
    """The maps of all layers while they are trained: h + (h V) U + b for scaled states h; the identity at first."""

    def __init__(self, states: Tensor, generator: torch.Generator) -> None:
        """Take the scale of each layer from states (n, layers, width): those of early layers are much smaller."""
        layers, width, device = *states.shape[1:], states.device
        self.scale = states.square().mean(dim=(0, 2), keepdim=True).sqrt()[0]  # (layers, 1)
        down = torch.randn(layers, width, RANK, generator=generator) / width**0.5
        up, bias = torch.zeros(layers, RANK, width), torch.zeros(layers, width)
        self.parts = [part.to(device).requires_grad_() for part in (down, up, bias)]

    def __call__(self, states: Tensor) -> Tensor:
        """Return mapped states (n, layers, width), still scaled: the norm that reads them takes the scale away."""
        down, up, bias = self.parts
        unit = states / self.scale
        return unit + torch.einsum("nlr,lrw->nlw", torch.einsum("nlw,lwr->nlr", unit, down), up) + bias


def _train(model: Model, traced: Tensor, seed: int) -> AffineLens:
    """Train on states (n, layers + 1, width), the last layer normed."""
    model.network.requires_grad_(False)  # only the lens learns
    traced = traced.to(model.device)
    states, final = traced[:, :-1], traced[:, -1]
    held_out = torch.arange(len(states), device=model.device) % 5 == 0
    train = (~held_out).nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    lens = _LowRankLens(states, generator)
    optimizer = torch.optim.Adam(lens.parts, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, STEPS)
    best = [part.detach().clone() for part in lens.parts]
    with torch.no_grad():
        loss = SampledLoss(model, final, seed)
        target = loss.target(final)
        lowest = loss(lens(states[held_out]), target[held_out])
    for step in range(1, STEPS + 1):
        batch = train[torch.randperm(len(train), generator=generator)[:STEP_STATES].to(model.device)]
        optimizer.zero_grad()
        loss(lens(states[batch]), target[batch]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % EVAL_EVERY == 0:
            with torch.no_grad():
                current = loss(lens(states[held_out]), target[held_out])
            better = current < lowest
            lowest = torch.where(better, current, lowest)
            for lowest_part, part in zip(best, lens.parts, strict=True):
                lowest_part[better] = part.detach()[better]
    down, up, bias = best
    return AffineLens(*(part.cpu().numpy() for part in (down, up, bias * lens.scale)))
