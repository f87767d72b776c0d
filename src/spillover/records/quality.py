"""What is wrong with the data: items, questions and pairs, before any model reads them."""

from dataclasses import dataclass
from typing import Literal

from spillover.records.data import PairFlag

Severity = Literal["error", "warning"]
"""`error`: a run would stop, or measure something else than it says. `warning`: worth a look."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong, however many rows have it."""

    severity: Severity
    """How bad it is."""
    check: str
    """Which check found it."""
    message: str
    """What was found, what was expected, what follows from it."""
    place: str = ""
    """The file, and the first row that has it; empty where it is in no file."""
    language: str = ""
    """Code of the language; empty where it is in none."""
    ceiling: float | None = None
    """Accuracy in percent that a perfect model would be given in this task and language; None where untouched."""

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.place}: {self.message}" if self.place else self.message


@dataclass(frozen=True, slots=True)
class PairChecks:
    """What the checks said about the pairs of one language."""

    language: str
    """Code of the language tuned on."""
    pairs: int
    """Number of pairs, dropped ones included."""
    dropped: int
    """Number of pairs that a flag kept out of the training examples."""
    flags: tuple[tuple[PairFlag, int], ...]
    """Every flag that was checked for, with the number of pairs that have it."""


@dataclass(frozen=True, slots=True)
class MachineTranslated:
    """A test set that a machine translated: it measures the translator, too."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    translator: str
    """What translated it."""


@dataclass(frozen=True, slots=True)
class Data:
    """All that was found about the data, whatever a model made of them."""

    defects: tuple[Defect, ...]
    """What the data doctor found, errors first."""
    overlap: str
    """Which questions tuned on the evaluation asks too, in a sentence; empty where there is none."""
    pairs: tuple[PairChecks, ...]
    """What was wrong with the pairs, one a language tuned on."""
    translated: tuple[MachineTranslated, ...]
    """The machine-translated among the test sets."""
