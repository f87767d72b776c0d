"""A run as a whole: what was done, what it cost, how to repeat it, and all that was found."""

from dataclasses import dataclass

from spillover.records.comparison import Comparison, ItemScores
from spillover.records.interpretability import Internals
from spillover.records.quality import Data
from spillover.records.tuning import Forgetting, Tuning


@dataclass(frozen=True, slots=True)
class Setup:
    """What was done, in the words of the report."""

    model: str
    """The model, as the experiment names it."""
    mixture: str
    """What was tuned on, as the paper writes it: `zh/de=>en`."""
    question_task: str
    """Task whose questions were tuned on."""
    labels: str
    """How the evaluation asked for labels: `english`, `native` or `agnostic`."""
    treatment: str
    """What tuning did, in words that name the frame."""
    tuned_on: tuple[str, ...]
    """Codes of the languages tuned on."""


@dataclass(frozen=True, slots=True)
class StageCost:
    """What making the stages of one kind took, whenever that was."""

    stage: str
    """Kind of stage."""
    seconds: float
    """Time, summed over its parts."""
    peak_memory: int
    """Most memory a process that made one of them had held by then, in bytes; 0 where unknown."""


@dataclass(frozen=True, slots=True)
class TranslationCost:
    """What translating the questions into one language takes, and took. Each text counts once."""

    language: str
    """Code of the language translated into."""
    new: int
    """Characters that were never translated; after a run 0."""
    known: int
    """Characters whose translations are kept, whoever asked for them; 0 where the source has its own."""
    sent: int
    """Characters that came back translated to this run folder, ever, by its log."""
    seconds: float
    """How long that took."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything one needs to repeat the run."""

    facts: tuple[tuple[str, str], ...]
    """Name → value: versions, machine, digests."""
    experiment: str
    """The experiment file, complete, as TOML."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a report tells about one run. A part is empty where there was nothing to see."""

    name: str
    """Name of the run folder."""
    setup: Setup
    """What was done."""
    comparison: Comparison
    """Base against tuned."""
    item_scores: tuple[ItemScores, ...]
    """The items, one sheet a task and language measured."""
    internals: Internals
    """What was seen inside the model."""
    tuning: Tuning
    """What happened in tuning."""
    forgetting: tuple[Forgetting, ...]
    """What it cost the languages, one each."""
    data: Data
    """What is wrong with the data."""
    costs: tuple[StageCost, ...]
    """One a kind of stage, in the order of their use."""
    translation_costs: tuple[TranslationCost, ...]
    """One a language that the questions were translated into."""
    provenance: Provenance
    """How to repeat it."""
