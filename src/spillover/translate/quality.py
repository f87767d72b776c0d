"""Quality estimation: how good a translation is, judged from the two texts alone by a model made for that.

COMETKiwi and MetricX-24 need versions of transformers that this package cannot run with. So each runs by its own
command, in an environment of its own, and files carry the texts to it. Sources, read in 2026: `comet/cli/score.py` of
Unbabel/COMET; the README of google-research/metricx, section "Reference-Free".
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
    version: str
    """The model, and what else its scores depend on."""

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


class MetricX:
    """MetricX-24 without references, by `python -m metricx24.predict`. In [0, 25]: an error score."""

    lower_is_better = True

    def __init__(self, model: str = "google/metricx-24-hybrid-large-v2p6") -> None:
        """Take the model; nothing runs yet."""
        self._model, self.version = model, f"metricx24 {model}"

    def score(self, originals: Sequence[str], translations: Sequence[str]) -> list[float]:
        """Score by one call of the module."""
        with TemporaryDirectory() as name:
            texts, scores = Path(name) / "input.jsonl", Path(name) / "output.jsonl"
            rows = (
                {"source": original, "hypothesis": translation, "reference": ""}
                for original, translation in zip(originals, translations, strict=True)
            )
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            texts.write_text(lines, encoding="utf-8")
            options = {
                "tokenizer": "google/mt5-xl",
                "model_name_or_path": self._model,
                "max_input_length": "1536",
                "batch_size": "1",
                "input_file": str(texts),
                "output_file": str(scores),
            }
            parts = [part for key, value in options.items() for part in (f"--{key}", value)]
            _run(
                [os.environ.get("METRICX_PYTHON", "python"), "-m", "metricx24.predict", *parts, "--qe"],
                "let METRICX_PYTHON name the Python of an environment with google-research/metricx",
            )
            return [float(json.loads(line)["prediction"]) for line in scores.read_text(encoding="utf-8").splitlines()]


def _run(command: Sequence[str], remedy: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SpilloverError(f"translate.quality: cannot run {command[0]!r}: {error.strerror}; {remedy}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SpilloverError(f"translate.quality: {command[0]!r} failed: {reason}; {remedy}")
