"""What a translator is, and how two languages' questions become pairs.

A translator returns questions and may look at their ids; an engine (`engine.py`) translates texts and is made a
translator here. Knows nothing of sources: `own`, the source's own questions in a language, is handed in.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from inspect import getfile, signature
from pathlib import Path
from typing import Protocol

from spillover.errors import SpilloverError
from spillover.plugins import TRANSLATION_ENGINES, TRANSLATORS, resolve
from spillover.records import Pair, Question
from spillover.translate.engine import Engine, EngineTranslator, Log, silent
from spillover.translate.memory import TranslationMemory

Own = Callable[[str], Iterable[Question]]
"""Language code → the questions that the source itself has in that language."""


class Translator(Protocol):
    """Turns questions into the same questions in another language: same ids, same order, every field."""

    def translate(self, questions: Sequence[Question], language: str) -> list[Question]:
        """Return `questions` in `language`. Raises SpilloverError naming the first that cannot be had."""

    def characters(self, questions: Sequence[Question], language: str) -> tuple[int, int]:
        """Return how many characters `translate` would have translated anew, and of how many it keeps translations."""


def open_translator(
    own: Own, translator: str, model: str = "", endpoint: str = "", budget: int = 0, log: Log = silent
) -> Translator:
    """Open a translator, or an engine whose translations are kept.

    Args:
        own: the source's own questions.
        translator: a name of `TRANSLATORS` or `ENGINES`, or a user's own engine, `package.module:Thing`.
        model: the engine's model, where it has a choice; empty: its default.
        endpoint: address of the engine's server, where it has one; empty: its default.
        budget: characters an engine may translate in all; 0: no bound.
        log: told what an engine translated.
    """
    thing = resolve(TRANSLATORS | TRANSLATION_ENGINES, translator, "translate.with")
    given = {key: value for key, value in (("model", model), ("endpoint", endpoint)) if value}
    taken = () if translator in TRANSLATORS else signature(thing).parameters
    for key in given:
        if key not in taken:
            raise SpilloverError(f"translate.{key}: found {given[key]!r}, but {translator!r} takes no {key}")
    if translator in TRANSLATORS:
        opened: Translator = thing(own)
        return opened
    engine: Engine = thing(**given)
    identity = f"{translator} {getattr(engine, 'version', None) or _written(thing)}"
    return EngineTranslator(engine, identity, TranslationMemory(), budget, log)


def _written(thing: type) -> str:
    """Return a digest of the file that a user's engine is written in: what an older one translated is not its work."""
    return hashlib.sha256(Path(getfile(thing)).read_bytes()).hexdigest()[:16]


def pairs(sources: Sequence[Question], targets: Sequence[Question]) -> list[Pair]:
    """Join the same questions in two languages.

    Raises:
        SpilloverError: the two do not hold the same ids in the same order.
    """
    for source, target in zip(sources, targets, strict=False):
        if source.id != target.id:
            raise SpilloverError(
                f"question {source.id!r} of {source.language} meets {target.id!r} of {target.language}"
            )
    if len(sources) != len(targets):
        raise SpilloverError(f"found {len(sources)} translated questions for {len(targets)}, expected one for each")
    return [
        Pair(s.task, s.id, s.language, t.language, s.fields, t.fields) for s, t in zip(sources, targets, strict=True)
    ]
