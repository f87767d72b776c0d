"""Languages that a text may mean, and those that are like them."""

from spillover.languages.spelling import folded, lookup
from spillover.languages.table import Language, known_languages


def similar_languages(text: str) -> list[Language]:
    """Return the languages that a text names, each followed by its nearest ones.

    Args:
        text: a language in any spelling, which is followed by the others of its branch, those in its script first; or
            a part of a name, a code, a branch or a script, which finds all rows that have it. Empty: all.
    """
    known = known_languages()
    if code := lookup(text):
        row = known[code]
        branch = [other for other in known.values() if other.family == row.family and other.code != code]
        return [row, *sorted(branch, key=lambda other: other.script != row.script)]
    part = folded(text)
    return [row for row in known.values() if any(part in folded(name) for name in _names(row))]


def _names(row: Language) -> tuple[str, ...]:
    return (row.name, row.autonym, *row.other_names, row.code, row.nllb, row.iso639_3, row.family, row.script)
