"""Translators of questions: their protocol, how one is opened, and how questions of two languages become pairs.

A translator returns questions and may look at their ids. An engine (`engine.py`) translates texts; `open_translator`
makes a translator of it. The caller hands in the function that returns the source's own questions.
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

QuestionsIn = Callable[[str], Iterable[Question]]
"""Language code → the questions that the source itself has in that language."""


class Translator(Protocol):
    """Turns questions into the same questions in another language: same ids, same order, every field."""

    def translate(self, questions: Sequence[Question], language: str) -> list[Question]:
        """Return `questions` in `language`. Raises SpilloverError, which names the first question without one."""

    def characters(self, questions: Sequence[Question], language: str) -> tuple[int, int]:
        """Return the number of characters that `translate` would translate anew, and of those that it has already."""


def open_translator(
    questions_in: QuestionsIn, translator: str, model: str = "", endpoint: str = "", budget: int = 0, log: Log = silent
) -> Translator:
    """Open a translator, or an engine whose translations are kept.

    Args:
        questions_in: returns the source's own questions in a language.
        translator: a name of `TRANSLATORS` or `TRANSLATION_ENGINES`, or a user's own engine, `package.module:Thing`.
        model: the engine's model, where it has a choice; empty: its default.
        endpoint: address of the engine's server, where it has one; empty: its default.
        budget: characters an engine may translate in all; 0: no bound.
        log: called with the number of characters that an engine translated.
    """
    thing = resolve(TRANSLATORS | TRANSLATION_ENGINES, translator, "translate.with")
    options = {key: value for key, value in (("model", model), ("endpoint", endpoint)) if value}
    taken = () if translator in TRANSLATORS else signature(thing).parameters
    for key in options:
        if key not in taken:
            raise SpilloverError(f"translate.{key}: found {options[key]!r}, but {translator!r} takes no {key}")
    if translator in TRANSLATORS:
        opened: Translator = thing(questions_in)
        return opened
    engine: Engine = thing(**options)
    identity = f"{translator} {getattr(engine, 'version', None) or _written(thing)}"
    return EngineTranslator(engine, identity, TranslationMemory(), budget, log)


def _written(thing: type) -> str:
    """Return a digest of the file with a user's engine, so that a changed engine translates anew."""
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
        Pair(source.task, source.id, source.language, target.language, source.fields, target.fields)
        for source, target in zip(sources, targets, strict=True)
    ]
