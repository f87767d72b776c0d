"""The base of all sections of an experiment: frozen, without unknown keys, and part of digests."""

from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from spillover.utils.frozen import frozen
from spillover.utils.paths import expanded

NonNegative = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A count."""

Place = Annotated[str, AfterValidator(expanded)]
"""A name that may be a path, such as `~/model` or `folder:$HOME/data`."""

IN_DIGEST = {"digest": True}
"""The context in which a section is written for a digest."""


class Section(BaseModel):
    """A section: frozen, hashable, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    younger: ClassVar[frozenset[str]] = frozenset()
    """Keys that version 0.1.0 lacks. Digests contain them only if they are set, so old artifacts stay valid."""

    old_defaults: ClassVar[dict[str, Any]] = {}
    """Key → its default in version 0.1.0, if that has changed. Digests contain the old default in place of the new."""

    def identity(self) -> dict[str, Any]:
        """Return the section's keys as a digest contains them."""
        return self.model_dump(mode="json", context=IN_DIGEST)

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Leave younger keys out of a digest where they have their defaults."""
        written: dict[str, Any] = handler(self)
        if info.context is IN_DIGEST:
            for name in self.younger:
                if getattr(self, name) == type(self).model_fields[name].get_default(call_default_factory=True):
                    written.pop(name, None)
            fields = type(self).model_fields
            written |= {
                name: value for name, value in self.old_defaults.items() if getattr(self, name) == fields[name].default
            }
        return written

    @model_validator(mode="after")
    def _tables_are_frozen(self) -> Self:
        """Let nothing change a table, so that every section can be hashed."""
        for name, value in self:
            object.__setattr__(self, name, frozen(value))  # the section freezes only after its validators
        return self
