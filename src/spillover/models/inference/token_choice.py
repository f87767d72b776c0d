"""The next token of greedy decoding, with what a model's generation configuration asks for, as transformers has it."""

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from spillover.models.inference.transfer import to_device
from spillover.models.inference.unembed import likeliest_tokens
from spillover.models.model import Model


class TokenChoice:
    """Chooses tokens, with the processors of logits that transformers makes from the generation configuration.

    A repetition penalty (Qwen2.5) or suppressed tokens change what greedy decoding writes. Sampling is switched off.
    """

    def __init__(self, model: Model, max_tokens: int) -> None:
        """Prepare for a model and the most tokens that it may write."""
        self._model, self._max_tokens = model, max_tokens
        self._processors: dict[object, Any] = {}

    def __call__(self, hidden: Tensor, starts: Sequence[int], sequences: Sequence[Sequence[int]]) -> list[int]:
        """Return the token that greedy decoding writes next, for each row.

        Args:
            hidden: (rows, d), the state of each row's last token.
            starts: per row, the tokens that it began with.
            sequences: per row, all its tokens.
        """
        if not self._processors_after(sequences[0][: starts[0]]):
            return likeliest_tokens(self._model, hidden)
        rows = torch.split(hidden, 1)
        chosen = [self._processed(*row) for row in zip(rows, starts, sequences, strict=True)]
        tokens: list[int] = torch.cat(chosen).tolist()
        return tokens

    def _processed(self, hidden: Tensor, start: int, sequence: Sequence[int]) -> Tensor:
        """Return (1,), the token that follows one row."""
        ids = to_device(torch.tensor([list(sequence)]), hidden.device)
        likeliest: Tensor = self._processors_after(sequence[:start])(ids, self._model.logits(hidden)).argmax(dim=1)
        return likeliest

    def _processors_after(self, prompt: Sequence[int]) -> Any:  # noqa: ANN401 - a list of transformers' processors
        key = tuple(prompt) if self._of_one_prompt else len(prompt)
        if key not in self._processors:
            self._configuration.max_length = len(prompt) + self._max_tokens  # a forced last token stands there
            self._processors[key] = self._model.network._get_logits_processor(
                self._configuration,
                input_ids_seq_length=len(prompt),
                encoder_input_ids=to_device(torch.tensor([list(prompt)]), self._model.device),
                device=self._model.device,
                model_kwargs={},
            )
        return self._processors[key]

    @cached_property
    def _of_one_prompt(self) -> bool:
        """Whether the processors depend on the tokens of a prompt, and not only on their number."""
        return not PROMPT_KEYS.isdisjoint(self._configuration.to_diff_dict())

    @cached_property
    def _configuration(self) -> Any:  # noqa: ANN401 - transformers is untyped
        configuration = copy.deepcopy(self._model.network.generation_config)
        configuration.update(**GREEDY, max_new_tokens=self._max_tokens)
        self._model.network._prepare_special_tokens(configuration, False, device=self._model.device)
        return configuration


PROMPT_KEYS = frozenset({"encoder_repetition_penalty", "encoder_no_repeat_ngram_size", "guidance_scale"})
"""Keys of a generation configuration whose processors remember the prompt, or what was written after it."""

GREEDY = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1, "use_cache": True}
"""What makes transformers decode greedily, whatever a model's generation configuration has."""


def end_tokens(model: Model) -> frozenset[int]:
    """Return the tokens that end a sequence: those of the generation configuration, as transformers takes them."""
    ids = model.network.generation_config.eos_token_id
    return frozenset() if ids is None else frozenset([ids] if isinstance(ids, int) else ids)


def stop_strings(model: Model) -> list[str]:
    """Return the strings that end an answer by the generation configuration; usually none."""
    strings = model.network.generation_config.stop_strings or []
    return [strings] if isinstance(strings, str) else list(strings)
