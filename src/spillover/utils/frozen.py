"""Tables that never change, so that what holds them can be hashed."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, NoReturn


class FrozenDict(dict[str, Any]):
    """A dict that never changes; it is equal to a plain dict of the same content."""

    def __hash__(self) -> int:  # type: ignore[override] # a dict has none
        """Return a hash that does not depend on the order of the keys."""
        return hash(_hashable(self))

    def __reduce__(self) -> tuple[type["FrozenDict"], tuple[dict[str, Any]]]:
        """Copy and pickle as a whole: by default that is done key by key."""
        return FrozenDict, (dict(self),)

    def _refuse(self, *args: object, **keys: object) -> NoReturn:
        raise TypeError("a frozen dict cannot be changed")

    if not TYPE_CHECKING:
        __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse


def frozen(value: Any) -> Any:  # noqa: ANN401 - whatever a table holds
    """Return a dict, and the dicts that are its values, as dicts that never change; anything else as it is.

    A list stays one, since a chat template may print it.
    """
    return FrozenDict({key: frozen(part) for key, part in value.items()}) if isinstance(value, dict) else value


def _hashable(value: Any) -> Hashable:  # noqa: ANN401
    if isinstance(value, dict):
        return frozenset((key, _hashable(part)) for key, part in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
