"""Calibration: remove a model's bias toward labels from raw log-probabilities. It needs no golds.

Each function returns new scores whose argmax is the calibrated choice. Stored predictions are always raw. Where items
have several numbers of choices, a score of −inf stands in each place that an item lacks; every item has the first two.
"""

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]


def raw(scores: Array) -> Array:
    """Return the scores (items, labels) as they are: the model's own choice."""
    return scores


def centered(scores: Array) -> Array:
    """Remove each label's mean log-probability over the cell.

    scores: (items, labels), nats. A constant added to all scores of a label changes nothing. Supposes that the labels
    are about equally often right in the cell. If all items have all labels, every column of the result has mean 0.
    """
    result: Array = scores - label_means(scores)
    return result


def label_means(scores: Array) -> Array:
    """Return the mean log-probability of each label over the cell, (labels,), nats.

    scores: (items, labels), nats. If items lack labels, the mean of a column would also tell which items have the
    label: those of a longer context have lower scores of all choices. So an item's own mean is removed too: the result
    is that of least squares in s(i, k) = a(i) + c(k), up to a constant.
    """
    present = np.isfinite(scores)
    result: Array = (
        scores.mean(axis=0)
        if present.all()
        else np.linalg.pinv(_design(present)) @ _within_items(scores, present).sum(axis=0)
    )
    return result


def label_mean_influence(scores: Array) -> Array:
    """Return what each item contributes to `label_means`, (items, labels), nats. Every column has mean 0."""
    present = np.isfinite(scores)
    if present.all():
        return centered(scores)
    residuals = _within_items(centered(scores), present)
    result: Array = len(scores) * residuals @ np.linalg.pinv(_design(present))
    return result


def _within_items(scores: Array, present: NDArray[np.bool_]) -> Array:
    """Return scores without the mean of each item; 0 where an item lacks the label."""
    filled = np.where(present, scores, 0.0)
    means = filled.sum(axis=1, keepdims=True) / present.sum(axis=1, keepdims=True)
    return np.where(present, filled - means, 0.0)


def _design(present: NDArray[np.bool_]) -> Array:
    """Return the normal equations of the labels' effects, (labels, labels), the items' effects projected out."""
    one = present.astype(np.float64)
    shares = one / one.sum(axis=1, keepdims=True)
    result: Array = np.diag(one.sum(axis=0)) - one.T @ shares
    return result


def batch(scores: Array) -> Array:
    """Divide normalized label probabilities by their mean over the cell; the log of it (Zhou et al. 2023).

    scores: (items, labels), nats. A constant added to all labels of an item changes nothing. Supposes what
    `centered` does, and that every item has every label.
    """
    probabilities = scipy.special.log_softmax(scores, axis=1)
    result: Array = probabilities - scipy.special.logsumexp(probabilities, axis=0, b=1 / len(scores))
    return result


def contextual(scores: Array, content_free: Array) -> Array:
    """Divide normalized label probabilities by those of a content-free prompt; log of it (Zhao et al. 2021).

    scores: (items, labels), nats; content_free: (labels,), the scores of the same prompt with an input such
    as `N/A`. Each row of the result is normalized: its probabilities sum to 1.
    """
    log_softmax = scipy.special.log_softmax
    result: Array = log_softmax(log_softmax(scores, axis=1) - log_softmax(content_free), axis=1)
    return result


def pmi(scores: Array, content_free: Array) -> Array:
    """Return log p(label | item) − log p(label | content-free) (Holtzman et al. 2021).

    The pointwise mutual information of item and label, in nats.

    scores: (items, labels), nats; content_free: (labels,), nats. Differs from `contextual` by a constant an
    item, so both choose the same label; here the values of different items can be compared.
    """
    result: Array = scores - content_free
    return result


CALIBRATIONS: dict[str, Callable[[Array], Array]] = {"raw": raw, "centered": centered, "batch": batch}
"""Calibrations that need nothing but the cell's own scores."""

CONTENT_FREE_CALIBRATIONS: dict[str, Callable[[Array, Array], Array]] = {"contextual": contextual, "pmi": pmi}
"""Calibrations that also need the scores of a content-free prompt."""
