"""Defects of the data: items, questions and pairs, before any model reads them."""

from dataclasses import dataclass
from typing import Literal

from spillover.records.data import PairFlag

Severity = Literal["error", "warning", "note"]
"""`error`: a run would stop, or measure something else than its report claims. `warning`: it may be intended. `note`:
how files were read, which is no fault."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One fault of the data, or a note on how they were read, however many rows have it."""

    severity: Severity
    """How bad it is."""
    check: str
    """Name of the check."""
    message: str
    """What was found, what was expected, and the consequence."""
    place: str = ""
    """The file and the first row with the fault; empty if it is in no file."""
    language: str = ""
    """Code of the language; empty if the fault belongs to none."""
    ceiling: float | None = None
    """Highest accuracy that a perfect model would reach in this task and language, in percent; None if unaffected."""

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.place}: {self.message}" if self.place else self.message


@dataclass(frozen=True, slots=True)
class PairChecks:
    """Results of the checks of the pairs of one language."""

    language: str
    """Code of the language tuned on."""
    pairs: int
    """Number of pairs, dropped ones included."""
    dropped: int
    """Number of pairs left out of the training examples because of a flag."""
    flags: tuple[tuple[PairFlag, int], ...]
    """Every flag that was checked, with the number of pairs that have it."""


@dataclass(frozen=True, slots=True)
class PairQuality:
    """Estimated quality of the translations into one language."""

    language: str
    """Code of the language tuned on."""
    scorer: str
    """Name of the scorer, whose unit the scores have."""
    pairs: int
    """Number of pairs that were scored."""
    quantiles: tuple[float, ...]
    """(5,) scores at 5, 25, 50, 75 and 95 percent of the pairs."""
    threshold: float | None
    """Score beyond which a pair is flagged; None without one."""
    flagged: int
    """Number of pairs that are worse."""


@dataclass(frozen=True, slots=True)
class MachineTranslated:
    """A machine-translated test set. It also measures the translator."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    translator: str
    """The translator."""


@dataclass(frozen=True, slots=True)
class Data:
    """All defects of the data of a run."""

    defects: tuple[Defect, ...]
    """Defects, errors first."""
    overlap: str
    """Sentence about the questions tuned on that are also in the evaluation; empty without any."""
    pairs: tuple[PairChecks, ...]
    """One per language tuned on."""
    translated: tuple[MachineTranslated, ...]
    """The machine-translated test sets."""
    quality: tuple[PairQuality, ...] = ()
    """One per language tuned on, if the translations were scored."""
