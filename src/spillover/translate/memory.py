"""All translations of a user, kept in one SQLite file, so that no text is translated or paid for twice.

The file only grows. Added translations are on the disk when `add` returns: a killed run loses only the batches under
way. Several processes may share the file. It is among the user's data, not in a cache that a system may empty;
`XDG_DATA_HOME` moves it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from platformdirs import user_data_path

from spillover.errors import SpilloverError

SCHEMA = """
CREATE TABLE IF NOT EXISTS translations (
    engine TEXT, source TEXT, target TEXT, text TEXT, translation TEXT NOT NULL,
    PRIMARY KEY (engine, source, target, text)
) WITHOUT ROWID
"""
LOCK_TIMEOUT = 60.0
"""Seconds to wait for another process that is writing."""


@dataclass(frozen=True, slots=True)
class MemoryKey:
    """All that a translation depends on beside its text."""

    engine: str
    """The engine, its version and its model."""
    source: str
    """Code of the language translated from."""
    target: str
    """Code of the language translated into."""


class TranslationMemory:
    """The translations kept in one file."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file, made where there is none; by default the user's."""
        self._path = path or user_data_path("spillover") / "translations.sqlite"
        self._one_at_a_time = Lock()
        with self._one_sentence():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(self._path, timeout=LOCK_TIMEOUT, check_same_thread=False)
            with self._file:
                self._file.execute(SCHEMA)

    def known(self, direction: MemoryKey, texts: Iterable[str]) -> dict[str, str]:
        """Return text → translation for those of the texts that were translated before."""
        query = "SELECT translation FROM translations WHERE engine = ? AND source = ? AND target = ? AND text = ?"
        key = (direction.engine, direction.source, direction.target)
        translations = {}
        with self._one_sentence():
            for text in texts:
                row = self._file.execute(query, (*key, text)).fetchone()
                if row:
                    translations[text] = row[0]
        return translations

    def add(self, direction: MemoryKey, translations: Mapping[str, str]) -> None:
        """Keep text → translation; translations that another process added meanwhile stay."""
        key = (direction.engine, direction.source, direction.target)
        with self._one_sentence(), self._one_at_a_time, self._file:
            self._file.executemany(
                "INSERT OR IGNORE INTO translations VALUES (?, ?, ?, ?, ?)",
                ((*key, text, translation) for text, translation in translations.items()),
            )

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise SpilloverError(
                f"{self._path}: cannot keep translations here: {error}; what was kept before is not touched"
            ) from error
