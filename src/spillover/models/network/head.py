"""A network in two halves: its backbone, from token ids to hidden states, and its head, from hidden states to logits.

Most architectures have a linear head with a scale or a cap: `LinearHead`, which streams over the vocabulary. The others
do more than that: `NetworkHead` runs the network's own forward on states. `dissect` tries both against the logits of
the whole network, and refuses a network that neither reproduces. Everything here is computed in float32.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from spillover.errors import SpilloverError, first_line
from spillover.models.network.precision import in_float32
from spillover.utils.progress import notify

SCALES = ("logit_scale", "logits_scaling", "lm_head_multiplier", "logits_mup_width_multiplier")
"""Keys of a configuration that scale the logits. `dissect` finds out whether an architecture multiplies or divides.

In this order: Cohere; Granite, which divides, and HyperCLOVAX, which multiplies; Falcon-H1; Inkling, which divides.
"""

CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""Keys of a configuration whose value bounds the logits smoothly: in Gemma 2, RecurrentGemma and xLSTM."""

VOCABULARY_BLOCK = 8192
"""Tokens of the vocabulary whose logits `LinearHead` computes at a time."""

LOGIT_BLOCK = 1 << 23
"""Logits that `NetworkHead`, which cannot compute a part of the vocabulary, computes at a time: 32 MiB in float32."""

PROBE_LENGTH, FUTURE_LENGTH = 5, 2
"""Tokens of the sequence that `dissect` reads, and tokens at its end that earlier states must not depend on."""

TOLERANCE = 1e-4
"""Relative difference up to which two computations of the same float32 logits agree. Rounding alone makes 1e-6."""


@dataclass(frozen=True, slots=True)
class Finish:
    """What an architecture does to logits after its linear map."""

    scale: float = 1.0
    """Factor of every logit."""
    cap: float | None = None
    """Bound of every logit, approached as tanh does and applied last; None if there is none."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Return finished logits; `logits` itself if there is neither scale nor cap."""
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
class LinearHead:
    """A linear map whose logits are scaled or capped; a part of the vocabulary costs only its part of the work."""

    unembedding: torch.nn.Linear
    """The map."""
    finish: Finish
    """The scale and the cap of its logits."""
    vocabulary: int
    """Number of tokens that have a logit: at most the rows of the map, which some architectures pad."""

    def logits(self, hidden: Tensor, part: slice | Tensor = slice(None)) -> Tensor:
        """Implement `Head`. In half precision the logits of two labels would tie or change places."""
        rows = slice(*part.indices(self.vocabulary)) if isinstance(part, slice) else part
        bias = None if self.unembedding.bias is None else self.unembedding.bias[rows].float()
        return self.finish(torch.nn.functional.linear(hidden.float(), self.unembedding.weight[rows].float(), bias))

    def blocks(self, hidden: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Implement `Head`."""
        for start in range(0, self.vocabulary, VOCABULARY_BLOCK):
            yield start, self.logits(hidden, slice(start, start + VOCABULARY_BLOCK))


@dataclass(frozen=True, slots=True)
class NetworkHead:
    """The network's own forward from states to logits, always for the whole vocabulary."""

    network: Any
    """The whole network."""
    backbone: Any
    """The part of it that returns the states."""
    output: Callable[..., Any]
    """The type in which the backbone returns them."""
    vocabulary: int
    """Number of tokens that have a logit."""

    def logits(self, hidden: Tensor, part: slice | Tensor = slice(None)) -> Tensor:
        """Implement `Head`."""
        blocks = torch.split(hidden, max(1, LOGIT_BLOCK // self.vocabulary))
        return torch.cat([self._logits(block)[:, part] for block in blocks])

    def blocks(self, hidden: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Implement `Head`, in one part."""
        yield 0, self.logits(hidden)

    def _logits(self, hidden: Tensor) -> Tensor:
        states = self.output(last_hidden_state=hidden[None])
        ids = torch.ones(1, len(hidden), dtype=torch.long, device=hidden.device)
        with forward_replaced(self.backbone, lambda *args, **kwargs: states):
            return logits(self.network, ids)


@dataclass(frozen=True, slots=True)
class Halves:
    """The two halves of a network."""

    backbone: Any
    """Token ids → hidden states."""
    head: Head
    """Hidden states → logits."""
    ingredients: tuple[Any, ...]
    """Of the head, as they were when the network was dissected."""


def ingredients(network: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a class per architecture
    """Return what a network's head consists of: output embeddings, which an adapter may replace, scales and caps."""
    config = network.config.get_text_config()
    return network.get_output_embeddings(), *(getattr(config, key, None) for key in (*SCALES, *CAPS))


def logits(network: Any, ids: Tensor) -> Tensor:  # noqa: ANN401 - a class per architecture
    """Return the network's own float32 logits (tokens, vocabulary) of one sequence (1, tokens).

    The forward of its class is called, because during tuning the forward of the instance returns a loss.
    """
    with in_float32(network):
        values: Tensor = type(network).forward(network, input_ids=ids).logits[0]
    return values


def probe_tokens(config: Any, length: int) -> list[int]:  # noqa: ANN401
    """Return token ids to try a network with, none of them special."""
    return [(7 * i + 3) % min(config.vocab_size, 997) for i in range(length)]


@torch.inference_mode()
def dissect(network: Any, device: torch.device, name: str = "") -> Halves:  # noqa: ANN401
    """Return a network's backbone and head; together they reproduce the network's logits of a short text.

    Args:
        network: a causal language model of `transformers`.
        device: where its weights are.
        name: the model's name in the experiment, for errors; empty if it has none.

    Raises:
        SpilloverError: the network needs more than a text, reads in both directions, or computes its logits from more
            than hidden states.
    """
    config, unembedding = network.config.get_text_config(), network.get_output_embeddings()
    subject = f"model.name: {name!r} ({config.model_type})" if name else f"model.name: {config.model_type}"
    ids = torch.tensor([probe_tokens(config, PROBE_LENGTH)], device=device)
    with _state_modules(network) as candidates:
        whole = _finite_logits(network, ids, subject)
    expected = whole[:-FUTURE_LENGTH]
    for backbone in candidates:
        output = _states(network, backbone, ids[:, :-FUTURE_LENGTH])
        if output is None:
            continue
        hidden = output.last_hidden_state[0].float()
        linear = _linear_head(unembedding, config, hidden, expected)
        head = linear or _network_head(network, backbone, output, hidden, expected)
        if head is not None:
            return Halves(backbone, head, ingredients(network))
    without_future = _finite_logits(network, ids[:, :-FUTURE_LENGTH], subject)
    if not _agree(without_future, expected):  # an encoder, which would see its answers
        raise SpilloverError(f"{subject} reads both ways, expected a causal language model")
    raise SpilloverError(
        f"{subject} has logits that cannot be computed from the hidden states of one of its parts, so it cannot be "
        "scored; choose another model"
    )


def _finite_logits(network: Any, ids: Tensor, subject: str) -> Tensor:  # noqa: ANN401
    try:
        expected = logits(network, ids)
    except Exception as error:  # an architecture that needs more than a text may raise anything
        raise SpilloverError(f"{subject} cannot read a text alone: {first_line(error)}") from error
    if not torch.isfinite(expected).all():
        raise SpilloverError(f"{subject} has logits that are not finite numbers; its weights are damaged")
    return expected


def _states(network: Any, backbone: Any, ids: Tensor) -> Any:  # noqa: ANN401
    """Return a module's output for token ids; None if it takes no token ids, or returns no states."""
    try:
        with in_float32(network):
            output = backbone(input_ids=ids)
        return output if output.last_hidden_state.shape[:2] == ids.shape else None
    except Exception:  # any exception means that this module is not the backbone
        return None


def _linear_head(unembedding: Any, config: Any, hidden: Tensor, expected: Tensor) -> LinearHead | None:  # noqa: ANN401
    """Return the linear head whose finish comes nearest to the expected logits; None if none comes near."""
    vocabulary = expected.shape[1]
    if not isinstance(unembedding, torch.nn.Linear) or unembedding.in_features != hidden.shape[1]:
        return None
    if unembedding.out_features < vocabulary:
        return None
    raw = torch.cat([part for _, part in LinearHead(unembedding, Finish(), vocabulary).blocks(hidden)], dim=1)
    finish = min(_finishes(config), key=lambda finish: float((finish(raw) - expected).norm()))
    return LinearHead(unembedding, finish, vocabulary) if _agree(finish(raw), expected) else None


def _finishes(config: Any) -> list[Finish]:  # noqa: ANN401
    """Return every combination of a scale and a cap that the configuration allows."""
    values = [float(value) for key in SCALES if (value := getattr(config, key, None))]
    caps = [None, *(float(value) for key in CAPS if (value := getattr(config, key, None)))]
    scales = [1.0, *values, *(1 / value for value in values)]
    return [Finish(scale, cap) for scale, cap in product(scales, caps)]


def _network_head(
    network: Any,  # noqa: ANN401
    backbone: Any,  # noqa: ANN401
    output: Any,  # noqa: ANN401
    hidden: Tensor,
    expected: Tensor,
) -> NetworkHead | None:
    """Return the network's own head; None if it needs more than states, or mixes the states of different tokens."""
    head = NetworkHead(network, backbone, type(output), expected.shape[1])
    try:
        actual = head.logits(hidden.roll(1, dims=0)).roll(-1, dims=0)
    except Exception:  # it needs something else that the backbone returns
        return None
    if not _agree(actual, expected):
        return None
    notify(f"{network.config.model_type}: its logits are more than a linear map of its states; its own head is slower")
    return head


def _agree(actual: Tensor, expected: Tensor) -> bool:
    return actual.shape == expected.shape and bool((actual - expected).norm() <= TOLERANCE * expected.norm())


@contextmanager
def _state_modules(network: Any) -> Iterator[list[Any]]:  # noqa: ANN401
    """Fill a list with the modules that return hidden states in a pass: the decoder first, then from the inside."""
    modules: list[Any] = []

    def returned(module: Any, args: object, output: object) -> None:  # noqa: ANN401
        if getattr(output, "last_hidden_state", None) is not None and module is not network:
            modules.append(module)

    parts = [module for module in network.modules() if isinstance(module, PreTrainedModel)]
    hooks = [module.register_forward_hook(returned) for module in parts]
    try:
        yield modules
    finally:
        for hook in hooks:
            hook.remove()
    decoder = _decoder(network)
    modules.sort(key=lambda module: module is not decoder)


def _decoder(network: Any) -> Any:  # noqa: ANN401
    try:
        return network.get_decoder()
    except (AttributeError, NotImplementedError):
        return None


@contextmanager
def forward_replaced(module: Any, forward: Callable[..., object]) -> Iterator[None]:  # noqa: ANN401
    """Let a module's own forward be another one within the block. accelerate replaces it too, for other devices."""
    overridden: Mapping[str, Any] = {name: value for name, value in vars(module).items() if name == "forward"}
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        vars(module).update(overridden)
