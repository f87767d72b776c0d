"""Translating line by line, for models that were trained on sentences and know no line breaks."""

from collections.abc import Callable, Sequence


def by_line(texts: Sequence[str], translate: Callable[[list[str]], Sequence[str]]) -> list[str]:
    """Return the translations of texts whose lines `translate` translates.

    Each distinct line is translated once, without the blanks around it. Empty lines stay.
    """
    lines = list(dict.fromkeys(line.strip() for text in texts for line in text.split("\n") if line.strip()))
    translated = dict(zip(lines, translate(lines), strict=True)) if lines else {}
    return ["\n".join(translated.get(line.strip(), line) for line in text.split("\n")) for text in texts]
