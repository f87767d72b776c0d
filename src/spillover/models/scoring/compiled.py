"""Scoring with layers that `torch.compile` compiles. The last digits of the scores differ from those of plain layers.

An arm's first cell waits for the compiler, which takes seconds per layer. Batches of other sizes need no further
compilation.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from inspect import signature
from shutil import which

import torch

from spillover.errors import SpilloverError, first_line
from spillover.models.inference.prefix import PrefixReader
from spillover.models.network.head import forward_replaced
from spillover.models.placement import ONE_DEVICE, DeviceMap
from spillover.models.scoring.requirements import require_present, require_settings
from spillover.models.scoring.score import Scores
from spillover.models.scoring.score import score as score_plainly
from spillover.records import Prompt


def check_compiler(quantize: str, device_map: DeviceMap) -> None:
    """Refuse settings whose layers cannot be compiled, and machines without a compiler.

    Raises:
        SpilloverError: the weights are quantized or on several devices, or there is no compiler.
    """
    settings = [("model.quantize", quantize, "none"), ("model.device_map", device_map, ONE_DEVICE)]
    require_settings("compiled", settings)
    on_gpu = torch.cuda.is_available()
    needs = {
        "the package triton": not on_gpu or find_spec("triton") is not None,
        "a C++ compiler": on_gpu or _has_compiler(),
        "a newer torch": "isolate_recompiles" in signature(torch.compile).parameters,
    }
    require_present("compiled", needs)


def _has_compiler() -> bool:
    return any(map(which, (os.environ.get("CXX", "g++"), "clang++")))


def score(
    reader: PrefixReader,
    prompts: Sequence[Prompt],
    scoring: str = "exact",
    overflow: str = "drop-exemplars",
    advance: Callable[[int], None] = lambda items: None,
) -> Scores:
    """Do what `models.scoring.score.score` does; see there for the arguments and the errors.

    Raises:
        SpilloverError: the layers cannot be compiled.
    """
    model = reader.model
    if not model.compiled_layers:
        raise SpilloverError(
            f"evaluate.engine: {model.config.model_type!r} has no layers that can be compiled; choose 'transformers'"
        )
    try:
        with ExitStack() as stack:
            for layer, forward in model.compiled_layers:
                stack.enter_context(forward_replaced(layer, forward))
            return score_plainly(reader, prompts, scoring, overflow, advance)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # whatever a step of the compiler raises becomes one
        reason = first_line(getattr(error, "inner_exception", error))
        raise SpilloverError(
            f"evaluate.engine: torch cannot compile the layers of {model.config.model_type!r}: {reason}; choose "
            "'transformers'"
        ) from error
