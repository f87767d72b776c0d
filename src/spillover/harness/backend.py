"""The backend: the harness's own `hf`, with log-likelihoods from the shared-prefix scorer.

What is asked, how it is tokenized and where a continuation begins stay the harness's; so do generation, chat templates
and every argument of `hf`. Knows no task.
"""

from collections.abc import Sequence
from typing import Any

from lm_eval.models.huggingface import HFLM
from tqdm import tqdm

from spillover.errors import SpilloverError
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import Model
from spillover.models.locate import ALIASES, locate
from spillover.models.scoring.continuations import Request, score_continuations
from spillover.utils.paths import expanded
from spillover.utils.progress import notify

Tokenized = tuple[tuple[str, str], list[int], list[int]]
"""A request as the harness hands it over: context and continuation as texts, then the tokens of each."""


class SpilloverLM(HFLM):  # type: ignore[misc] # the harness is not typed
    """`hf` that reads what requests share once; takes all of its arguments, and `adapter`."""

    def __init__(self, pretrained: Any, adapter: str | None = None, **options: Any) -> None:  # noqa: ANN401
        """Load a model.

        Args:
            pretrained: an alias, or whatever `hf` takes.
            adapter: a PEFT adapter's folder or hub id: what `hf` calls `peft`.
            options: those of `hf`; `batch_size` says nothing about log-likelihoods where requests can be shared.

        Raises:
            SpilloverError: `trust_remote_code` is asked for: the code in a model's folder is never run.
        """
        if options.pop("trust_remote_code", False):
            raise SpilloverError(
                "trust_remote_code: found True, expected False: spillover never runs the code in a model's folder"
            )
        if isinstance(pretrained, str):
            pretrained = str(locate(pretrained)) if pretrained in ALIASES else expanded(pretrained)
        peft = {"peft": expanded(adapter)} if adapter else {}
        super().__init__(pretrained, trust_remote_code=False, **options | peft)
        self._reader = self._open()

    def _open(self) -> PrefixReader | None:
        """Return what reads shared prefixes, if its numbers are those that `hf` would find."""
        if self.backend != "causal" or self.mixed_precision_dtype is not None:
            notify("spillover: log-likelihoods are those of hf, which computes otherwise here")
            return None
        network = self.model.get_base_model() if self.peft else self.model
        try:
            reader = PrefixReader(Model(network=network, tokenizer=self.tokenizer, chat=False))
        except SpilloverError as error:
            notify(f"spillover: log-likelihoods are those of hf; {error}")
            return None
        return reader if reader.shares else None

    def _loglikelihood_tokens(
        self, requests: Sequence[Tokenized], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Score tokenized requests: each one's log-likelihood in nats, and whether greedy decoding writes it.

        Windows of a long text come with a batch size (`override_bs`); they share nothing and stay with `hf`.
        """
        if self._reader is None or override_bs is not None:
            found: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
            return found
        asked = [self._cut(*request) for request in requests]
        hidden = disable_tqdm or self.rank != 0
        with tqdm(total=len(asked), disable=hidden, desc="Running loglikelihood requests") as progress:
            scored = score_continuations(self._reader, asked, progress.update)
        answers = [(score.log_p, score.greedy) for score in scored]
        for (texts, _, _), answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def _cut(self, texts: tuple[str, str], context: list[int], continuation: list[int]) -> Request:
        """Keep what fits, as `hf` does: the context loses its beginning, the continuation nothing."""
        if not context or not 0 < len(continuation) <= self.max_length:
            raise SpilloverError(
                f"continuation {texts[1]!r}: found {len(continuation)} tokens after {len(context)} of context, "
                f"expected 1 to {self.max_length} after at least 1"
            )
        tokens = tuple(context + continuation)[-(self.max_length + 1) :]
        return Request(tokens, len(tokens) - len(continuation))
