"""SGLang as a contender of `gpu.py`, by its documented engine in this process (`sglang.Engine`), with its radix cache.

Each context before a token of a label is one request, and SGLang reports the log-probabilities of all tokens that may
follow it (`token_ids_logprob`). It was never run here: SGLang needs a GPU, and its package is not a dependency. A test
runs every line against a stand-in. The names and shapes of arguments and answers are those of sglang 0.5.23.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.models.scoring.vllm import Engine, Step


@dataclass(frozen=True)
class SglangEngine(Engine):
    """A model in SGLang; `llm` is its `Engine`."""

    def log_probabilities(self, steps: Sequence[Step]) -> list[float]:
        """Return log p(token | context) of each step, in nats."""
        following: dict[tuple[int, ...], list[int]] = {}
        for context, token in steps:
            following.setdefault(context, []).append(token)
        answers = self.llm.generate(
            input_ids=[list(context) for context in following],
            sampling_params={"max_new_tokens": 1, "temperature": 0},
            return_logprob=True,
            logprob_start_len=-1,  # of no token of the context
            token_ids_logprob=list(following.values()),
        )
        values = {
            (context, token): float(value)
            for context, answer in zip(following, answers, strict=True)
            for value, token, _ in answer["meta_info"]["output_token_ids_logprobs"][0]
        }
        return [values[step] for step in steps]
