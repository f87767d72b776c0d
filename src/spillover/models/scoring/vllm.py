"""Scoring by vLLM, if it is installed and there is a GPU: the scores of `score`, from an engine made for serving.

Each step of a label is a request: a context after which only the label's next token is allowed. vLLM reports the
log-probability of that token among all tokens (`raw_logprobs` are taken before masking). Contexts that begin alike
share the prefix cache, which vLLM does not use for the log-probabilities of a prompt.

This module was written from vLLM's documentation and tested against a stand-in that computes with transformers, never
on a GPU. So its results are checked against a law: the tokens after one context have a total probability of at most 1.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import torch

from spillover.errors import SpilloverError
from spillover.experiment import TuneConfig
from spillover.models.inference.queries import Query
from spillover.models.load import one_sentence, resolve_dtype, without_weights
from spillover.models.locate import fingerprint, locate
from spillover.models.model import Model
from spillover.models.placement import ONE_DEVICE, DeviceMap, describe
from spillover.models.scoring.requirements import require_present, require_settings
from spillover.models.scoring.score import Scores, Values, score_with
from spillover.records import ChatStyle, Prompt

MEMORY_SHARE = 0.5
"""Share of the GPU's memory that vLLM may take. Tracing, by transformers, needs the rest."""

ALL_DEVICES = "auto"
"""The device map with which vLLM computes on all GPUs that the process sees."""

ADAPTER_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Largest ranks of adapters for which vLLM can be configured."""

ADAPTER_NUMBERS = count(1)
"""The numbers of adapters in vLLM, in the order of their first use."""

ROUNDING = 1e-3
"""By how much probabilities may add up to more than 1."""

Step = tuple[tuple[int, ...], int]
"""A context, as token ids, and the token that follows it."""


@dataclass(frozen=True)
class Engine:
    """One arm's model in vLLM; both arms share the weights."""

    model: Model
    """Tokenizes prompts; it has no network."""
    llm: Any
    """vLLM's `LLM`."""
    adapter: Path | None
    """Folder of the tuned arm's adapter; None for the base model."""

    def log_probabilities(self, steps: Sequence[Step]) -> list[float]:
        """Return log p(token | context) of each step, in nats."""
        from vllm import SamplingParams

        answers = self.llm.generate(
            [{"prompt_token_ids": list(context)} for context, _ in steps],
            [
                SamplingParams(max_tokens=1, temperature=0, logprobs=0, allowed_token_ids=[token], detokenize=False)
                for _, token in steps
            ],
            lora_request=lora_request(self.adapter) if self.adapter else None,
            use_tqdm=False,
        )
        return [
            float(answer.outputs[0].logprobs[0][token].logprob)
            for answer, (_, token) in zip(answers, steps, strict=True)
        ]


def check_vllm(quantize: str, merged: bool, tune: TuneConfig, device_map: DeviceMap = ONE_DEVICE) -> None:
    """Refuse settings that vLLM does not support, and machines on which it cannot run."""
    method = tune.method if tune.method != "rslora" else "lora"
    if device_map not in (ONE_DEVICE, ALL_DEVICES):
        raise SpilloverError(
            f"model.device_map: found {describe(device_map)}, expected {ONE_DEVICE!r} or {ALL_DEVICES!r} with "
            "evaluate.engine = 'vllm'"
        )
    settings = [
        ("model.quantize", quantize, "none"),
        ("evaluate.merged", merged, False),
        ("tune.method", method, "lora"),
        ("tune.embeddings", tune.embeddings, "none"),
    ]
    require_settings("vllm", settings)
    require_present("vllm", {"the package vllm": find_spec("vllm") is not None, "a GPU": torch.cuda.is_available()})


def open_engine(
    name: str,
    dtype: str,
    template: str,
    adapter: Path | None,
    rank: int,
    style: ChatStyle = ChatStyle(),
    device_map: DeviceMap = ONE_DEVICE,
) -> Engine:
    """Open a model by name, as `load` does, for adapters of up to `rank`; both arms use the same `LLM`.

    On several GPUs each layer is divided among them, so all of them compute at a time (tensor parallelism).

    Raises:
        SpilloverError: vLLM cannot load the model, or cannot divide its layers among these GPUs.
    """
    model, folder = without_weights(name, template, style), locate(name)
    largest = next(supported for supported in ADAPTER_RANKS if supported >= rank)
    devices = torch.cuda.device_count() if device_map == ALL_DEVICES else 1
    with one_sentence(f"evaluate.engine: vLLM cannot load {name!r}"):
        llm = open_llm(folder, fingerprint(folder), resolve_dtype(dtype), largest, devices)
    return Engine(model, llm, adapter)


@cache
def open_llm(folder: Path, content: str, dtype: str, rank: int, devices: int) -> Any:  # noqa: ANN401 - vLLM is not a dependency
    """Return vLLM with the model of a folder; `content` is its fingerprint, so a changed folder is read again."""
    from vllm import LLM

    adapters = {"enable_lora": True, "max_lora_rank": rank}
    caching = {"enable_prefix_caching": True, "logprobs_mode": "raw_logprobs"}
    options = {"dtype": dtype, "gpu_memory_utilization": MEMORY_SHARE, "trust_remote_code": False}
    return LLM(model=str(folder), tensor_parallel_size=devices, **options, **adapters, **caching)


def lora_request(adapter: Path) -> Any:  # noqa: ANN401
    """Return vLLM's request for an adapter. vLLM stores adapters by number, so each adapter needs its own."""
    from vllm.lora.request import LoRARequest

    return LoRARequest(adapter.name, _number(adapter.resolve()), str(adapter))


@cache
def _number(adapter: Path) -> int:
    """Return a number, from 1 on, that no other adapter has in this process."""
    return next(ADAPTER_NUMBERS)


def score(
    engine: Engine,
    prompts: Sequence[Prompt],
    scoring: str = "exact",
    overflow: str = "drop-exemplars",
    advance: Callable[[int], None] = lambda items: None,
) -> Scores:
    """Do what `models.scoring.score.score` does; see there for the arguments and the errors."""
    return score_with(engine.model, prompts, scoring, overflow, partial(_read, engine, advance))


def _read(engine: Engine, advance: Callable[[int], None], items: Sequence[Sequence[Query]]) -> list[Values]:
    """Request every step once."""
    steps = list(dict.fromkeys(step for item in items for query in item for step in _steps(query)))
    values = dict(zip(steps, engine.log_probabilities(steps) if steps else (), strict=True))
    _check_normalized(values)
    advance(len(items))
    return [[[values[step] for step in _steps(query)] for query in item] for item in items]


def _steps(query: Query) -> list[Step]:
    """Return a step per target."""
    return [(query.tokens[: at + 1], token) for at, token in query.targets]


def _check_normalized(values: Mapping[Step, float]) -> None:
    """Refuse log-probabilities that are not of one distribution over all tokens."""
    total: dict[tuple[int, ...], float] = {}
    for (context, _), value in values.items():
        total[context] = total.get(context, 0.0) + math.exp(value)
    highest = max(total.values(), default=0.0)  # if no token may begin any label, there is no step
    if not highest <= 1 + ROUNDING:
        raise SpilloverError(
            f"evaluate.engine: this vLLM gives tokens after one context a probability of {highest:.2f} together, "
            "expected at most 1; use 'transformers'"
        )
