"""Texts of tokens as a reader can see them: blanks, line ends, and characters that have no picture of their own."""

import unicodedata

SPACES = {"\n": "↵", " ": "␣", "\t": "⇥"}
"""White space → how it is shown."""

UNSEEN = ("C", "Z")
"""First letters of the Unicode categories without a picture: controls, directions, joiners, other white space."""

CIRCLE = "\u25cc"
"""Stands before a mark that would else join what is before it, as in Unicode's charts."""


def visible(token: str) -> str:
    """Return the text of a token with nothing hidden: `␣` for a blank, `<U+200D>` for a joiner.

    Marks that change the direction of a line cannot act in what this returns.
    """
    shown = "".join(map(_visible, token))
    return CIRCLE + shown if unicodedata.category(token[:1] or "x").startswith("M") else shown


def _visible(character: str) -> str:
    if character in SPACES:
        return SPACES[character]
    return f"<U+{ord(character):04X}>" if unicodedata.category(character).startswith(UNSEEN) else character
