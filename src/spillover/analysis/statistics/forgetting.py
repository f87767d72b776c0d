"""Did tuning make the model forget a language? Bits per byte of the same texts, in two arms."""

from collections.abc import Mapping, Sequence

import numpy as np

from spillover.analysis.statistics.bands import ANY, POSITIVE, mean_estimate
from spillover.records import Forgetting, TextNLL


def forgetting(arms: Mapping[str, Sequence[TextNLL]], pairs: Sequence[tuple[str, str]]) -> tuple[Forgetting, ...]:
    """Compare pairs of arms on the same texts: a record per pair and language, languages in the order of the texts.

    arms: name → its texts, the same in the same order; pairs: names of a reference and of an arm.

    Bits per byte is Σ nats / (ln 2 · Σ bytes) over a language's texts. Its interval is that of the mean of
    R + (bits − R · bytes) / mean bytes over the texts, with R the ratio itself: to first order, what each contributes.
    """
    return tuple(
        _forgetting(names, language, [(r, a) for r, a in texts if r.language == language])
        for names in pairs
        for texts in [list(zip(*(arms[name] for name in names), strict=True))]
        for language in dict.fromkeys(text.language for text, _ in texts)
    )


def _forgetting(names: tuple[str, str], language: str, texts: Sequence[tuple[TextNLL, TextNLL]]) -> Forgetting:
    bits = np.array([(r.nats, a.nats, a.nats - r.nats) for r, a in texts]) / np.log(2)
    sizes = np.array([text.bytes for text, _ in texts], dtype=np.float64)
    ratios = bits.sum(axis=0) / sizes.sum()
    parts = ratios + (bits - ratios * sizes[:, None]) / sizes.mean()
    kinds = (POSITIVE, POSITIVE, ANY)
    estimates = [mean_estimate(column, kind) for column, kind in zip(parts.T, kinds, strict=True)]
    return Forgetting(*names, language, len(texts), int(sizes.sum()), *estimates)
