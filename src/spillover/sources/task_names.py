"""Names of tasks of other tools: which part of a name says a language, as `de` does in `xnli_de`."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from spillover.languages import languages, lookup
from spillover.tasks import PLACEHOLDER

_SEPARATOR = re.compile(r"([_\-.:]+)")
"""What stands between the parts of a task's name."""

_WITH_SCRIPT = re.compile(r"[A-Za-z]{2,3}[_-][A-Za-z]{4}")
"""A code with its script: `yor_Latn`."""

MAX_LANGUAGE_PARTS = 3
"""Most parts of a name that one language takes: `zh`, `deu_Latn`, `zh-Hans-CN`."""


class NamedLanguage(NamedTuple):
    """The parts of a task's name."""

    family: str
    """The name with the placeholder in place of its language: `xnli_{language}`."""
    language: str
    """The language as the name writes it: `de`."""


def without_language(name: str, code: str) -> str:
    """Put the placeholder where a name says a language."""
    words = _SEPARATOR.split(name)
    for count in range(MAX_LANGUAGE_PARTS, 0, -1):  # `deu_Latn` before `deu`
        for start in range(0, len(words) - 2 * (count - 1), 2):
            span = slice(start, start + 2 * count - 1)
            if words[start] and lookup("".join(words[span])) == code:
                words[span] = [PLACEHOLDER, *[""] * (2 * count - 2)]
    return "".join(words)


def named_languages(names: Iterable[str]) -> dict[str, NamedLanguage]:
    """Return name → its family and language, of those names that say a language.

    Where a name could be taken apart in several ways, the family with the most members among `names` wins; then the
    longer language, then the later one. A language that is not one of `languages` counts only if it is
    written with its script (`yor_Latn`), or if other names of the family say languages. Otherwise words such as `sun`,
    `run` or `min` would count as languages.
    """
    readings = {name: list(_readings(name)) for name in dict.fromkeys(names)}
    sizes = Counter(reading.family for members in readings.values() for reading in members)
    named = {name: max(members, key=lambda r: sizes[r.family]) for name, members in readings.items() if members}
    families = Counter(reading.family for reading in named.values())
    for name in readings.keys() - named.keys():
        for family, _ in families.most_common():
            if written := _between(name, family):
                named[name] = NamedLanguage(family, written)
                break
    return named


def _readings(name: str) -> Iterator[NamedLanguage]:
    """Yield every way to take a name apart: the longest language first, the last in the name first."""
    words = _SEPARATOR.split(name)
    for count in range(MAX_LANGUAGE_PARTS, 0, -1):
        for start in range(len(words) - 2 * count + 1, -1, -2):
            span = slice(start, start + 2 * count - 1)
            written = "".join(words[span])
            if words[start] and _is_plain_language(written):
                yield NamedLanguage("".join([*words[:start], PLACEHOLDER, *words[span.stop :]]), written)


def _is_plain_language(written: str) -> bool:
    """Whether a part of a name alone shows that it is a language."""
    code = lookup(written)
    return code in languages() or (code is not None and _WITH_SCRIPT.fullmatch(written) is not None)


def _between(name: str, family: str) -> str:
    """Return what a name has where the family has its placeholder; empty where it is no member."""
    before, _, after = family.partition(PLACEHOLDER)
    written = name[len(before) : len(name) - len(after)]
    return written if name == f"{before}{written}{after}" else ""
