"""The precision that `model.dtype = "auto"` stands for.

Usually the machine chooses it. A run that goes on on another machine keeps the choice of the one where it began, since
results of two precisions are not compared without saying so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_AUTO: ContextVar[str] = ContextVar("precision that auto stands for", default="")


@contextmanager
def auto_means(dtype: str) -> Iterator[None]:
    """Let `auto` stand for this dtype for the duration of the block; an empty text leaves the choice to the machine."""
    token = _AUTO.set(dtype)
    try:
        yield
    finally:
        _AUTO.reset(token)


def meaning_of_auto() -> str:
    """Return the dtype that `auto` stands for here, if a run chose it; empty if the machine chooses."""
    return _AUTO.get()
