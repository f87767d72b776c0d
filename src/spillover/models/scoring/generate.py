"""Write an answer to every prompt of a cell by greedy decoding, token for token as transformers writes it alone.

Tokens that prompts share are read once (`write`). An answer ends with a token that ends sequences or with a stop
string, however its characters are divided among tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spillover.errors import SpilloverError
from spillover.models.inference.answer_text import AnswerText, find_stop
from spillover.models.inference.encode import encode
from spillover.models.inference.greedy import write
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.token_choice import end_tokens, stop_strings
from spillover.models.model import Model
from spillover.records import Prompt


@dataclass(frozen=True, slots=True)
class Generated:
    """An answer."""

    text: str
    """The text before the stop string, or before the token that ended it; blanks around it are kept."""
    tokens: int
    """Number of tokens written, with those that ended it."""
    ended: bool
    """Whether a stop string or the end of the sequence ended it; else it reached the limit of tokens."""
    dropped: int
    """Number of the prompt's exemplars that did not fit the context, the first ones."""


def generate(
    reader: PrefixReader,
    prompts: Sequence[Prompt],
    max_tokens: int,
    stop: Sequence[str] = (),
    overflow: str = "drop-exemplars",
    advance: Callable[[int], None] = lambda prompts: None,
) -> list[Generated]:
    """Return the answer to each prompt, in the order of the prompts.

    Args:
        reader: the model.
        prompts: they have no choices; those that begin alike are read together.
        max_tokens: the most tokens of an answer, at least 1. Prompt and answer have to fit the context together.
        stop: strings that end an answer (`find_stop`), beside those of the generation configuration. One that is a
            special token is that token and no text.
        overflow: what to do with a prompt that does not fit (`encode`).
        advance: called with the number of prompts that were just answered.

    Raises:
        SpilloverError: a stop string is empty, a prompt does not fit, or the model's states overflow.
    """
    if max_tokens < 1 or "" in stop:
        raise SpilloverError(
            f"found max_tokens {max_tokens} and the stop strings {list(stop)}, expected at least one token and no "
            "empty string"
        )
    model = reader.model
    stop = [*stop, *stop_strings(model)]
    encoded = encode(model, prompts, overflow, max_tokens)
    control = model.tokenization.control
    ends = end_tokens(model) | {control[string] for string in stop if string in control} | _turn_end(model)
    strings = [string for string in stop if string not in control]
    texts = [AnswerText(model.tokenizer, item.prompt) for item in encoded]

    def stopped(number: int, tokens: Sequence[int]) -> bool:
        return tokens[-1] in ends or (bool(strings) and find_stop(texts[number](tokens), strings) is not None)

    answers = []
    written = write(reader, [item.prompt for item in encoded], max_tokens, stopped, advance)
    for item, decode, answer in zip(encoded, texts, written, strict=True):
        text = decode(answer.tokens[:-1] if answer.tokens[-1] in ends else answer.tokens)
        answers.append(Generated(text[: find_stop(text, strings)], len(answer.tokens), answer.ended, item.dropped))
    return answers


def _turn_end(model: Model) -> set[int]:
    """Return the token that ends the assistant's turn in a chat; a generation configuration may lack it."""
    if not model.chat:
        return set()
    control = model.tokenization.control
    beginnings = [token for token in control if model.chat_format.end.startswith(token)]
    return {control[token] for token in beginnings if len(token) == max(map(len, beginnings))}
