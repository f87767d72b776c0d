"""Activation patching at the last position: how an answer's probability changes when another run's state replaces it.

Patching intervenes and so shows causes, while a lens only observes. Source: interchange interventions (Vig et al. 2020;
Meng et al. 2022, arXiv 2202.05262), here between languages.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spillover.models.inference.encode import cut_at_divergence, encode
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.transfer import Places
from spillover.models.inference.trees import Positions, Tree, common_prefix
from spillover.models.inference.unembed import log_probabilities
from spillover.models.model import Model
from spillover.models.tracing.anatomy import anatomy, entering, leaving
from spillover.models.tracing.trace import Array
from spillover.records import Prompt

BRANCH_TOKENS = 256
"""Tokens of all runs that branch from one copy of their prompt, or as many as the prompt has. With more, nearly all
attention would be masked; with fewer, the prompt would be read more often."""


@dataclass(frozen=True, slots=True)
class Patched:
    """log p(answer | prompt) in nats, up to the token that distinguishes the answer from the prompt's other choices."""

    plain: Array
    """(prompts,): without a patch."""
    patched: Array
    """(prompts, sources, layers): with a source's state in place of the prompt's own, at one layer; layer 0 is the
    embedding."""


Run = tuple[int, int]
"""Index of a prompt; number of the state in it, source × layers + layer, and the number after the last for no patch."""


@dataclass(frozen=True, slots=True)
class _Row:
    """What a pass reads over the prefix: the end of a prompt, and runs that branch from it."""

    tree: Tree
    """The tokens."""
    runs: dict[Run, range]
    """Run → the places of its own tokens: the patched position, then those inside the answer."""


def patch(reader: PrefixReader, prompts: Sequence[Prompt], choices: Sequence[int], states: Array) -> Patched:
    """Replace each prompt's state at its last position by other states, one at a time.

    All tokens before that position stay as they are, and are read once for all runs. A replaced state passes through
    all later layers. So only the last position is computed again.

    Args:
        reader: the model.
        prompts: the prompts whose states are replaced. What they begin with in common is read once.
        choices: per prompt, the index of the answer whose probability is returned.
        states: (prompts, sources, layers, width), of other prompts at the same position: the embedding, and the output
            of each block.
    """
    encoded = [cut_at_divergence(item) for item in encode(reader.model, prompts, "drop-exemplars")]
    answers = [item.choices[choice] for item, choice in zip(encoded, choices, strict=True)]
    ends = [item.boundary - 1 for item in encoded]
    shared = common_prefix(answer[:end] for answer, end in zip(answers, ends, strict=True))
    count, sources, layers = states.shape[:3]
    runs = [[(prompt, number) for number in range(sources * layers + 1)] for prompt in range(count)]
    rows = [
        row
        for of_prompt, answer, end in zip(runs, answers, ends, strict=True)
        for row in _rows(of_prompt, answer[shared:], end - shared, reader.shares)
    ]
    patcher = Patcher(torch.from_numpy(states).to(reader.model.device, reader.model.network.dtype), rows)
    hidden: dict[Run, Tensor] = {}
    with _patching(reader.model, patcher):
        for batch, read in reader.read(answers[0][:shared], [row.tree for row in rows], patcher.on_batch):
            for place, index in enumerate(batch):
                for run, branch in rows[index].runs.items():
                    hidden[run] = read[place, branch.start : branch.stop].float()
    flat = [run for of_prompt in runs for run in of_prompt]
    following = [answer[end + 1 :] for answer, end in zip(answers, ends, strict=True)]
    targets = list(enumerate(token for prompt, _ in flat for token in following[prompt]))
    steps = log_probabilities(reader.model, torch.cat([hidden[run] for run in flat]), targets)
    of_runs = torch.split(steps, [len(following[prompt]) for prompt, _ in flat])
    values = torch.stack([of_run.sum() for of_run in of_runs]).reshape(count, -1).numpy()
    return Patched(values[:, -1], values[:, :-1].reshape(count, sources, layers))


def _rows(runs: Sequence[Run], tokens: Sequence[int], end: int, shares: bool) -> Iterator[_Row]:
    """Yield rows of one prompt, whose tokens before `end` are the stem, and those from `end` the branches.

    A model whose states cannot be shared reads every branch as a whole text, so it gets one branch at a time.
    """
    stem, branch = tuple(tokens[:end]), tuple(tokens[end:-1])  # the answer's last token predicts nothing
    most = max(1, max(BRANCH_TOKENS, end) // len(branch)) if shares else 1
    for start in range(0, len(runs), most):
        chunk = runs[start : start + most]
        places = {run: range(end + n * len(branch), end + (n + 1) * len(branch)) for n, run in enumerate(chunk)}
        parents = [*range(-1, end - 1), *(node for place in places.values() for node in (end - 1, *place[:-1]))]
        yield _Row(Tree(stem + branch * len(chunk), tuple(parents)), places)


class Patcher:
    """Puts states into the rows of the current pass; hooks call it."""

    def __init__(self, states: Tensor, rows: Sequence[_Row]) -> None:
        """Take the states (prompts, sources, layers, width), and the rows that are read."""
        self._rows, self._layers = rows, states.shape[2]
        self._states = states.flatten(1, 2)
        self._places: dict[int, Places] = {}

    def on_batch(self, batch: list[int], places: list[Positions]) -> None:
        """Prepare for a pass that reads the rows of `batch`, whose tokens are at these places."""
        chosen: dict[int, list[list[int]]] = {}
        for index, place in zip(batch, places, strict=True):
            for (prompt, number), branch in self._rows[index].runs.items():
                if number < self._states.shape[1]:
                    target = [*place[:, branch.start].tolist(), prompt, number]
                    chosen.setdefault(number % self._layers, []).append(target)
        self._places = {layer: Places(torch.tensor(targets).T) for layer, targets in chosen.items()}

    def layer(self, layer: int, hidden: Tensor) -> None:
        """Replace states (rows, width, d) of the pass in place."""
        if layer in self._places:
            ((rows, columns, _, _),) = self._places[layer].on(hidden.device)
            ((_, _, prompts, numbers),) = self._places[layer].on(self._states.device)
            hidden[rows, columns] = self._states[prompts, numbers].to(hidden.device)


@contextmanager
def _patching(model: Model, patcher: Patcher) -> Iterator[None]:
    """Pass to the patcher the states that enter the first block and that leave each block."""

    def enters(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        patcher.layer(0, entering(args, kwargs))

    def leaves(layer: int) -> Any:  # noqa: ANN401 - a hook
        return lambda module, args, output: patcher.layer(layer, leaving(output))

    blocks = anatomy(model).blocks
    hooks = [blocks[0].register_forward_pre_hook(enters, with_kwargs=True)]
    hooks += [block.register_forward_hook(leaves(layer)) for layer, block in enumerate(blocks, start=1)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
