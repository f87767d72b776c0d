"""Tokens per word of a language, and whether they go along with gains."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fertility:
    """How many tokens the base model's tokenizer makes of a language's items, without what begins a sequence."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    items: int
    """Number of items."""
    tokens: int
    """Tokens of their texts."""
    per_word: float | None
    """Tokens per word; words are what blanks separate. None if the language's script has none between words."""
    per_character: float
    """Tokens per character of Unicode, blanks included."""
    per_byte: float
    """Tokens per byte of UTF-8, in (0, 1] for tokenizers of bytes."""
    premium: float | None
    """Tokens relative to those of the same items in English; None if English was not measured, or not on them."""


@dataclass(frozen=True, slots=True)
class FertilityCorrelation:
    """Whether languages with more tokens gained more or less, over the languages that tuning never saw."""

    task: str
    """Name of the task."""
    measure: str
    """A field of `Fertility`."""
    languages: int
    """Number of languages."""
    rho: float
    """Spearman's rank correlation of the measure and the gain, in [-1, 1]."""
    p_value: float
    """Two-sided p: the share of orders of the gains with a correlation as far from 0, in (0, 1]."""
