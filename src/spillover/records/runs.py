"""Records about several runs of the same items. `records.run` has the records about one run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spillover.records.comparison import Verdict
from spillover.records.estimates import Estimate
from spillover.records.scoring import Result
from spillover.records.tuning import TreatmentCheck

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """One run, as read from its folder."""

    name: str
    """Name of the run folder."""
    recipe_digest: str
    """Digest of the experiment without its seed. Runs with the same digest are seeds of one recipe."""
    model: str
    """The model, as the experiment names it."""
    parameters: int
    """Number of the model's parameters; 0 if its files are missing."""
    mixture: str
    """What was tuned on, as the paper writes it."""
    question_task: str
    """Task whose questions were tuned on."""
    labels: str
    """How the prompts spell labels: `english`, `native` or `agnostic`."""
    seen: tuple[str, ...]
    """Codes of the languages that tuning read or wrote."""
    reference: tuple[Result, ...]
    """Results of the reference of its primary comparison."""
    arm: tuple[Result, ...]
    """Results of the arm of its primary comparison."""
    setting: str = ""
    """The keys in which its experiment differs from others of the grid, without languages and seed."""
    clusters: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    """Task → an item's id → the first id of its cluster; empty where all items are independent of one another."""
    arms: tuple[str, str] = ("base", "tuned")
    """Names of the reference and the arm."""
    treatment: TreatmentCheck | None = None
    """Whether tuning taught what it was meant to teach; None where nothing was tuned."""
    precision: str = ""
    """The dtype of its model's weights; empty if the run is of an older version."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What one recipe did in one task, over the languages that all runs share. Shares, means over seeds."""

    task: str
    """Name of the task."""
    languages: tuple[str, ...]
    """Codes of the languages."""
    reference: tuple[float, ...]
    """(languages,) mean score of the reference, in [0, 1]."""
    arm: tuple[float, ...]
    """(languages,) mean score of the arm, in [0, 1]."""
    gain: Estimate | None
    """Mean difference over languages neither read nor written, with the interval over seeds; None without any."""
    measure: str = ""
    """`per character` or `per byte` where the log-probability of a choice is divided by its length; else empty."""

    @property
    def title(self) -> str:
        """The task's name, with the measure if that is not the score itself."""
        return ", ".join(filter(None, (self.task, self.measure)))


@dataclass(frozen=True, slots=True)
class RecipeResult:
    """One recipe: one run, or several that differ in the seed alone."""

    name: str
    """Names of its runs."""
    first: FinishedRun
    """The first of its runs, for the fields that all of them share."""
    seeds: int
    """Number of seeds."""
    results: tuple[TaskResult, ...]
    """One per task, and one more per length of the choices that the task asks for."""


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """The arms of two recipes, not their references, paired item by item."""

    task: str
    """Name of the task."""
    one: str
    """Name of the first recipe."""
    other: str
    """Name of the second recipe."""
    languages: int
    """Number of languages that neither recipe read or wrote."""
    difference: Estimate
    """Mean difference of the scores over the languages, one − other, in [-1, 1]; interval over seeds."""
    verdict: Verdict
    """What the difference shows about the first recipe; see `docs/statistics.md`."""
    language: str = ""
    """Code of the language, if the difference is that of one language; `languages` is 1 then."""
    measure: str = ""
    """As in `TaskResult`."""

    @property
    def title(self) -> str:
        """As in `TaskResult`."""
        return ", ".join(filter(None, (self.task, self.measure)))


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Recipes side by side."""

    recipes: tuple[RecipeResult, ...]
    """In the order given."""
    comparisons: tuple[PairedComparison, ...]
    """One per pair of recipes and task with languages new to both."""
    treatments: tuple[str, ...] = ()
    """Per run that tuned, its name and whether its treatment took, in a sentence."""
    per_language: tuple[PairedComparison, ...] = ()
    """One per pair of recipes, task and language that all runs measured, the tuned ones too; not corrected."""

    def _repr_html_(self) -> str:
        from spillover.records.notebook import of_runs

        return of_runs(self)

    def to_pandas(self) -> "DataFrame":
        """Return a row per recipe, task and language: mean scores over seeds of reference and arm, in [0, 1]."""
        from pandas import DataFrame

        return DataFrame(
            [
                {"run": recipe.name, "seeds": recipe.seeds, "task": result.title, "language": code}
                | {"reference": reference, "arm": arm}
                for recipe in self.recipes
                for result in recipe.results
                for code, reference, arm in zip(result.languages, result.reference, result.arm, strict=True)
            ]
        )
