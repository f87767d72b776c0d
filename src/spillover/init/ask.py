"""Who answers `init`'s questions: a flag, the user, or the default."""

from typing import Protocol


class Ask(Protocol):
    """A way to get an answer."""

    def __call__(self, flag: str, question: str, default: str, obvious: bool = False) -> str:
        """Return the answer.

        Args:
            flag: the name of the option that answers it too, without dashes.
            question: what is decided.
            default: the answer if the user says nothing; empty: there is no default, and the answer may be empty.
            obvious: whether the default is nearly always right: then it is printed, and nobody is asked.
        """
