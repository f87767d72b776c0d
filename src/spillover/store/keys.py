"""Digests: an artifact's name depends on everything that the artifact depends on."""

import hashlib
import json
from dataclasses import fields
from typing import Any

import numpy as np


def digest(*parts: object) -> str:
    """Return 16 hexadecimal digits that depend on every part; equal parts give equal digits on any machine."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:  # noqa: ANN401 - json hands over any value that it cannot write
    if hasattr(value, "identity"):  # a section of an experiment
        return value.identity()
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    return {field.name: getattr(value, field.name) for field in fields(value)}
