"""Score every choice of every item of a cell, exactly and once.

The prefix that all items share is encoded once; an item's labels ride in the same pass as its body; only positions
that score something meet the unembedding, in float32, streamed over the vocabulary. Knows no gold and no language.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from spillover.errors import SpilloverError
from spillover.models.labels import Edge, Encoded, LabelTree, Path, encode, label_tree, shared_prefix, starts
from spillover.models.load import Model
from spillover.models.prefix import Reader
from spillover.records import Prompt

POSITIONS, VOCABULARY = 1024, 16_384
"""The block of the unembedding computed at a time: 64 MiB of logits in float32."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What `score` found."""

    choices: list[tuple[float, ...]]
    """For each prompt the score of each choice; with `exact` log p(choice | prompt) in nats."""
    normalized: list[tuple[float, ...]]
    """With `exact`: the same divided by the choice's number of tokens; empty tuples otherwise."""
    dropped: int
    """Exemplars that did not fit the context, over all prompts."""


Values = Sequence[float]
"""The log-probabilities along one choice's path."""


Read = Callable[[Sequence[Encoded], Sequence[Sequence[int]] | None], Sequence[tuple[Sequence[Path], Sequence[Values]]]]
"""Encoded prompts, and the tokens that choices may begin with where only those are asked → for each prompt the paths of
its choices and the log-probabilities along them."""


def exact(paths: Sequence[Path], values: Sequence[Values]) -> tuple[float, ...]:
    """Sum each path: log p(choice | prompt), the whole choice, in nats."""
    return tuple(math.fsum(steps) for steps in values)


def normalized(paths: Sequence[Path], values: Sequence[Values]) -> tuple[float, ...]:
    """Mean of each path, in nats a token: long choices are not at a disadvantage, as they are in `exact`."""
    return tuple(math.fsum(steps) / len(steps) for steps in values)


def constrained(paths: Sequence[Path], values: Sequence[Values]) -> tuple[float, ...]:
    """Decode greedily along the trie of the choices, as the paper describes it.

    The choice reached scores 0; each other one the log of its share, among the trie's branches, at the step where it
    fell behind. So the best score is the decoded choice, and the rest say by how much they lost.
    """
    scores = [0.0] * len(paths)
    alive = list(range(len(paths)))
    for depth in range(max(map(len, paths))):
        branches = {paths[k][depth].token: values[k][depth] for k in alive if depth < len(paths[k])}
        if len(branches) < 2:
            continue
        total = math.log(math.fsum(math.exp(value) for value in branches.values()))
        best = max(branches, key=lambda token: branches[token])
        for k in alive:
            if paths[k][depth].token != best:
                scores[k] = branches[paths[k][depth].token] - total
        alive = [k for k in alive if paths[k][depth].token == best]
    return tuple(scores)


def first_token(paths: Sequence[Path], values: Sequence[Values]) -> tuple[float, ...]:
    """Log of the mass on the tokens a choice can begin with: what the paper's script does, for comparison only.

    Its defects: choices that begin alike share mass, long beginnings of one label count against none of the other, and
    a label is judged by its first token whatever follows.
    """
    masses = [math.fsum(map(math.exp, alternatives)) for alternatives in values]
    return tuple(math.log(mass) if mass else -math.inf for mass in masses)


SCORINGS = {"exact": exact, "constrained": constrained, "first-token": first_token}


def score(
    reader: Reader,
    prompts: Sequence[Prompt],
    scoring: str = "exact",
    overflow: str = "drop-exemplars",
    advance: Callable[[int], None] = lambda items: None,
) -> Scores:
    """Return a score for each choice of each prompt, in the order given.

    Args:
        reader: the model.
        prompts: one or more; those that begin alike are read together.
        scoring: a name of `SCORINGS`.
        overflow: what to do with a prompt longer than the context (`encode`).
        advance: told, as prompts are read, how many more there are.

    Raises:
        SpilloverError: a score is not a number, or a prompt does not fit.
    """
    return scored(reader.model, prompts, scoring, overflow, partial(_read, reader, advance))


def scored(model: Model, prompts: Sequence[Prompt], scoring: str, overflow: str, read: Read) -> Scores:
    """Do what `score` does, with `read` for how the log-probabilities are found."""
    encoded = encode(model, prompts, overflow)
    choices: list[tuple[float, ...]] = [()] * len(prompts)
    by_length = list(choices)
    groups: dict[tuple[int, tuple[str, ...]], list[int]] = {}
    for index, (item, prompt) in enumerate(zip(encoded, prompts, strict=True)):
        groups.setdefault((item.dropped, prompt.choices if scoring == "first-token" else ()), []).append(index)
    for members in groups.values():
        begun = starts(model, prompts[members[0]]) if scoring == "first-token" else None
        found = read([encoded[i] for i in members], begun)
        for index, (paths, values) in zip(members, found, strict=True):
            scores = SCORINGS[scoring](paths, values)
            if any(math.isnan(value) for value in scores):
                raise SpilloverError(
                    f"item {index}: found scores {scores}, expected numbers; the model's states overflow"
                )
            choices[index] = scores
            if scoring == "exact":
                by_length[index] = normalized(paths, values)
    return Scores(choices, by_length, sum(item.dropped for item in encoded))


def _read(
    reader: Reader,
    advance: Callable[[int], None],
    encoded: Sequence[Encoded],
    begun: Sequence[Sequence[int]] | None,
) -> list[tuple[Sequence[Path], Sequence[Values]]]:
    """Return each item's paths and the log-probabilities along them, for prompts that share a prefix."""
    prefix = shared_prefix(encoded)
    rows = [label_tree(item, prefix) for item in encoded]
    paths = [steps(row, begun) for row in rows]
    nodes = [sorted({edge.node for path in choices for edge in path}) for choices in paths]
    states: list[Tensor] = [torch.empty(0)] * len(rows)
    for batch, hidden in reader.read(encoded[0].choices[0][:prefix], [row.tree for row in rows]):
        for row, index in enumerate(batch):
            states[index] = hidden[row, nodes[index]].float()
        advance(len(batch))
    wanted: list[tuple[int, int]] = []
    first = 0
    for choices, read in zip(paths, nodes, strict=True):
        place = {node: first + offset for offset, node in enumerate(read)}
        wanted += [(place[edge.node], edge.token) for path in choices for edge in path]
        first += len(read)
    values = iter(log_probabilities(reader.model, torch.cat(states), wanted).tolist())
    return [(choices, [[next(values) for _ in path] for path in choices]) for choices in paths]


def steps(row: LabelTree, begun: Sequence[Sequence[int]] | None) -> tuple[Path, ...]:
    """Return the path of each choice, or in its place the tokens it may begin with, all read where the body ends."""
    if begun is None:
        return row.paths
    end = row.paths[0][0].node
    return tuple(tuple(Edge(end, token) for token in tokens) for tokens in begun)


def log_probabilities(model: Model, hidden: Tensor, wanted: Sequence[tuple[int, int]]) -> Tensor:
    """Return (m,) float32 on the CPU, log p(token | hidden state) for each of `wanted`, in nats, at most 0."""
    return read_off(model, hidden, wanted)[0]


@torch.inference_mode()
def read_off(model: Model, hidden: Tensor, wanted: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Return what hidden states say about tokens, streaming over the vocabulary.

    Args:
        model: whose unembedding is meant.
        hidden: (n, d) float32, after the final norm.
        wanted: m pairs of a row of `hidden` and a token id.

    Returns:
        (m,) float32 on the CPU, log p(token | hidden state) in nats, at most 0; and (m,) bool on the CPU, whether no
        other token is likelier.
    """
    vocabulary = len(model.unembedding.weight)
    rows, tokens = torch.tensor(wanted, dtype=torch.long, device=hidden.device).reshape(-1, 2).T
    found = torch.empty(len(wanted), device=hidden.device)
    likeliest = torch.empty(len(wanted), dtype=torch.bool, device=hidden.device)
    for low in range(0, len(hidden), POSITIONS):
        block = hidden[low : low + POSITIONS]
        mine = (rows >= low) & (rows < low + POSITIONS)
        total = torch.full((len(block),), -math.inf, device=hidden.device)
        highest = total.clone()
        for start in range(0, vocabulary, VOCABULARY):
            logits = model.logits(block, slice(start, start + VOCABULARY))
            total = torch.logaddexp(total, logits.logsumexp(dim=1))
            highest = torch.maximum(highest, logits.amax(dim=1))
            here = mine & (tokens >= start) & (tokens < start + VOCABULARY)
            found[here] = logits[rows[here] - low, tokens[here] - start]
        likeliest[mine] = found[mine] >= highest[rows[mine] - low]
        found[mine] -= total[rows[mine] - low]
    return found.cpu(), likeliest.cpu()
