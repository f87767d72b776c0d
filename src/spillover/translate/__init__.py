"""From questions in one language to the same questions in another."""

from spillover.translate.checks import REVISION, available_checks, check, count_flags, without_flags
from spillover.translate.translator import Translator, open_translator, pairs

__all__ = [
    "REVISION",
    "Translator",
    "available_checks",
    "check",
    "count_flags",
    "open_translator",
    "pairs",
    "without_flags",
]
