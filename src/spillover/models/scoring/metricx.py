"""MetricX-24 without references: how many errors a translation has, judged from the two texts alone.

google-research/metricx (Apache-2.0) has the code of its authors, which needs transformers 4.30. It was read in 2026:
`metricx24/predict.py` says what the model reads, and `metricx23/models.py` what the score is. torch is imported when
there is something to score.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from spillover.utils.digests import content_digest
from spillover.utils.hub import download
from spillover.utils.paths import expanded_path
from spillover.utils.progress import bar

KEY = "translate.quality_model"
"""The key that names the model."""

WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.index.json", "config.json")
"""Files of the model. The published ones are pickles, of which torch reads tensors alone (`weights_only`)."""

TOKENIZER = "google/mt5-xl"
"""The tokenizer that the authors name. Their models have none beside them."""

TOKENIZER_FILES = ("tokenizer*", "spiece.model", "special_tokens_map.json")

WINDOW = 1536
"""Most tokens of an input in its training. Longer ones are cut."""

BATCH = 8
"""Pairs that are read at once, of similar length."""


class MetricX:
    """A MetricX-24 model, in this process. In [0, 25]: an error score."""

    lower_is_better = True

    def __init__(self, model: str = "google/metricx-24-hybrid-large-v2p6") -> None:
        """Take a model of the hub or a folder; nothing is downloaded yet."""
        self._model = model

    @cached_property
    def version(self) -> str:
        """The content of the files of model and tokenizer, which are downloaded for it."""
        sha = hashlib.sha256()
        for folder, patterns in ((self._folder, WEIGHTS), (self._tokenizer_folder, TOKENIZER_FILES)):
            for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
                sha.update(f"{path.name}:{content_digest(path)}:".encode())
        return f"metricx-24 {sha.hexdigest()[:16]}"

    def score(self, originals: Sequence[str], translations: Sequence[str]) -> list[float]:
        """Return the error score of each translation.

        Raises:
            SpilloverError: the model or its tokenizer cannot be had, or is no MetricX-24 model.
        """
        from spillover.models.scoring import metricx_network

        inputs = [f"source: {a} candidate: {b}" for a, b in zip(originals, translations, strict=True)]
        tokenizer = metricx_network.open_tokenizer(self._tokenizer_folder)
        # its inputs have no end token; of one that is too long, the cut keeps that token and drops another
        rows = (
            [row[:-1] for row in tokenizer(inputs, max_length=WINDOW, truncation=True)["input_ids"]] if inputs else []
        )
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place]))
        scores = [0.0] * len(rows)
        network = metricx_network.load(self._folder, self._model)
        with bar("quality (pairs)", len(rows)) as progress:
            for start in range(0, len(rows), BATCH):
                places = order[start : start + BATCH]
                values = metricx_network.errors(network, [rows[place] for place in places])
                for place, value in zip(places, values, strict=True):
                    scores[place] = value
                progress.advance(len(places))
        return scores

    @cached_property
    def _folder(self) -> Path:
        path, files = expanded_path(self._model), (*WEIGHTS, *TOKENIZER_FILES)
        return (
            path if path.is_dir() else download(self._model, files, KEY, "a MetricX-24 model of the hub, or a folder")
        )

    @cached_property
    def _tokenizer_folder(self) -> Path:
        if any(self._folder.glob("tokenizer*")):
            return self._folder
        return download(TOKENIZER, TOKENIZER_FILES, KEY, "the tokenizer of mT5")
