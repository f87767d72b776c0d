"""A whole run: its setup, its cost, its provenance and its findings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.records.comparison import Comparison, Gain, ItemAnswers, ItemScores
from spillover.records.fertility import Fertility, FertilityCorrelation
from spillover.records.interpretability import Internals
from spillover.records.quality import Data
from spillover.records.tuning import Dose, Forgetting, TreatmentCheck, Tuning

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Setup:
    """The setup of a run, as the report describes it."""

    model: str
    """The model, as the experiment names it."""
    mixture: str
    """What was tuned on, as the paper writes it: `zh/de=>en`; empty if nothing was tuned."""
    question_task: str
    """Task whose questions were tuned on."""
    labels: str
    """How the evaluation's prompts spell labels: `english`, `native` or `agnostic`."""
    treatment: str
    """Sentence about what tuning did; it names the frame."""
    tuned_on: tuple[str, ...]
    """Codes of the languages tuned on."""
    arms: tuple[str, ...] = ()
    """What each arm is, in words; empty for the base model and the tuned one alone."""


@dataclass(frozen=True, slots=True)
class StageCost:
    """Cost of the stages of one kind, whenever they were made."""

    stage: str
    """Kind of stage."""
    seconds: float
    """Time, summed over the stages."""
    peak_memory: int
    """Peak memory of the processes that made them, in bytes; 0 if unknown."""
    threads: tuple[int, ...] = ()
    """The different numbers of threads that computed them; empty if unknown, or if no model was in memory."""


@dataclass(frozen=True, slots=True)
class TranslationCost:
    """Cost of translating the questions into one language. Each text counts once."""

    language: str
    """Code of the language translated into."""
    new: int
    """Characters that are not translated yet; 0 after a run."""
    known: int
    """Characters whose translations are in the translation memory; 0 if the source has its own translations."""
    sent: int
    """Characters translated for this run folder, by its log."""
    seconds: float
    """Time that translating them took."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """All facts needed to repeat the run."""

    facts: tuple[tuple[str, str], ...]
    """Name → value: versions, machine, digests."""
    experiment: str
    """The experiment file, complete, as TOML."""


@dataclass(frozen=True, slots=True)
class License:
    """The license of a work that a run uses."""

    role: str
    """Role of the work: `model`, `translator`, `quality estimation`, `questions`, `items`."""
    work: str
    """The work, as the experiment names it."""
    terms: str
    """Name of the license."""
    restriction: str
    """What a user must know before using the work or sharing a result; empty: nothing beyond naming the source."""
    address: str
    """Where the terms are; empty if unknown."""

    def __str__(self) -> str:
        """Return one line."""
        restriction = f": {self.restriction}" if self.restriction else ""
        address = f" ({self.address})" if self.address else ""
        return f"license of the {self.role} {self.work}: {self.terms}{restriction}{address}"


@dataclass(frozen=True, slots=True)
class FirstPrompt:
    """The first prompt that an arm reads, as tokens: what its tokenizer, template and exemplars made of an item."""

    arm: str
    """Name of the arm."""
    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    item: str
    """The item's id."""
    ids: tuple[int, ...]
    """(tokens,) their ids."""
    tokens: tuple[str, ...]
    """(tokens,) their texts."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """Something to do after the run."""

    rule: str
    """Name of the rule that asks for it."""
    text: str
    """What was seen and what to do, in a sentence or two."""
    command: str
    """Arguments of `spillover` that do it, for the experiment file of the run; empty if there is no single command."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a report shows about one run. A part is empty if nothing was measured."""

    name: str
    """Name of the run folder."""
    setup: Setup
    """Model, mixture and languages."""
    comparisons: tuple[Comparison, ...]
    """Two arms each: the primary comparison, then the others."""
    item_scores: tuple[ItemScores, ...]
    """Items and scores, one per task and language measured."""
    internals: Internals
    """Measurements inside the model."""
    tuning: Tuning
    """Losses and translations of tuning."""
    forgetting: tuple[Forgetting, ...]
    """One per language."""
    data: Data
    """Defects of the data."""
    costs: tuple[StageCost, ...]
    """One per kind of stage, in the order of their use."""
    translation_costs: tuple[TranslationCost, ...]
    """One per language that the questions were translated into."""
    provenance: Provenance
    """Facts needed to repeat the run."""
    item_answers: tuple[ItemAnswers, ...] = ()
    """Items answered in words, with what the arms wrote, one per task and language measured."""
    first_prompts: tuple[FirstPrompt, ...] = ()
    """One per arm."""
    licenses: tuple[License, ...] = ()
    """One per work that the run uses."""
    fertility: tuple[Fertility, ...] = ()
    """One per task and language measured."""
    fertility_correlations: tuple[FertilityCorrelation, ...] = ()
    """One per task and measure of fertility; none with fewer than four languages that tuning never saw."""
    treatment: TreatmentCheck | None = None
    """Whether tuning taught what it was meant to teach; None where nothing was tuned."""
    next_steps: tuple[NextStep, ...] = ()
    """What to do next, the most urgent first."""
    dose: Dose | None = None
    """Small evaluations at steps of tuning; None where there was none."""

    def _repr_html_(self) -> str:
        from spillover.records.notebook import of_findings

        return of_findings(self)

    def to_pandas(self) -> "DataFrame":
        """Return the rows of each comparison, as `Comparison.to_pandas` does: a row per arm, task and language."""
        from spillover.records.frames import data_frame

        return data_frame(
            Gain, [({"reference": c.reference, "arm": c.arm}, g) for c in self.comparisons for g in c.gains]
        )
