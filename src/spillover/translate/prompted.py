"""Engines that put each text to a model in the plain prompt of its model card.

With `translate.endpoint` a server writes the answer, after a chat or after the prompt itself, as the row says. Without
it the model runs in this process, with the generation that the evaluation uses.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from spillover.plugins import PROMPT_WRITERS, resolve
from spillover.translate.lines import by_line
from spillover.translate.prompts import PROMPTED_MODELS, PromptedModel, PromptForm


class Writer(Protocol):
    """Writes the answers of one model to plain prompts."""

    batch: int
    """Texts handed over at once."""
    jobs: int
    """Calls under way at once."""
    version: str
    """The model, and what else its answers depend on."""

    def write(self, texts: Sequence[str], form: PromptForm) -> list[str]:
        """Return what the model writes for each text, in their order."""


class Prompted:
    """A model that translates after a plain prompt."""

    def __init__(self, row: PromptedModel, model: str = "", endpoint: str = "") -> None:
        """Open the model: the row's own or another of its family, on a server or in this process."""
        name = model or row.model
        make = resolve(PROMPT_WRITERS, "server" if endpoint else "local", "translate.with")
        self._row = row
        self._writer: Writer = make(name, endpoint) if endpoint else make(name)
        self.batch, self.jobs = self._writer.batch, self._writer.jobs
        row_key = hashlib.sha256(repr((row.prompt, row.names, row.part, row.stop)).encode()).hexdigest()[:8]
        self.version = f"{self._writer.version} {row_key}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts; line by line if the model stops at a line break. A text without letters stays."""
        form = self._row.form(source, target)
        if "\n" in form.stop:
            return by_line(texts, lambda lines: self._write(lines, form))
        full = [text for text in texts if text.strip()]
        translated = iter(self._write(full, form) if full else ())
        return [next(translated) if text.strip() else text for text in texts]

    def require(self, source: str, target: str) -> None:
        """Refuse a language that the model card does not name."""
        self._row.form(source, target)

    def _write(self, texts: Sequence[str], form: PromptForm) -> list[str]:
        return [answer.strip() for answer in self._writer.write(texts, form)]


hy_mt2 = partial(Prompted, PROMPTED_MODELS["hy-mt2"])
translategemma = partial(Prompted, PROMPTED_MODELS["translategemma"])
seed_x = partial(Prompted, PROMPTED_MODELS["seed-x"])
tower_plus = partial(Prompted, PROMPTED_MODELS["tower+"])
gemmax2 = partial(Prompted, PROMPTED_MODELS["gemmax2"])
