"""Did tuning make the model forget a language? Bits per byte of the same texts, base and tuned."""

from collections.abc import Sequence

import numpy as np

from spillover.analysis.statistics.bands import ANY, POSITIVE, mean_estimate
from spillover.records import Forgetting, TextNLL


def forgetting(base: Sequence[TextNLL], tuned: Sequence[TextNLL]) -> tuple[Forgetting, ...]:
    """Compare two arms on the same texts, in the same order; one comparison per language, in the order of the texts.

    Bits per byte is Σ nats / (ln 2 · Σ bytes) over a language's texts. Its interval is that of the mean of
    R + (bits − R · bytes) / mean bytes over the texts, with R the ratio itself: to first order, what each contributes.
    """
    comparisons = []
    for language in dict.fromkeys(text.language for text in base):
        pairs = [(b, t) for b, t in zip(base, tuned, strict=True) if b.language == language]
        bits = np.array([(b.nats, t.nats, t.nats - b.nats) for b, t in pairs]) / np.log(2)
        sizes = np.array([b.bytes for b, _ in pairs], dtype=np.float64)
        ratios = bits.sum(axis=0) / sizes.sum()
        parts = ratios + (bits - ratios * sizes[:, None]) / sizes.mean()
        kinds = (POSITIVE, POSITIVE, ANY)
        estimates = [mean_estimate(column, kind) for column, kind in zip(parts.T, kinds, strict=True)]
        comparisons.append(Forgetting(language, len(pairs), int(sizes.sum()), *estimates))
    return tuple(comparisons)
