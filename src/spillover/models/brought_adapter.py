"""Put an adapter that was made elsewhere into its base model, with every check that training here makes superfluous.

The network is changed for good: rows are added, modules are replaced. So it is loaded for this adapter alone.
"""

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoTokenizer

from spillover.errors import SpilloverError
from spillover.models.adapter import ADAPTER, write_rows
from spillover.models.adapter_files import WEIGHTS
from spillover.models.damage import require_embedded
from spillover.models.difference import is_difference, put_in
from spillover.models.network.head import logits, probe_tokens
from spillover.utils.progress import notify

PROBE_LENGTH = 24
"""Tokens on which the scores with and without the adapter are compared."""

NOTHING = 1e-4
"""Largest change of a log-probability, in nats, that counts as none: rounding in float32 makes less."""

MERGED = 1e-3
"""Change of a log-probability by merging, in nats, from which on it is said."""

RANDOM_START = "pissa_niter_"
"""How `init_lora_weights` begins where peft changes the base's weights by a decomposition that is drawn at random."""

MISMATCH = re.compile(r"size mismatch for (\S+): .*?Size\((\[.*?\])\).*?Size\((\[.*?\])\)", re.DOTALL)
"""What torch says of a weight of another shape: its name, the shape in the file, the shape in the network."""


def add_adapter(network: Any, tokenizer: Any, folder: Path, merged: bool, where: str) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the network with the adapter, and the tokenizer to use: the adapter's, if it brings one.

    Args:
        network: the base model of `transformers`.
        tokenizer: its tokenizer.
        folder: folder of the adapter, or of a fully tuned model's difference.
        merged: whether the adapter is added to the weights.
        where: the key of the experiment that names the adapter, for errors.

    Raises:
        SpilloverError: the adapter does not belong to the network, or changes nothing.
    """
    network.eval()
    if is_difference(folder):
        tokens = _probe(network, ())
        before = _log_probabilities(network, tokens)
        put_in(network, folder)
        _require_change(before, _log_probabilities(network, tokens), folder, where)
        return network, tokenizer
    config = _config(folder, where)
    rows = network.get_input_embeddings().weight.shape[0]
    tokens = _probe(network, (token for token in _tuned_tokens(config) if token < rows))
    before = _log_probabilities(network, tokens)
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    _resize(network, folder, rows)
    require_embedded(network, tokenizer, str(folder))
    wrapper = _wrapped(network, config, folder, where)
    write_rows(network)
    after = _log_probabilities(network, tokens)
    _require_change(before, after, folder, where)
    if merged:
        shared = _shared_weights(network)
        network = wrapper.merge_and_unload(safe_merge=True)
        _check_merging(after, _log_probabilities(network, tokens), shared, folder, where)
    else:
        _replace_saved_modules(network)
    return network, tokenizer


def _config(folder: Path, where: str) -> Any:  # noqa: ANN401 - a class per kind of adapter
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise SpilloverError(
            f"{where}: {str(folder)!r} is of the kind {config.peft_type.value}, whose virtual tokens stand before "
            "every prompt, expected a kind that changes weights, such as LORA"
        )
    settings = config.to_dict()
    if settings.get("alora_invocation_tokens"):
        raise SpilloverError(
            f"{where}: {str(folder)!r} is an activated LoRA, which works only after certain tokens of a prompt "
            "(alora_invocation_tokens), expected an adapter that works at every token"
        )
    start = settings.get("init_lora_weights")
    if str(start).startswith(RANDOM_START):
        raise SpilloverError(
            f"{where}: {str(folder)!r} has init_lora_weights = {start!r}, so peft takes a random decomposition out of "
            "the base's weights, another one at each load, expected 'pissa', or an adapter that was saved with "
            "path_initial_model_for_weight_conversion"
        )
    return config


def _tuned_tokens(config: Any) -> list[int]:  # noqa: ANN401
    """Return the tokens whose rows an adapter tunes."""
    indices = getattr(config, "trainable_token_indices", None) or getattr(config, "token_indices", None) or []
    tables = indices.values() if isinstance(indices, dict) else [indices]
    return [int(token) for table in tables for token in table]


def _resize(network: Any, folder: Path, rows: int) -> None:  # noqa: ANN401
    """Give the embeddings as many rows as the adapter's file has, which then fills them."""
    names = {
        name.rpartition(".")[2]
        for name, module in network.named_modules()
        if module in (network.get_input_embeddings(), network.get_output_embeddings())
    }
    with safe_open(folder / WEIGHTS, "np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    sizes = {
        shape[0]
        for name, shape in shapes.items()
        if name.endswith(".weight") and "lora_" not in name and names.intersection(name.split("."))
    }
    if sizes and sizes != {rows}:
        network.resize_token_embeddings(max(sizes), mean_resizing=False)


def _wrapped(network: Any, config: Any, folder: Path, where: str) -> Any:  # noqa: ANN401
    """Return peft's wrapper of the network, every weight of the file in its place."""
    from peft import PeftModel

    try:
        with warnings.catch_warnings():  # what peft warns of is an error below
            warnings.simplefilter("ignore")
            wrapper = PeftModel.from_pretrained(network, folder, config=config)
            result = wrapper.load_adapter(str(folder), ADAPTER)
    except RuntimeError as error:
        if (mismatch := MISMATCH.search(str(error))) is None:
            raise
        weight, shape, expected = mismatch.groups()
        raise SpilloverError(
            f"{where}: {str(folder)!r} does not belong to the model: its {weight!r} has the shape {shape}, expected "
            f"{expected}"
        ) from error
    absent = _absent(wrapper, result.missing_keys)
    # a resized module that is saved whole is stored twice
    extra = [name for name in result.unexpected_keys if ".modules_to_save." not in name]
    for kind, names in (("no place for", extra), ("no weights for", absent)):
        if names:
            raise SpilloverError(
                f"{where}: {str(folder)!r} does not belong to the model: found {kind} {sorted(names)[0]!r} "
                f"({len(names)} such weights)"
            )
    return wrapper


def _absent(wrapper: Any, missing: list[str]) -> list[str]:  # noqa: ANN401
    """Return the missing weights that the file has under no other name: what several modules share is stored once."""
    parameters = dict(wrapper.named_parameters(remove_duplicate=False))
    stored = {id(parameter) for name, parameter in parameters.items() if name not in missing}
    return [
        name
        for name in missing
        if id(parameters.get(name)) not in stored and "trainable_tokens_delta" not in name  # a tied one follows another
    ]


def _shared_weights(network: Any) -> list[str]:  # noqa: ANN401
    """Return the adapted modules whose own weight is also another module's; merging changes it for both."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    uses = Counter(id(weight) for module in network.modules() for weight in module._parameters.values())
    adapted = [(name, module) for name, module in network.named_modules() if isinstance(module, BaseTunerLayer)]
    return [
        name
        for name, module in adapted
        if any(uses[id(weight)] > 1 for weight in module.get_base_layer().parameters(recurse=False))
    ]


def _replace_saved_modules(network: Any) -> None:  # noqa: ANN401
    """Put the modules that an adapter brings whole in the place of peft's wrappers, which hide the unembedding."""
    for parent, name, wrapper in list(_saved_modules(network)):
        setattr(parent, name, wrapper.modules_to_save[ADAPTER])


def _saved_modules(network: Any) -> Iterator[tuple[Any, str, Any]]:  # noqa: ANN401
    from peft.utils.other import ModulesToSaveWrapper

    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, ModulesToSaveWrapper):
                yield parent, name, child


def _probe(network: Any, tuned: Iterator[int] | tuple[()]) -> Tensor:  # noqa: ANN401
    """Return (1, tokens): tokens to compare scores on, with those whose rows the adapter tunes."""
    config = network.config.get_text_config()
    return torch.tensor([[*probe_tokens(config, PROBE_LENGTH), *list(tuned)[:PROBE_LENGTH]]], device=network.device)


@torch.inference_mode()
def _log_probabilities(network: Any, tokens: Tensor) -> Tensor:  # noqa: ANN401
    return torch.log_softmax(logits(network, tokens), dim=-1)


def _difference(before: Tensor, after: Tensor) -> float:
    """Return the largest change of a log-probability, in nats; without end if the vocabulary changed."""
    return float((after - before).abs().max()) if before.shape == after.shape else float("inf")


def _require_change(before: Tensor, after: Tensor, folder: Path, where: str) -> None:
    if not torch.isfinite(after).all():
        raise SpilloverError(f"{where}: with {str(folder)!r} the scores are not finite numbers")
    if _difference(before, after) <= NOTHING:
        raise SpilloverError(
            f"{where}: {str(folder)!r} changes nothing: {len(before)} probe tokens "
            "score as in the base, expected an adapter that was trained"
        )


def _check_merging(apart: Tensor, merged: Tensor, shared: list[str], folder: Path, where: str) -> None:
    """Say what merging changes by rounding; refuse a merged weight that belongs to another module, too."""
    change = _difference(apart, merged)
    if change > MERGED and shared:
        raise SpilloverError(
            f"{where}: {str(folder)!r} cannot be merged: it tunes {shared[0]!r}, whose weight another module shares, "
            f"so the scores change by up to {change:.2g} nats per token, expected evaluate.merged = false"
        )
    if change > MERGED:
        notify(
            f"{where}: merged into the weights, it scores up to {change:.2g} nats a token differently than beside them"
        )
