"""The sections of the experiment file but `[tune]` and `[arms]`, every key with a default."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AliasChoices, Field, model_validator

from spillover.errors import SpilloverError
from spillover.experiment.section import NonNegative, Place, Section
from spillover.experiment.tuning import CONTRASTIVE, PartConfig, PhaseConfig
from spillover.languages import ENGLISH, Language
from spillover.plugins import METRICS
from spillover.records import ChatStyle, NeuronScore, PairFlag

Classes = tuple[str, ...] | dict[str, str]
"""Labels in the order of their codes, or code → label."""


class ModelConfig(Section):
    """Which model, and how it is loaded."""

    younger: ClassVar[frozenset[str]] = frozenset({"system", "shots_as"})

    name: Place = "gemma-3-270m"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantize: Literal["none", "nf4"] = "none"
    template: Literal["none", "chat"] = "none"
    template_arguments: dict[str, Any] = Field(default_factory=dict)
    """Variables that the chat template reads, such as `enable_thinking`."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the processor that compute; 0: as many as torch chooses. A score's last digits depend on it."""
    system: str = ""
    """Text of the system turn before each chat; empty: no such turn."""
    shots_as: Literal["one turn", "turns"] = "one turn"
    """`turns`: in a chat each exemplar is a turn of the user and one of the assistant."""

    @model_validator(mode="after")
    def _chat_has_a_template(self) -> Self:
        """Refuse keys of a chat without a chat."""
        for key in ("system", "shots_as"):
            value = getattr(self, key)
            if value != type(self).model_fields[key].default and self.template != "chat":
                raise SpilloverError(
                    f"model.{key}: found {value!r} with template = 'none', expected template = 'chat' or no such key"
                )
        return self

    @property
    def chat_style(self) -> ChatStyle:
        """How a prompt becomes a chat."""
        return ChatStyle(self.template_arguments, self.system, self.shots_as == "turns")


class _SourceConfig(Section):
    """How a source's missing translations are treated."""

    missing: Literal["error", "leave-out"] = "error"
    """`leave-out`: a row that lacks a text in one language is left out in every language."""
    gaps: tuple[str, ...] = ()
    """What stands where a translation is missing, such as `NS`; a blank text always means that."""

    @model_validator(mode="after")
    def _gaps_have_a_use(self) -> Self:
        if self.gaps and self.missing == "error":
            raise SpilloverError(f"gaps: found {list(self.gaps)} with missing = 'error', expected 'leave-out'")
        return self

    @property
    def markers(self) -> tuple[str, ...] | None:
        """The texts that stand for a missing translation, beside blank ones; None where nothing is left out."""
        return self.gaps if self.missing == "leave-out" else None


class QuestionsConfig(_SourceConfig):
    """Where the questions come from, and their language."""

    younger: ClassVar[frozenset[str]] = frozenset({"language"})

    source: Place = "starter"
    task: Place = "sentiment"
    limit: NonNegative = 10_000
    columns: dict[str, str] = Field(default_factory=dict)
    classes: Classes = ()
    """Which labels the numbers or letters in a column of labels stand for: in their order from 0, or each by itself."""
    language: str = ENGLISH
    """Code of the language that they are asked in, and translated from."""


class TranslateConfig(Section):
    """Into which languages the questions are translated, by what, and which flags drop a pair (the paper: none)."""

    younger: ClassVar[frozenset[str]] = frozenset({"quality", "quality_model", "quality_threshold"})

    to: tuple[str, ...] = ("zh", "de")
    translator: Annotated[str, Field(alias="with")] = "parallel"
    drop: tuple[PairFlag, ...] = ()
    model: Place = ""
    endpoint: str = ""
    budget: NonNegative = 0
    quality: str = ""
    """Scorer of the translations' quality; empty: none."""
    quality_model: Place = ""
    """The scorer's model, if it has a choice; empty: its default."""
    quality_threshold: float | None = None
    """Score beyond which a pair has the flag `quality`, in the scorer's unit."""

    @model_validator(mode="after")
    def _quality_is_scored(self) -> Self:
        """Refuse keys of quality estimation without a scorer, and a flag that nothing raises."""
        for key in ("quality_model", "quality_threshold"):
            if getattr(self, key) not in ("", None) and not self.quality:
                raise SpilloverError(f"translate.{key}: found {getattr(self, key)!r} without translate.quality")
        if "quality" in self.drop and self.quality_threshold is None:
            raise SpilloverError("translate.drop: found 'quality' without translate.quality and quality_threshold")
        return self


class MixtureConfig(Section):
    """How pairs become training examples."""

    younger: ClassVar[frozenset[str]] = frozenset({"phases"})

    recipe: str = "question-translation"
    pivot: str = ENGLISH
    frame: Literal["plain", "task-frame", "paper"] = "plain"
    sizes: dict[str, Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(default_factory=dict)
    unrelated: QuestionsConfig = QuestionsConfig()
    allow_overlap: bool = False
    phases: tuple[PhaseConfig, ...] = ()
    """In their order; none: those that `recipe` stands for."""

    @property
    def all_phases(self) -> tuple[PhaseConfig, ...]:
        """The phases, or the one whose only part is the recipe."""
        return self.phases or (PhaseConfig(parts=(PartConfig(recipe=self.recipe),)),)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.recipe == CONTRASTIVE:
            raise SpilloverError(
                f"mixture.recipe: found {CONTRASTIVE!r}, which is no text to write, expected it in mixture.phases, as "
                "the one part of a phase"
            )
        if self.phases and self.recipe != type(self).model_fields["recipe"].default:
            raise SpilloverError(
                f"mixture.recipe: found {self.recipe!r} beside mixture.phases, expected one of the two: the recipe as "
                "a part of a phase"
            )
        return self


class EvaluateConfig(_SourceConfig):
    """On what both arms are measured."""

    source: Place = ""
    tasks: tuple[Place, ...] = ("sentiment", "entailment", "paraphrase")
    languages: Literal["all", "available"] | tuple[str, ...] = "all"
    """`all`: those that have items, of `languages.languages` and of the task's own rows; `available`: every language
    that has items."""
    labels: Literal["english", "native", "agnostic"] = "english"
    scoring: Literal["exact", "constrained", "first-token"] = "exact"
    overflow: Literal["drop-exemplars", "error"] = "drop-exemplars"
    limit: NonNegative = 0
    columns: dict[str, str] = Field(default_factory=dict)
    classes: Classes | dict[str, Classes] = ()
    """As in `questions`; for several tasks an entry for each, by its name."""
    merged: bool = False
    engine: Literal["transformers", "vllm"] = "transformers"


class AnalyzeConfig(Section):
    """Measurements inside the model."""

    younger: ClassVar[frozenset[str]] = frozenset({"answers", "deactivate", "deactivate_by"})

    lenses: tuple[str, ...] = ("logit",)
    metrics: tuple[str, ...] = tuple(METRICS)
    limit: NonNegative = 100
    texts: Annotated[
        NonNegative,
        Field(validation_alias=AliasChoices("forgetting", "texts"), serialization_alias="forgetting"),
    ] = 100
    """The key `forgetting`: items per cell whose bits per byte measure forgetting. Its old name stays in digests."""
    patch: NonNegative = 2
    answers: bool = False
    """Whether neurons are also counted over the tokens of the right answers."""
    deactivate: Literal["all"] | tuple[str, ...] = ()
    """Languages whose neurons are switched off, one language after the other."""
    deactivate_by: NeuronScore = "lape"
    """The score by which these neurons are chosen."""


class ReportConfig(Section):
    """Rules of the comparison of arms."""

    correction: Literal["holm", "benjamini-hochberg"] = "holm"
    margin: Annotated[float, Field(ge=0, le=100)] = 2
    """Differences within ± this many points count as equivalent."""


class LanguageConfig(Section):
    """A language that this project does not have, and what other tools call it."""

    name: str
    autonym: str = ""
    script: str
    family: str
    tier: Literal["high", "low"]
    nllb: str = ""
    iso639_3: str = ""
    google: str = ""
    lingua: str = ""

    def row(self, code: str) -> Language:
        """Return the language. By default, Apertium and Google know it by its code; NLLB and lingua lack it."""
        return Language(
            code=code,
            name=self.name,
            autonym=self.autonym or self.name,
            script=self.script,
            family=self.family,
            tier=self.tier,
            nllb=self.nllb,
            iso639_3=self.iso639_3 or code,
            google=self.google or code,
            lingua=self.lingua,
        )
