"""Scoring by vLLM, where it is installed and there is a GPU: the numbers of `score`, from an engine made for serving.

A step of a label is a request: a context after which nothing but the label's next token may come. vLLM reports that
token's log-probability among all tokens (`raw_logprobs` are taken before anything is masked), and contexts that begin
alike share its prefix cache, which it does not use for the log-probabilities of a prompt.

Written from vLLM's documentation and tested against a stand-in that computes with transformers, never on a GPU. So what
it reports is held against a law that a wrong reading breaks: what may follow a context has a probability of 1 in all.
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
from spillover.models.inference.queries import Query
from spillover.models.load import Model, resolve_dtype, without_weights
from spillover.models.locate import fingerprint, locate
from spillover.models.scoring.score import Scores, Values, score_with
from spillover.records import Prompt

SHARE = 0.5
"""Of the GPU's memory that vLLM may take: what looks inside the model needs the rest."""

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The largest ranks of adapters that vLLM can be told to expect."""

NUMBERS = count(1)
"""What adapters are called in vLLM, in the order in which they are first used."""

ROUNDING = 1e-3
"""By how much probabilities may add up to more than 1."""


@dataclass(frozen=True)
class Engine:
    """One arm's model in vLLM; both arms share the weights."""

    model: Model
    """How texts become tokens; it holds no network."""
    llm: Any
    """vLLM's `LLM`."""
    adapter: Path | None
    """The tuned arm's."""

    def log_probabilities(self, asked: Sequence[tuple[tuple[int, ...], int]]) -> list[float]:
        """Return log p(token | context), in nats, for contexts given as token ids."""
        from vllm import SamplingParams

        answers = self.llm.generate(
            [{"prompt_token_ids": list(context)} for context, _ in asked],
            [
                SamplingParams(max_tokens=1, temperature=0, logprobs=0, allowed_token_ids=[token], detokenize=False)
                for _, token in asked
            ],
            lora_request=_request(self.adapter) if self.adapter else None,
            use_tqdm=False,
        )
        found = zip(answers, asked, strict=True)
        return [float(answer.outputs[0].logprobs[0][token].logprob) for answer, (_, token) in found]


def check_vllm(quantize: str, merged: bool) -> None:
    """Refuse what vLLM cannot do here, in one sentence."""
    for key, found, known in (("model.quantize", quantize, "none"), ("evaluate.merged", merged, False)):
        if found != known:
            raise SpilloverError(f"{key}: found {found!r}, expected {known!r} with evaluate.engine = 'vllm'")
    needs = {"the package vllm": find_spec("vllm") is not None, "a GPU": torch.cuda.is_available()}
    if lacking := [what for what, there in needs.items() if not there]:
        raise SpilloverError(
            f"evaluate.engine: 'vllm' needs {' and '.join(lacking)}, which this machine lacks; 'transformers' gives "
            "the same scores"
        )


def open_engine(
    name: str,
    dtype: str,
    template: str,
    adapter: Path | None,
    rank: int,
    template_arguments: Mapping[str, Any] | None = None,
) -> Engine:
    """Open a model, by name as `load` does, for adapters of up to `rank`; the other arm's engine is the same."""
    model, folder = without_weights(name, template, template_arguments), locate(name)
    ranks = next(known for known in RANKS if known >= rank)
    return Engine(model, _llm(folder, fingerprint(folder), resolve_dtype(dtype), ranks), adapter)


@cache
def _llm(folder: Path, content: str, dtype: str, rank: int) -> Any:  # noqa: ANN401 - vLLM is not a dependency
    """Return vLLM with a folder's model; `content` is the folder's fingerprint, so that a changed one is read anew."""
    from vllm import LLM

    adapters = {"enable_lora": True, "max_lora_rank": rank}
    caching = {"enable_prefix_caching": True, "logprobs_mode": "raw_logprobs"}
    options = {"dtype": dtype, "gpu_memory_utilization": SHARE, "trust_remote_code": False}
    return LLM(model=str(folder), **options, **adapters, **caching)


def _request(adapter: Path) -> Any:  # noqa: ANN401
    """Return what names an adapter; vLLM keeps adapters by number, so another one needs another number."""
    from vllm.lora.request import LoRARequest

    return LoRARequest(adapter.name, _number(adapter.resolve()), str(adapter))


@cache
def _number(adapter: Path) -> int:
    """Return a number from 1 that no other adapter has in this process."""
    return next(NUMBERS)


def score(
    engine: Engine,
    prompts: Sequence[Prompt],
    scoring: str = "exact",
    overflow: str = "drop-exemplars",
    advance: Callable[[int], None] = lambda items: None,
) -> Scores:
    """Return what `models.score.score` returns, which has the arguments and the errors."""
    return score_with(engine.model, prompts, scoring, overflow, partial(_read, engine, advance))


def _read(engine: Engine, advance: Callable[[int], None], items: Sequence[Sequence[Query]]) -> list[Values]:
    """Ask for every token after its context, once."""
    asked = list(dict.fromkeys(step for item in items for query in item for step in _steps(query)))
    found = dict(zip(asked, engine.log_probabilities(asked) if asked else (), strict=True))
    _check_normalized(found)
    advance(len(items))
    return [[[found[step] for step in _steps(query)] for query in item] for item in items]


def _steps(query: Query) -> list[tuple[tuple[int, ...], int]]:
    """Return the context and the token of each thing that is asked."""
    return [(query.tokens[: at + 1], token) for at, token in query.wanted]


def _check_normalized(found: Mapping[tuple[tuple[int, ...], int], float]) -> None:
    """Refuse log-probabilities that are not of one distribution over all tokens."""
    total: dict[tuple[int, ...], float] = {}
    for (context, _), value in found.items():
        total[context] = total.get(context, 0.0) + math.exp(value)
    highest = max(total.values(), default=0.0)  # no token may begin some labels: then nothing was asked
    if not highest <= 1 + ROUNDING:
        raise SpilloverError(
            f"evaluate.engine: this vLLM gives tokens after one context a probability of {highest:.2f} together, "
            "expected at most 1; use 'transformers'"
        )
