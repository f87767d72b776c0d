"""What is tuned: an adapter of peft, with rows of the embedding or without, or the weights themselves.

Both have the same methods, so tuning does not ask which of them it drives.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from peft import LoraConfig, PeftConfig, TrainableTokensConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from spillover.errors import SpilloverError
from spillover.experiment import TuneConfig
from spillover.models.adapter import ADAPTER
from spillover.models.difference import write_difference
from spillover.models.model import Model
from spillover.models.network.head import LinearHead
from spillover.models.tuning.loss import TokenizedExample
from spillover.models.tuning.seen import SeenRows
from spillover.models.tuning.targets import chosen_blocks, to_adapt

VARIANTS: dict[str, dict[str, bool]] = {"lora": {}, "dora": {"use_dora": True}, "rslora": {"use_rslora": True}}
"""Method of peft → its options: Hu et al. 2021, Liu et al. 2024 (arXiv 2402.09353), Kalajdzievski 2023 (2312.03732)."""

WEIGHTS = "learned.safetensors"
"""The file of a checkpoint that holds learned weights; an adapter's checkpoint is peft's."""


class Parts(Protocol):
    """The parts of a network that learn."""

    network: Any
    """What the Trainer trains."""
    learnable: list[Tensor]
    """All parameters that may learn."""
    embedding: Tensor | None
    """The one among them that holds rows of the embedding."""

    @property
    def rows(self) -> Callable[[], tuple[Tensor, Tensor]] | None:
        """Returns the tokens (k,), ascending, and their rows (k, d) of the unembedding; None if it does not learn."""

    def learning(self) -> AbstractContextManager[None]:
        """Return a block within which passes over examples give all parts their gradient."""

    def reading(self) -> AbstractContextManager[None]:
        """Return a block within which the network reads any token, also inside `learning`."""

    def synchronize(self) -> None:
        """Let the network read what the last step learned."""

    def load(self, checkpoint: Path) -> None:
        """Read the parts from a checkpoint."""

    def save(self, folder: Path) -> None:
        """Write the parts as the other stages read them."""

    def close(self) -> None:
        """Leave the weights of the base model as they were."""


class Adapter:
    """An adapter of peft."""

    def __init__(self, model: Model, examples: Sequence[TokenizedExample], settings: TuneConfig) -> None:
        """Put a new adapter into the network."""
        tokens = _seen(examples) if settings.embeddings == "seen" else None
        if settings.targets or tokens is None:
            config: PeftConfig = LoraConfig(
                r=settings.rank,
                lora_alpha=settings.alpha,
                lora_dropout=settings.dropout,
                target_modules=to_adapt(model, settings.targets, settings.layers),
                task_type="CAUSAL_LM",
                **({} if tokens is None else {"trainable_token_indices": tokens}),
                **VARIANTS[settings.method],
            )
        else:
            config = TrainableTokensConfig(token_indices=tokens, task_type="CAUSAL_LM")
        with warnings.catch_warnings():
            # peft warns of settings for Conv1D that it corrects itself, and of tied embeddings, which stay tied
            warnings.filterwarnings("ignore", message=".*fan_in_fan_out|.*tie_word_embeddings")
            self.network = get_peft_model(model.network, config)
        self._seen = None if tokens is None else SeenRows(model.network)
        self.learnable = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.embedding = self._seen.learned if self._seen else None

    @property
    def rows(self) -> Callable[[], tuple[Tensor, Tensor]] | None:
        """Implement `Parts`."""
        return self._seen.values if self._seen and self._seen.tied else None

    def learning(self) -> AbstractContextManager[None]:
        """Implement `Parts`."""
        return self._seen.learning() if self._seen else nullcontext()

    def reading(self) -> AbstractContextManager[None]:
        """Implement `Parts`."""
        return self._seen.reading() if self._seen else nullcontext()

    def synchronize(self) -> None:
        """Implement `Parts`."""
        if self._seen:
            self._seen.synchronize()

    def load(self, checkpoint: Path) -> None:
        """Implement `Parts`."""
        self.network.load_adapter(str(checkpoint), ADAPTER)
        self.synchronize()

    def save(self, folder: Path) -> None:
        """Implement `Parts`: in peft's format."""
        self.network.save_pretrained(folder)

    def close(self) -> None:
        """Implement `Parts`. The network keeps its adapter."""
        if self._seen:
            self._seen.close()


class Weights:
    """The weights themselves: those of the chosen blocks, the final norm with all of them, and seen embedding rows."""

    def __init__(self, model: Model, examples: Sequence[TokenizedExample], settings: TuneConfig) -> None:
        """Mark the weights that learn, and remember their values."""
        network = self.network = model.network
        if network.dtype != torch.float32:
            raise SpilloverError(
                f"tune.method: 'full' learns in float32, found weights in {str(network.dtype).removeprefix('torch.')}; "
                "small steps would be rounded away"
            )
        ends = [network.get_input_embeddings(), network.get_output_embeddings()]
        apart = {id(weight) for end in ends if end is not None for weight in end.parameters()}
        inside = {id(weight) for block in chosen_blocks(model, settings.layers) for weight in block.parameters()}
        whole = settings.layers == "all"
        learns = {
            id(weight) for weight in network.parameters() if id(weight) in inside or (whole and id(weight) not in apart)
        }
        self._tokens = None
        if settings.embeddings == "seen":
            learns.add(id(ends[0].weight))
            self._tokens = torch.tensor(_seen(examples), device=model.device)
        self._tied = ends[1] is not None and ends[0].weight is ends[1].weight
        for weight in network.parameters():
            weight.requires_grad_(id(weight) in learns)
        self._learned = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        self.learnable = list(self._learned.values())
        self.embedding = None if self._tokens is None else ends[0].weight
        self._base = {name: weight.detach().clone() for name, weight in self._learned.items()}

    @property
    def rows(self) -> Callable[[], tuple[Tensor, Tensor]] | None:
        """Implement `Parts`."""
        tokens = self._tokens
        return (
            (lambda: (tokens, self.network.get_input_embeddings().weight[tokens]))
            if tokens is not None and self._tied
            else None
        )

    def learning(self) -> AbstractContextManager[None]:
        """Implement `Parts`."""
        return nullcontext()

    def reading(self) -> AbstractContextManager[None]:
        """Implement `Parts`."""
        return nullcontext()

    def synchronize(self) -> None:
        """Implement `Parts`: the network reads what learns."""

    def load(self, checkpoint: Path) -> None:
        """Implement `Parts`."""
        load_weights(self.network, checkpoint)

    def save(self, folder: Path) -> None:
        """Implement `Parts`: as the difference to the base."""
        write_difference(folder, self._learned, self._base)

    @torch.no_grad()
    def close(self) -> None:
        """Implement `Parts`."""
        for name, weight in self._learned.items():
            weight.copy_(self._base[name])
        for weight in self.network.parameters():
            weight.requires_grad_(True)


@contextmanager
def prepared(model: Model, examples: Sequence[TokenizedExample], settings: TuneConfig) -> Iterator[Parts]:
    """Prepare the parts that learn; at the end of the block the weights of the base model are as they were.

    Raises:
        SpilloverError: a part cannot be tuned in this model.
    """
    parts: Parts = (Weights if settings.method == "full" else Adapter)(model, examples, settings)
    try:
        if parts.rows and not isinstance(model.head, LinearHead):
            raise SpilloverError(
                f"tune.embeddings: {model.config.model_type}: its embedding is its unembedding too, and its logits are "
                "more than a linear map of its states; set it to 'none'"
            )
        yield parts
    finally:
        parts.close()


def restrict(model: Model, parts: Parts, layers: Sequence[int | float] | str | None) -> None:
    """Let only the blocks of a phase learn, of those that were prepared; None: all. Embedding rows learn in any case.

    Raises:
        SpilloverError: none of the prepared blocks is among them.
    """
    for weight in parts.learnable:
        weight.requires_grad_(True)
    if layers is None:
        return
    chosen = {id(weight) for block in chosen_blocks(model, layers) for weight in block.parameters()}
    for weight in parts.learnable:
        weight.requires_grad_(id(weight) in chosen or weight is parts.embedding)
    if not any(weight.requires_grad for weight in parts.learnable):
        raise SpilloverError(f"mixture.phases.layers: {layers!r} has none of the blocks of tune.layers")


def save_weights(network: torch.nn.Module, checkpoint: Path) -> None:
    """Write the weights that learn to a checkpoint."""
    learned = {name: weight.detach() for name, weight in network.named_parameters() if weight.requires_grad}
    save_file(learned, checkpoint / WEIGHTS, metadata={"format": "pt"})


@torch.no_grad()
def load_weights(network: torch.nn.Module, checkpoint: Path) -> None:
    """Read the weights that learn from a checkpoint."""
    for name, values in load_file(checkpoint / WEIGHTS).items():
        network.get_parameter(name).copy_(values)


def _seen(examples: Sequence[TokenizedExample]) -> list[int]:
    """Return the tokens that occur in examples, ascending."""
    return sorted({token for example in examples for token in example.tokens})
