"""From texts to token ids, with the tokens that begin a sequence and without those that end it.

A text that spells a special token (`</s>` in a review) must not become that token.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

CUT = "\ufdd0"
"""Marks a special token that a text spells; it is never tokenized. Unicode reserves it for internal use."""

PROBES = ("a", "0", "。")
"""Texts that show what a tokenizer adds to a text; the first one that has tokens is used."""

NO_START = (
    "analyze.forgetting: the model's tokenizer has neither BOS nor EOS, expected a token after which a text begins; "
    "set analyze.forgetting = 0"
)
"""The error where bits per byte cannot be measured: the first byte of a text needs a token before it."""

MARKUP = re.compile(r"[<\[].+[>\]]")
"""Matches added tokens that chat templates use for control, although their tokenizers do not call them special."""


@dataclass(frozen=True, eq=False)
class Tokenization:
    """A tokenizer that reads texts as texts."""

    tokenizer: Any
    """One of `transformers`."""

    @cached_property
    def control(self) -> dict[str, int]:
        """The tokens that a text must not become, with their ids: special ones, and those of the chat template.

        White space and single characters never count as control tokens, since texts contain them.
        """
        template = str(self.tokenizer.chat_template or "")
        return {
            token.content: number
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if len(token.content.strip()) > 1
            and (token.special or (token.content in template and MARKUP.fullmatch(token.content)))
        }

    @cached_property
    def _spelling(self) -> re.Pattern[str]:
        """Matches the first character of every control token in a text."""
        return spelling(self.control)

    @cached_property
    def beginning(self) -> tuple[int, ...]:
        """The tokens that the tokenizer puts before a text, usually BOS; may be none."""
        whole, body = self._around
        return tuple(whole[: _index(body, whole)])

    @cached_property
    def ends_texts(self) -> bool:
        """Whether the tokenizer itself puts a token after every text; `encode` leaves it out."""
        whole, body = self._around
        return len(whole) > _index(body, whole) + len(body)

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        bodies = ((text, self._ids(text)) for text in PROBES)
        text, body = next(((text, body) for text, body in bodies if body), ("", []))
        return self.tokenizer(text)["input_ids"], body

    @property
    def start(self) -> int | None:
        """The token after which a text with nothing before it is read: BOS, else EOS; None if there is neither."""
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        first = self.beginning[0] if self.beginning else None
        return next((token for token in (bos, eos, first) if token is not None), None)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each token as it follows another.

        A part of a character is given by its bytes, as `<0xE0>`, and a number that is no token by itself, as `<999>`.
        """
        anchor = self._ids("a")
        before = self.tokenizer.decode(anchor)
        texts = [str(self.tokenizer.decode([*anchor, token])).removeprefix(before) for token in ids]
        words = self.tokenizer.convert_ids_to_tokens(list(ids))
        return [
            f"<{token}>" if word is None else _bytes(str(word)) if "\ufffd" in text else text
            for token, text, word in zip(ids, texts, words, strict=True)
        ]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without BOS or EOS; a special token that the text spells is read as text."""
        if not texts:
            return []
        encoded: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [
            self._as_text(text) if self._spelling.search(text) else ids
            for text, ids in zip(texts, encoded, strict=True)
        ]

    def mark(self, text: str) -> str:
        """Return a text with a `CUT` in every control token that it spells; `encode_marked` then reads it as text."""
        return self._spelling.sub(lambda match: match[0] + CUT, text)

    def encode_marked(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text. Special tokens in it are special, unless they were marked."""
        encoded: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        return [self._in_pieces(text) if CUT in text else ids for text, ids in zip(texts, encoded, strict=True)]

    def _as_text(self, text: str) -> list[int]:
        """Tokenize as if there were no special tokens; in pieces if the vocabulary has a special token as a word."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        special = {self.control[token] for token in spelled(self._spelling, [text])}
        return self._in_pieces(self.mark(text)) if special.intersection(ids) else ids

    def _in_pieces(self, marked: str) -> list[int]:
        first, *others = marked.split(CUT)
        return [*self._ids(first), *(token for piece in others for token in self._following(piece))]

    def _following(self, piece: str) -> list[int]:
        """Tokenize a piece from inside a text. It follows a line end, so no blank is added as before a whole text."""
        line_end, both = self._ids("\n"), self._ids("\n" + piece)
        inside = both[: len(line_end)] == line_end
        return both[len(line_end) :] if inside else self._ids(piece)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def spelling(control: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of the first character of every control token in a text; its group 1 is the token."""
    longest_first = sorted(control, key=len, reverse=True)
    return re.compile(f"(?=({'|'.join(map(re.escape, longest_first))}))." if longest_first else "(?!)", re.DOTALL)


def spelled(pattern: re.Pattern[str], texts: Iterable[str]) -> list[str]:
    """Return the control tokens that some of the texts spell, sorted; the pattern is that of `spelling`."""
    return sorted({match[1] for text in texts for match in pattern.finditer(text)})


def _bytes(word: str) -> str:
    """Return a word of a byte-level vocabulary, which has a letter for each byte, as its bytes; others as they are."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    numbers = {letter: byte for byte, letter in bytes_to_unicode().items()}
    return "".join(f"<0x{numbers[letter]:02X}>" for letter in word) if numbers.keys() >= set(word) else word


def declares_bos(folder: Path) -> bool | None:
    """Return whether a model's files say that texts begin with BOS (`add_bos_token`); None if they do not say.

    transformers leaves the key unread where there is a `tokenizer.json`, whose post-processor may say something else.
    """
    try:
        said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("add_bos_token")
    except (OSError, ValueError, AttributeError):
        return None
    return said if isinstance(said, bool) else None


def _index(part: Sequence[int], whole: Sequence[int]) -> int:
    """Return the index at which a part begins in the whole; 0 if it is not in it."""
    places = (place for place in range(len(whole)) if whole[place : place + len(part)] == part)
    return next(places, 0)
