"""Scores as other tools write them: numbers, booleans, words and letters."""

from spillover.errors import SpilloverError

WORDS = {
    **dict.fromkeys(("true", "yes", "correct", "right", "c"), 1.0),
    **dict.fromkeys(("false", "no", "incorrect", "wrong", "i", "n"), 0.0),
    "p": 0.5,
}
"""A score in words, in lower case → its number. Letters are those of inspect: `C` correct, `P` partial."""


def read_score(value: object, where: str) -> float:
    """Return a score in [0, 1].

    Raises:
        SpilloverError: the value is none; `where` names its place and its column.
    """
    number = WORDS.get(value.strip().lower()) if isinstance(value, str) else None
    if number is None and isinstance(value, bool | int | float | str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if number is None or not 0 <= number <= 1:
        raise SpilloverError(f"{where}: found {value!r:.80}, expected a score between 0 and 1, or true or false")
    return number
