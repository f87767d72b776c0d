"""Translates questions with an engine: each field by itself, each text once, every batch kept as soon as it is done."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from threading import Event
from typing import Protocol

from spillover.errors import SpilloverError
from spillover.records import Question
from spillover.translate.memory import MemoryKey, TranslationMemory
from spillover.utils.progress import bar

BATCH_SIZE = 16
"""Texts per batch of an engine without `batch`."""


class Engine(Protocol):
    """Translates texts. `batch` (texts at once), `jobs` (batches at once) and `version` may be left out.

    An engine may have `require(source, target)`, which refuses a language that it lacks before anything is translated.
    An engine with a tokenizer may have `unknown_shares(texts, language)`: the share of `<unk>` in each text.
    """

    def translate(self, texts: Sequence[str], source: str, target: str) -> Sequence[str]:
        """Return one translation for each text, in their order; languages are this project's codes.

        Raises:
            SpilloverError: the engine lacks a language, or cannot be reached any more.
        """


class Log(Protocol):
    """Called after an engine has worked, with the outcome."""

    def __call__(self, *, language: str, characters: int, seconds: float) -> object:
        """Take the target language, the characters that came back translated, and how long that took."""


def silent(*, language: str, characters: int, seconds: float) -> None:
    """Log nothing."""


class EngineTranslator:
    """A translator of questions whose texts an engine translates."""

    def __init__(
        self, engine: Engine, identity: str, memory: TranslationMemory, budget: int = 0, log: Log = silent
    ) -> None:
        """Take an engine.

        Args:
            engine: what translates.
            identity: its name, version and model, which the memory keeps translations for.
            memory: earlier translations.
            budget: characters that may be translated by this object in all; 0: no bound.
            log: called with the number of characters translated, also where the engine failed half-way.
        """
        self._engine, self._memory, self._budget = engine, memory, budget
        self.identity = identity
        self._spent, self._log = 0, log

    def translate(self, questions: Sequence[Question], language: str) -> list[Question]:
        """Return the questions in another language."""
        if not questions:
            return []
        direction = MemoryKey(self.identity, questions[0].language, language)
        known, new = self._known(direction, questions)
        if new:
            known |= self._new(direction, new)
        return [Question(q.task, q.id, language, tuple(known[text] for text in q.fields)) for q in questions]

    def characters(self, questions: Sequence[Question], language: str) -> tuple[int, int]:
        """Return how many characters were never translated, and how many were, each text counted once.

        Raises:
            SpilloverError: there are new texts, and the engine lacks the language.
        """
        if not questions:
            return 0, 0
        known, new = self._known(MemoryKey(self.identity, questions[0].language, language), questions)
        require = getattr(self._engine, "require", None)
        if new and require:
            require(questions[0].language, language)
        return sum(map(len, new)), sum(map(len, known))

    def unknown_shares(self, questions: Sequence[Question]) -> list[float] | None:
        """Return per question the largest share of `<unk>` among a text's tokens; None if the engine cannot tell."""
        shares = getattr(self._engine, "unknown_shares", None)
        if shares is None or not questions:
            return None
        texts = list(dict.fromkeys(text for question in questions for text in question.fields))
        of_text = dict(zip(texts, shares(texts, questions[0].language), strict=True))
        return [max((of_text[text] for text in question.fields), default=0.0) for question in questions]

    def _known(self, direction: MemoryKey, questions: Sequence[Question]) -> tuple[dict[str, str], list[str]]:
        """Return text → translation for the texts in memory, and the texts that are not there."""
        texts = dict.fromkeys(text for question in questions for text in question.fields)
        known = self._memory.known(direction, texts)
        return known, [text for text in texts if text not in known]

    def _new(self, direction: MemoryKey, texts: Sequence[str]) -> dict[str, str]:
        """Translate texts; after a failure start no other batch, but keep the batches under way."""
        self._spend(direction, texts)
        size, jobs = getattr(self._engine, "batch", BATCH_SIZE), getattr(self._engine, "jobs", 1)
        stop, start = Event(), time.monotonic()

        def unless_stopped(batch: Sequence[str]) -> dict[str, str]:
            if stop.is_set():
                return {}
            try:
                return self._batch(direction, batch)
            except BaseException:
                stop.set()
                raise

        translations: dict[str, str] = {}
        pool = ThreadPoolExecutor(jobs)
        try:
            with bar(f"translate {direction.source}→{direction.target} (texts)", len(texts)) as progress:
                batches = (texts[start : start + size] for start in range(0, len(texts), size))
                for future in as_completed(
                    [pool.submit(copy_context().run, unless_stopped, batch) for batch in batches]
                ):
                    translations |= future.result()
                    progress.advance(len(future.result()))
        finally:
            stop.set()
            pool.shutdown()
            came = sum(map(len, self._memory.known(direction, texts)))
            self._log(language=direction.target, characters=came, seconds=round(time.monotonic() - start, 3))
        return translations

    def _batch(self, direction: MemoryKey, texts: Sequence[str]) -> dict[str, str]:
        """Translate one batch and keep it."""
        translated = self._engine.translate(texts, direction.source, direction.target)
        if len(translated) != len(texts) or not all(isinstance(text, str) for text in translated):
            raise SpilloverError(
                f"translate.with: {self.identity.partition(' ')[0]!r} returned {len(translated)} translations of "
                f"{len(texts)} texts, expected a text for each"
            )
        translations = dict(zip(texts, translated, strict=True))
        self._memory.add(direction, translations)  # before the thread's next batch: a killed run loses one batch
        return translations

    def _spend(self, direction: MemoryKey, texts: Sequence[str]) -> None:
        """Refuse texts beyond the budget before any of them is translated."""
        needed = sum(map(len, texts))
        if self._budget and self._spent + needed > self._budget:
            raise SpilloverError(
                f"translate.budget: {direction.source}→{direction.target} needs {needed} characters that were never "
                f"translated, found {self._budget - self._spent} of {self._budget} left"
            )
        self._spent += needed
