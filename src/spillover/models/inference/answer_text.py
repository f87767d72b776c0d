"""From written tokens to text: what they add to a prompt's text, and where a stop string ends it.

A tokenizer decodes a sequence, not its tokens one by one. A token may hold a part of a character. Some tokenizers drop
a blank at the beginning of a sequence. So the text of an answer is what the tokenizer decodes from prompt and answer,
without what it decodes from the prompt.
"""

from collections.abc import Sequence
from typing import Any

INCOMPLETE = "\ufffd"
"""What tokenizers decode from the bytes of a character that is not complete."""

TAIL_LENGTHS = (8, 64)
"""Numbers of a prompt's last tokens that are tried before all of them."""


class AnswerText:
    """Decodes what follows a prompt."""

    def __init__(self, tokenizer: Any, prompt: Sequence[int]) -> None:  # noqa: ANN401 - a class per tokenizer
        """Take the last tokens of a prompt that begin with a whole character."""
        self._tokenizer = tokenizer
        tails = (list(prompt[-length:]) for length in (*TAIL_LENGTHS, len(prompt)))
        self._tail, self._before = next(
            ((tail, text) for tail in tails if (text := self._decode(tail)).strip() and INCOMPLETE not in text),
            (list(prompt), self._decode(list(prompt))),
        )

    def __call__(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens that follow the prompt, without special tokens.

        If they change how the prompt's last characters are decoded, the tokens are decoded alone.
        """
        whole = self._decode([*self._tail, *tokens])
        return whole[len(self._before) :] if whole.startswith(self._before) else self._decode(list(tokens))

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text


def find_stop(text: str, stop: Sequence[str]) -> int | None:
    r"""Return the index at which a text is cut: where the stop string begins that is complete first; None without any.

    Of several that are complete at the same character (`\n` and `\n\n`) the longest counts. So the cut depends on the
    text alone, and not on the tokens in which it was written.
    """
    places = ((at + len(string), at) for string in stop if (at := text.find(string)) >= 0)
    return min(places, default=(0, None))[1]
