"""The groups of languages that a comparison tells apart."""

from collections.abc import Collection
from typing import Literal

Group = Literal["unseen", "tuned", "pivot"]


def group_of(code: str, tuned_on: Collection[str], pivot: str) -> Group:
    """Return the group that a language belongs to: the pivot, a language tuned on, or one that tuning never saw."""
    if code == pivot:
        return "pivot"
    return "tuned" if code in tuned_on else "unseen"
