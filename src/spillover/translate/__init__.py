"""From questions in one language to the same questions in another."""

from spillover.translate.checks import REVISION, available, check, kept, tally
from spillover.translate.translator import Translator, open_translator, pairs

__all__ = ["REVISION", "Translator", "available", "check", "kept", "open_translator", "pairs", "tally"]
