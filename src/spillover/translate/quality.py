"""Quality estimation: how good a translation is, judged from the two texts alone by a model made for that.

COMETKiwi's package needs a version of transformers that this package cannot run with. So it runs by its own command, in
an environment of its own, and files carry the texts to it (`comet/cli/score.py` of Unbabel/COMET, read in 2026).
MetricX-24 runs in this process: `models/scoring/metricx.py`.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from spillover.errors import SpilloverError
from spillover.plugins import QUALITY_SCORERS, resolve


class QualityScorer(Protocol):
    """Scores translations without a reference."""

    lower_is_better: bool
    """Whether a lower score means a better translation."""

    @property
    def version(self) -> str:
        """The model, and what else its scores depend on. A model that runs in this process may be downloaded for it."""

    def score(self, originals: Sequence[str], translations: Sequence[str]) -> Sequence[float]:
        """Return one score for each translation, in their order. No text has a line break."""


def open_scorer(name: str, model: str = "") -> QualityScorer:
    """Open a scorer: a name of `QUALITY_SCORERS`, or a user's own, `package.module:Thing`; no `model`: its default."""
    thing = resolve(QUALITY_SCORERS, name, "translate.quality")
    scorer: QualityScorer = thing(model) if model else thing()
    return scorer


class CometKiwi:
    """COMETKiwi, by the command `comet-score` of unbabel-comet. In [0, 1]."""

    lower_is_better = False

    def __init__(self, model: str = "Unbabel/wmt22-cometkiwi-da") -> None:
        """Take the model; nothing runs yet."""
        self._model, self.version = model, f"comet-score {model}"

    def score(self, originals: Sequence[str], translations: Sequence[str]) -> list[float]:
        """Score by one call of the command."""
        with TemporaryDirectory() as name:
            folder = Path(name)
            source, translation, scores = (folder / part for part in ("source.txt", "translation.txt", "scores.json"))
            source.write_text("".join(f"{text}\n" for text in originals), encoding="utf-8")
            translation.write_text("".join(f"{text}\n" for text in translations), encoding="utf-8")
            gpus = "1" if shutil.which("nvidia-smi") else "0"
            options = ["--model", self._model, "--to_json", str(scores), "--gpus", gpus, "--quiet"]
            _run(
                [os.environ.get("COMET_SCORE", "comet-score"), "-s", str(source), "-t", str(translation), *options],
                "install it with `uv tool install unbabel-comet`, or let COMET_SCORE name it",
            )
            (rows,) = json.loads(scores.read_text(encoding="utf-8")).values()
            return [float(row["COMET"]) for row in rows]


def _run(command: Sequence[str], remedy: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SpilloverError(f"translate.quality: cannot run {command[0]!r}: {error.strerror}; {remedy}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SpilloverError(f"translate.quality: {command[0]!r} failed: {reason}; {remedy}")
