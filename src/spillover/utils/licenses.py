"""The licenses of models, translators and data, from the one table `data/licenses.toml`.

It records what the works' own pages state. It is no legal advice.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

NOT_RECORDED = "not recorded here, look it up before you share a result"
"""The terms of a work that the table lacks."""


@dataclass(frozen=True, slots=True)
class LicenseRow:
    """A row of the table."""

    works: tuple[str, ...]
    """Names or patterns of hub ids, engines or sources."""
    terms: str
    """Name of the license."""
    restriction: str
    """What a user must know before using the work or sharing a result; empty: nothing beyond naming the source."""
    address: str
    """Where the terms are."""


@cache
def license_rows() -> tuple[LicenseRow, ...]:
    """Return the table, in its order."""
    text = files("spillover").joinpath("data", "licenses.toml").read_text(encoding="utf-8")
    return tuple(LicenseRow(**row | {"works": tuple(row["works"])}) for row in tomllib.loads(text)["license"])


def find_license(names: Sequence[str]) -> LicenseRow | None:
    """Return the row of the first name that has one, in any case; None if none has."""
    for name in names:
        for row in license_rows():
            if any(fnmatchcase(name.lower(), pattern.lower()) for pattern in row.works):
                return row
    return None
