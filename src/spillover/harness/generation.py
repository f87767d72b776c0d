"""Requests of the harness to write texts: which of them greedy decoding over shared prefixes answers as `hf` does."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from spillover.models.inference.greedy import write
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.token_choice import end_tokens

GREEDY = {"do_sample": False, "temperature": 0.0}
"""Arguments beside stops and limits with which decoding is greedy; with any other argument `hf` writes."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a request wants its text to be decoded."""

    stop: tuple[str, ...]
    """Strings that end the text, the one of the end token among them."""
    max_tokens: int
    """The most tokens to write."""


def greedy_decoding(arguments: Mapping[str, Any], end: str, max_tokens: int) -> Decoding | None:
    """Return how a request is decoded; None if it is not greedy, or asks for something else.

    Args:
        arguments: the request's `gen_kwargs`.
        end: the text of the token that ends sequences, which the harness adds to the stops.
        max_tokens: the limit if the arguments have none.
    """
    options: dict[str, Any] = {**normalize_gen_kwargs(dict(arguments), max_tokens)}
    stop = handle_stop_sequences(options.pop("until"), eos=end)
    limit = options.pop("max_gen_toks")
    others = {name: value for name, value in options.items() if GREEDY.get(name, ...) != value}
    return None if others or limit < 1 else Decoding(tuple(string for string in stop if string), limit)


def decode_greedily(
    reader: PrefixReader,
    contexts: Sequence[Sequence[int]],
    decoding: Decoding,
    text: Callable[..., str],
    advance: Callable[[int], None],
) -> list[str]:
    """Return the text after each context, as `hf` makes it of the tokens.

    Args:
        reader: the model.
        contexts: token ids.
        decoding: how texts end.
        text: decodes token ids; with `skip_special_tokens=False` special tokens are text too, as `hf` looks for stops.
        advance: called with the number of texts that were just written.
    """
    ends = end_tokens(reader.model)

    def stopped(number: int, tokens: Sequence[int]) -> bool:
        return tokens[-1] in ends or _has_any(text(list(tokens), skip_special_tokens=False), decoding.stop)

    written = write(reader, contexts, decoding.max_tokens, stopped, advance)
    texts = (text(list(answer.tokens)) for answer in written)
    return [str(postprocess_generated_text(answer, list(decoding.stop), None)) for answer in texts]


def _has_any(text: str, strings: Iterable[str]) -> bool:
    return any(string in text for string in strings)
