"""Languages: what each one is, and how other people write it."""

from spillover.languages.similar import similar_languages
from spillover.languages.spelling import (
    canonical,
    from_cldr,
    from_code,
    from_name,
    get_language,
    lookup,
    other_script,
)
from spillover.languages.table import (
    ENGLISH,
    UNSPACED_SCRIPTS,
    Language,
    in_paper_order,
    known_languages,
    languages,
    registered,
)

__all__ = [
    "ENGLISH",
    "UNSPACED_SCRIPTS",
    "Language",
    "canonical",
    "from_cldr",
    "from_code",
    "from_name",
    "get_language",
    "in_paper_order",
    "known_languages",
    "languages",
    "lookup",
    "other_script",
    "registered",
    "similar_languages",
]
