"""Lenses as maps: the logit lens, which is none, and the tuned lens, trained on what the model itself says in the end.

A lens is fitted on prompts that are not analyzed. Knows neither golds nor languages.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import kl_div

from spillover.errors import SpilloverError
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import Model
from spillover.models.tracing.anatomy import anatomy
from spillover.models.tracing.trace import trace
from spillover.records import AffineLens, Prompt

RANK = 16
"""Rank of a tuned lens's map: few states say little about width² numbers."""

PROMPTS, FEWEST = 512, 20
"""Most and fewest prompts that a tuned lens is trained on."""

STEPS, BATCH, RATE, LOOK = 200, 64, 5e-3, 25
"""Of Adam: steps, states a step, learning rate, and after how many steps it is looked how good the lens is."""

LIKELY, SAMPLED = 32, 2048
"""Tokens the loss is taken over: the likeliest of each state, and as many drawn from the rest to stand for it."""


def logit(reader: PrefixReader, prompts: Sequence[Prompt], seed: int) -> AffineLens:
    """Return the identity for every layer (nostalgebraist 2020); reads no prompt."""
    layers, width = reader.model.config.num_hidden_layers + 1, reader.model.config.hidden_size
    empty = np.zeros((layers, width, 0), dtype=np.float32)
    return AffineLens(empty, empty.transpose(0, 2, 1), np.zeros((layers, width), dtype=np.float32))


def tuned(reader: PrefixReader, prompts: Sequence[Prompt], seed: int) -> AffineLens:
    """Return the map of each layer that comes nearest to the model's own output (Belrose et al. 2023, 2303.08112).

    Minimizes KL(p ‖ q_l) at the last position of the prompts, with p the output's distribution and q_l what norm and
    unembedding make of h + (h V) U + b. Low rank, begun at the identity; every fifth state is held out, and each layer
    keeps the step that did best on those, so that no layer's lens is worse there than the logit lens.

    Raises:
        SpilloverError: there are fewer prompts than `FEWEST`.
    """
    if len(prompts) < FEWEST:
        raise SpilloverError(
            f"analyze.lenses: the tuned lens learns from items that are not analyzed and found {len(prompts)}, "
            f"expected at least {FEWEST}; lower analyze.limit"
        )
    random = np.random.default_rng(seed)
    chosen = sorted(random.permutation(len(prompts))[:PROMPTS].tolist())
    states = _states(reader, [prompts[index] for index in chosen])
    return _train(reader.model, states[random.permutation(len(states))], seed)


def _states(reader: PrefixReader, prompts: Sequence[Prompt]) -> Tensor:
    """Return (n, layers, width) states at the last position, those that share their exemplars read together."""
    groups: dict[tuple[object, ...], list[Prompt]] = {}
    for prompt in prompts:
        groups.setdefault((prompt.exemplars, prompt.choices), []).append(prompt)
    return torch.from_numpy(np.concatenate([trace(reader, group).last for group in groups.values()]))


class _Loss:
    """KL(p ‖ q) over the likely tokens and a sample that stands for the others, in nats; 0 where q is p."""

    def __init__(self, model: Model, final: Tensor, seed: int) -> None:
        """Choose the tokens by the model's output for final states (n, width), which are normed."""
        self._model, self._norm = model, anatomy(model).norm
        random = torch.Generator().manual_seed(seed)
        vocabulary = model.head.vocabulary
        likely = torch.cat([model.logits(row[None]).topk(min(LIKELY, vocabulary)).indices[0].cpu() for row in final])
        rest = torch.ones(vocabulary, dtype=torch.bool)
        rest[likely] = False
        others = rest.nonzero()[:, 0]
        sample = others[torch.randperm(len(others), generator=random)[:SAMPLED]]
        self._tokens = torch.cat([torch.unique(likely), sample])
        weights = torch.zeros(len(self._tokens))
        weights[len(self._tokens) - len(sample) :] = np.log(max(1, len(others)) / max(1, len(sample)))
        self._weights = weights.to(model.device)

    def target(self, final: Tensor) -> Tensor:
        """Return log p (n, tokens) of normed states (n, width)."""
        return (self._model.logits(final, self._tokens) + self._weights).log_softmax(dim=-1)

    def __call__(self, states: Tensor, target: Tensor) -> Tensor:
        """Return (layers,) means over n of states (n, layers, width), not normed."""
        hidden = self._norm(states.to(self._model.network.dtype)).flatten(0, 1)
        spoken = (self._model.logits(hidden, self._tokens) + self._weights).log_softmax(dim=-1)
        spoken = spoken.reshape(*states.shape[:2], len(self._tokens))
        expected = target[:, None].expand_as(spoken)
        return kl_div(spoken, expected, reduction="none", log_target=True).sum(dim=-1).mean(dim=0)


def _train(model: Model, given: Tensor, seed: int) -> AffineLens:
    """Train on (n, layers + 1, width) states, the last layer normed."""
    model.network.requires_grad_(False)  # only the lens learns
    given = given.to(model.device)
    states, final = given[:, :-1], given[:, -1]
    scale = states.square().mean(dim=(0, 2), keepdim=True).sqrt()[0]  # (layers, 1): early states are much smaller
    held = torch.arange(len(states), device=model.device) % 5 == 0
    generator = torch.Generator().manual_seed(seed)
    layers, width = states.shape[1:]
    with torch.no_grad():
        loss = _Loss(model, final, seed)
        target = loss.target(final)
    down = (torch.randn(layers, width, RANK, generator=generator) / width**0.5).to(model.device).requires_grad_()
    up = torch.zeros(layers, RANK, width, device=model.device, requires_grad=True)
    bias = torch.zeros(layers, width, device=model.device, requires_grad=True)

    def lens(h: Tensor) -> Tensor:
        unit = h / scale
        return unit + torch.einsum("nlr,lrw->nlw", torch.einsum("nlw,lwr->nlr", unit, down), up) + bias

    optimizer = torch.optim.Adam([down, up, bias], lr=RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, STEPS)
    train = (~held).nonzero()[:, 0]
    best = [part.detach().clone() for part in (down, up, bias)]
    with torch.no_grad():
        lowest = loss(lens(states[held]), target[held])
    for step in range(1, STEPS + 1):
        batch = train[torch.randperm(len(train), generator=generator)[:BATCH].to(model.device)]
        optimizer.zero_grad()
        loss(lens(states[batch]), target[batch]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % LOOK == 0:
            with torch.no_grad():
                now = loss(lens(states[held]), target[held])
            better = now < lowest
            lowest = torch.where(better, now, lowest)
            for kept, part in zip(best, (down, up, bias), strict=True):
                kept[better] = part.detach()[better]
    down, up, bias = best
    return AffineLens(*(part.cpu().numpy() for part in (down, up, bias * scale)))
