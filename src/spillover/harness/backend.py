"""The backend: the harness's own `hf`, with log-likelihoods and greedy texts over shared prefixes.

The harness still makes the requests, tokenizes them and decides where a continuation begins. Sampling, chat templates
and every argument of `hf` stay the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tqdm import tqdm

from spillover.errors import SpilloverError
from spillover.harness.generation import Decoding, decode_greedily, greedy_decoding
from spillover.models.adapter import write_rows
from spillover.models.difference import is_difference
from spillover.models.inference.prefix import PrefixReader
from spillover.models.locate import ALIASES, SHIPPED, locate
from spillover.models.model import Model
from spillover.models.scoring.continuations import Request, score_continuations
from spillover.utils.paths import expanded
from spillover.utils.progress import notify

Tokenized = tuple[tuple[str, str], list[int], list[int]]
"""A request of the harness: context and continuation as texts, then the tokens of each."""


class SpilloverLM(HFLM):  # type: ignore[misc] # the harness is not typed
    """`hf` that reads once what requests share. It takes all arguments of `hf`, and `adapter`."""

    def __init__(self, pretrained: Any, adapter: str | None = None, **options: Any) -> None:  # noqa: ANN401
        """Load a model.

        Args:
            pretrained: an alias, or anything that `hf` takes.
            adapter: folder or hub id of a PEFT adapter; `hf` calls it `peft`.
            options: those of `hf`. `batch_size` has no effect if the model can share prefixes.

        Raises:
            SpilloverError: `trust_remote_code` is true; spillover never runs the code in a model's folder.
        """
        if options.pop("trust_remote_code", False):
            raise SpilloverError(
                "trust_remote_code: found True, expected False: spillover never runs the code in a model's folder"
            )
        if isinstance(pretrained, str):
            pretrained = str(locate(pretrained)) if pretrained in (*SHIPPED, *ALIASES) else expanded(pretrained)
        if adapter and is_difference(Path(expanded(adapter))):
            raise SpilloverError(
                f"adapter: {adapter!r} holds fully tuned weights, expected an adapter; write the whole model with "
                "`spillover export model`, and name its folder as pretrained"
            )
        peft = {"peft": expanded(adapter)} if adapter else {}
        super().__init__(pretrained, trust_remote_code=False, **options | peft)
        self.reader = self._open()

    def _open(self) -> PrefixReader | None:
        """Return a reader of shared prefixes, or None where its answers could differ from those of `hf`."""
        if self.backend != "causal" or self.mixed_precision_dtype is not None:
            notify("spillover: hf answers itself: the model is not causal, or precision is mixed")
            return None
        network = self.model.get_base_model() if self.peft else self.model
        write_rows(network)
        try:
            reader = PrefixReader(Model(network=network, tokenizer=self.tokenizer, chat=False))
        except SpilloverError as error:
            notify(f"spillover: hf answers itself: {error}")
            return None
        return reader if reader.shares else None

    def _loglikelihood_tokens(
        self, requests: Sequence[Tokenized], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Return, per tokenized request, its log-likelihood in nats and whether greedy decoding writes it.

        Windows of a long text come with a batch size (`override_bs`). They share nothing, so `hf` scores them.
        """
        if self.reader is None or override_bs is not None:
            by_hf: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
            return by_hf
        fitting = [self.to_request(*request) for request in requests]
        hidden = disable_tqdm or self.rank != 0
        with tqdm(total=len(fitting), disable=hidden, desc="Running loglikelihood requests") as progress:
            scored = score_continuations(self.reader, fitting, progress.update)
        answers = [(score.log_p, score.greedy) for score in scored]
        for (texts, _, _), answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def to_request(self, texts: tuple[str, str], context: list[int], continuation: list[int]) -> Request:
        """Drop tokens at the beginning of a context that is too long, as `hf` does; a continuation is never cut."""
        if not context or not 0 < len(continuation) <= self.max_length:
            raise SpilloverError(
                f"continuation {texts[1]!r}: found {len(continuation)} tokens after {len(context)} of context, "
                f"expected 1 to {self.max_length} after at least 1"
            )
        tokens = tuple(context + continuation)[-(self.max_length + 1) :]
        return Request(tokens, len(tokens) - len(continuation))

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return the text that each request asks for. What is not decoded greedily is left to `hf`, with a notice."""
        if self.reader is None:
            written: list[str] = super().generate_until(requests, disable_tqdm)
            return written
        decodings = [self._decoding(request) for request in requests]
        texts: dict[int, str] = {}
        if by_hf := [number for number, decoding in enumerate(decodings) if decoding is None]:
            notify(f"spillover: hf writes {len(by_hf)} of {len(requests)} texts itself: they are not decoded greedily")
            written = super().generate_until([requests[number] for number in by_hf], disable_tqdm)
            texts |= dict(zip(by_hf, written, strict=True))
        hidden = disable_tqdm or self.rank != 0
        with tqdm(total=len(requests) - len(by_hf), disable=hidden, desc="Running generate_until requests") as progress:
            for decoding in dict.fromkeys(filter(None, decodings)):
                numbers = [number for number, other in enumerate(decodings) if other == decoding]
                contexts = [self.fit_context(requests[number].args[0], decoding) for number in numbers]
                written = decode_greedily(self.reader, contexts, decoding, self.tok_decode, progress.update)
                texts |= dict(zip(numbers, written, strict=True))
                for number in numbers:
                    self.cache_hook.add_partial("generate_until", requests[number].args, texts[number])
        return [texts[number] for number in range(len(requests))]

    def _decoding(self, request: Instance) -> Decoding | None:
        """Return how a text is decoded here; None if `hf` has to write it."""
        end = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        decoding = greedy_decoding(request.args[1], end, self.max_gen_toks)
        possible = decoding is not None and decoding.max_tokens < self.max_length and self.think_end_token is None
        return decoding if possible else None

    def fit_context(self, text: str, decoding: Decoding) -> list[int]:
        """Return a context's tokens as `hf` takes them: without those at its beginning that do not fit."""
        longest = self.max_length - decoding.max_tokens
        ids, _ = self.tok_batch_encode([text], left_truncate_len=longest, truncation=self.truncation)
        tokens: list[int] = ids[0].tolist()
        return tokens
