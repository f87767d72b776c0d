"""From token ids to logits, in two halves that are found by trying: a network's backbone, and what maps its states on.

The map is a linear one with a scale or a cap for most architectures: `Linear`, which streams over the vocabulary. Some
do more than that: `Own` runs the network's own forward on states. `dissect` compares either with the logits of the
whole network and refuses a network that neither reproduces. Everything here is computed in float32.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from spillover.errors import SpilloverError
from spillover.models.inference.precision import in_float32
from spillover.utils.progress import notify

SCALES = ("logit_scale", "logits_scaling", "lm_head_multiplier", "logits_mup_width_multiplier")
"""Keys of a configuration by which an architecture multiplies its logits, or divides them: the probe finds out which.

Cohere, Granite (divides) and HyperCLOVAX (multiplies), Falcon-H1, Inkling (divides).
"""

CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""Keys of a configuration whose value bounds the logits smoothly. Gemma 2, RecurrentGemma, xLSTM."""

VOCABULARY = 8192
"""Tokens whose logits `Linear` computes at a time."""

CELLS = 1 << 23
"""Logits that `Own`, which cannot compute a part of the vocabulary, computes at a time: 32 MiB in float32."""

PROBE, FUTURE = 5, 2
"""Tokens of the sequence that `dissect` reads whole, and how many at its end the states are to be free of."""

TOLERANCE = 1e-4
"""Relative difference up to which two ways to the same logits agree in float32. Rounding alone makes 1e-6."""


@dataclass(frozen=True, slots=True)
class Finish:
    """What an architecture does to logits after its linear map."""

    scale: float = 1.0
    """Factor of every logit."""
    cap: float | None = None
    """Bound of every logit, approached as tanh does; applied last."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Return finished logits; `logits` itself where nothing is done to them."""
        if self.scale != 1:
            logits = logits * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


class Head(Protocol):
    """What maps hidden states to logits."""

    @property
    def vocabulary(self) -> int:
        """Number of tokens that have a logit."""

    def logits(self, hidden: Tensor, part: slice | Tensor) -> Tensor:
        """Return the float32 logits (n, |part|) of states (n, d) for a part of the vocabulary."""

    def blocks(self, hidden: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the first token and the float32 logits (n, tokens) of each part of the vocabulary, in order."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear map whose logits are scaled or capped; a part of the vocabulary costs only its part of the work."""

    unembedding: torch.nn.Linear
    """The map."""
    finish: Finish
    """What is done to its logits."""
    vocabulary: int
    """Number of tokens that have a logit: at most the rows of the map, which some architectures pad."""

    def logits(self, hidden: Tensor, part: slice | Tensor = slice(None)) -> Tensor:
        """Do what `Head` says. In half precision the logits of two labels would tie or change places."""
        rows = slice(*part.indices(self.vocabulary)) if isinstance(part, slice) else part
        bias = None if self.unembedding.bias is None else self.unembedding.bias[rows].float()
        return self.finish(torch.nn.functional.linear(hidden.float(), self.unembedding.weight[rows].float(), bias))

    def blocks(self, hidden: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Do what `Head` says."""
        for start in range(0, self.vocabulary, VOCABULARY):
            yield start, self.logits(hidden, slice(start, start + VOCABULARY))


@dataclass(frozen=True, slots=True)
class Own:
    """The network's own way from states to logits, whatever it is; always for the whole vocabulary."""

    network: Any
    """The whole network."""
    backbone: Any
    """The part of it that returns the states."""
    output: Callable[..., Any]
    """The type in which the backbone returns them."""
    vocabulary: int
    """Number of tokens that have a logit."""

    def logits(self, hidden: Tensor, part: slice | Tensor = slice(None)) -> Tensor:
        """Do what `Head` says."""
        blocks = torch.split(hidden, max(1, CELLS // self.vocabulary))
        return torch.cat([self._logits(block)[:, part] for block in blocks])

    def blocks(self, hidden: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Do what `Head` says, in one part."""
        yield 0, self.logits(hidden)

    def _logits(self, hidden: Tensor) -> Tensor:
        states = self.output(last_hidden_state=hidden[None])
        ids = torch.ones(1, len(hidden), dtype=torch.long, device=hidden.device)
        with _returning(self.backbone, states):
            return logits(self.network, ids)


@dataclass(frozen=True, slots=True)
class Halves:
    """A network in two."""

    backbone: Any
    """Token ids → hidden states."""
    head: Head
    """Hidden states → logits."""
    made_of: tuple[Any, ...]
    """What `ingredients` found when the network was dissected."""


def ingredients(network: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a class per architecture
    """Return what a network's head is made of: output embeddings, which an adapter replaces, scales, caps."""
    config = network.config.get_text_config()
    return network.get_output_embeddings(), *(getattr(config, key, None) for key in (*SCALES, *CAPS))


def logits(network: Any, ids: Tensor) -> Tensor:  # noqa: ANN401 - a class per architecture
    """Return the network's own float32 logits (tokens, vocabulary) of one sequence (1, tokens).

    By its class: while it is tuned, the forward of the instance returns a loss.
    """
    with in_float32(network):
        found: Tensor = type(network).forward(network, input_ids=ids).logits[0]
    return found


def probe_tokens(config: Any, length: int) -> list[int]:  # noqa: ANN401
    """Return token ids to try a network with, none of them special."""
    return [(7 * i + 3) % min(config.vocab_size, 997) for i in range(length)]


@torch.inference_mode()
def dissect(network: Any, device: torch.device, name: str = "") -> Halves:  # noqa: ANN401
    """Return a network's backbone and head, of which the logits of a short text prove that they are its halves.

    Args:
        network: a causal language model of `transformers`.
        device: where its weights are.
        name: what the experiment calls it; empty: nothing, and a refusal names its architecture alone.

    Raises:
        SpilloverError: the network cannot read a text alone, reads both ways, or has logits that its states don't give.
    """
    config, unembedding = network.config.get_text_config(), network.get_output_embeddings()
    subject = f"model.name: {name!r} ({config.model_type})" if name else f"model.name: {config.model_type}"
    ids = torch.tensor([probe_tokens(config, PROBE)], device=device)
    with _watched(network) as readers:
        whole = _read(network, ids, subject)
    expected = whole[:-FUTURE]
    for backbone in readers:
        output = _states(network, backbone, ids[:, :-FUTURE])
        if output is None:
            continue
        hidden = output.last_hidden_state[0].float()
        head = _linear(unembedding, config, hidden, expected) or _own(network, backbone, output, hidden, expected)
        if head is not None:
            return Halves(backbone, head, ingredients(network))
    if not _agree(_read(network, ids[:, :-FUTURE], subject), expected):  # an encoder, which would see its answers
        raise SpilloverError(f"{subject} reads both ways, expected a causal language model")
    raise SpilloverError(
        f"{subject} has logits that cannot be computed from the hidden states of one of its parts, so it cannot be "
        "scored here; choose another model"
    )


def _read(network: Any, ids: Tensor, subject: str) -> Tensor:  # noqa: ANN401
    try:
        expected = logits(network, ids)
    except Exception as error:  # whatever an architecture raises that needs more than a text
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise SpilloverError(f"{subject} cannot read a text alone: {reason}") from error
    if not torch.isfinite(expected).all():
        raise SpilloverError(f"{subject} has logits that are not finite numbers; its weights are damaged")
    return expected


def _states(network: Any, backbone: Any, ids: Tensor) -> Any:  # noqa: ANN401
    """Return a part's output for token ids; None where it takes none, or gives no states."""
    try:
        with in_float32(network):
            output = backbone(input_ids=ids)
        return output if output.last_hidden_state.shape[:2] == ids.shape else None
    except Exception:  # not the part that is looked for, whatever it raises
        return None


def _linear(unembedding: Any, config: Any, hidden: Tensor, expected: Tensor) -> Linear | None:  # noqa: ANN401
    """Return the linear head whose finish comes nearest to the expected logits; None where none comes near."""
    vocabulary = expected.shape[1]
    if not isinstance(unembedding, torch.nn.Linear) or unembedding.in_features != hidden.shape[1]:
        return None
    if unembedding.out_features < vocabulary:
        return None
    raw = torch.cat([part for _, part in Linear(unembedding, Finish(), vocabulary).blocks(hidden)], dim=1)
    finish = min(_finishes(config), key=lambda finish: float((finish(raw) - expected).norm()))
    return Linear(unembedding, finish, vocabulary) if _agree(finish(raw), expected) else None


def _finishes(config: Any) -> list[Finish]:  # noqa: ANN401
    """Return the ways in which logits may be finished by what the configuration says."""
    values = [float(value) for key in SCALES if (value := getattr(config, key, None))]
    caps = [None, *(float(value) for key in CAPS if (value := getattr(config, key, None)))]
    return [Finish(*way) for way in product([1.0, *values, *(1 / value for value in values)], caps)]


def _own(network: Any, backbone: Any, output: Any, hidden: Tensor, expected: Tensor) -> Own | None:  # noqa: ANN401
    """Return the network's own head; None where it needs more than states, or mixes those of different tokens."""
    head = Own(network, backbone, type(output), expected.shape[1])
    try:
        found = head.logits(hidden.roll(1, dims=0)).roll(-1, dims=0)
    except Exception:  # it asks for something else that the backbone returns
        return None
    if not _agree(found, expected):
        return None
    notify(f"{network.config.model_type}: its logits are more than a linear map of its states; its own head is slower")
    return head


def _agree(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and bool((found - expected).norm() <= TOLERANCE * expected.norm())


@contextmanager
def _watched(network: Any) -> Iterator[list[Any]]:  # noqa: ANN401
    """Fill the list with the parts that return hidden states in a pass: the network's decoder, then from the inside."""
    readers: list[Any] = []

    def returned(module: Any, args: object, output: object) -> None:  # noqa: ANN401
        if getattr(output, "last_hidden_state", None) is not None and module is not network:
            readers.append(module)

    parts = [module for module in network.modules() if isinstance(module, PreTrainedModel)]
    hooks = [module.register_forward_hook(returned) for module in parts]
    try:
        yield readers
    finally:
        for hook in hooks:
            hook.remove()
    decoder = _decoder(network)
    readers.sort(key=lambda module: module is not decoder)


def _decoder(network: Any) -> Any:  # noqa: ANN401
    try:
        return network.get_decoder()
    except (AttributeError, NotImplementedError):
        return None


@contextmanager
def _returning(module: Any, output: object) -> Iterator[None]:  # noqa: ANN401
    """Let a module return this, whatever it is called with."""
    overridden: Mapping[str, Any] = {name: value for name, value in vars(module).items() if name == "forward"}
    module.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        del module.forward
        vars(module).update(overridden)
