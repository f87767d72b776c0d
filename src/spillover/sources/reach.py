"""Whether the Hugging Face hub can be reached. One attempt decides, so that no library waits for it repeatedly."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

from spillover.errors import UnreachableError
from spillover.utils.hub import REMEDY

TIMEOUT = 5
"""Seconds after which a hub that does not answer counts as out of reach."""


@cache
def obstacle() -> str:
    """Return why the hub cannot be reached; empty if it can. Sends one request per process."""
    from huggingface_hub import constants, is_offline_mode
    from huggingface_hub.utils import get_session

    if is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except Exception as error:  # whatever the client, a proxy or the system raises
        return f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def without_waiting() -> Iterator[None]:
    """Let the hub's libraries read only their caches while the hub cannot be reached.

    Otherwise every call of theirs tries six times, for 24 seconds.
    """
    import datasets
    from huggingface_hub import constants

    if not obstacle():
        yield
        return
    with _offline(constants), _offline(datasets.config):
        yield


@contextmanager
def _offline(settings: ModuleType) -> Iterator[None]:
    """Let a library believe, for the duration of the block, that it was told to work without the hub."""
    before = settings.HF_HUB_OFFLINE
    settings.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        settings.HF_HUB_OFFLINE = before  # type: ignore[attr-defined]


def out_of_reach(where: str) -> UnreachableError:
    """Return the error about a set that is not cached and cannot be reached; `where` names the key that needs it."""
    return UnreachableError(
        f"{where}: the hub cannot be reached ({obstacle()}) and the set is not in the cache; {REMEDY}, then use "
        "--offline (or HF_HUB_OFFLINE=1) to work without one"
    )
