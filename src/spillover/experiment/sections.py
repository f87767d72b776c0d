"""The sections of the experiment file, except `[tune]` and `[arms]`, every key with a default."""

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
    """The model, and how it is loaded."""

    younger: ClassVar[frozenset[str]] = frozenset({"system", "shots_as", "device_map"})

    name: Place = "gemma-3-270m"
    """An alias (`spillover models`), a hub id, a folder with safetensors, or a GGUF file."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights; `auto`: bfloat16 if the device has it, else float16 on a GPU and float32 on a CPU."""
    quantize: Literal["none", "nf4"] = "none"
    """`nf4`: weights of four bits, on a GPU."""
    template: Literal["none", "chat"] = "none"
    """`chat`: the model's chat template is used. The prompt is the user's turn, the answer the assistant's turn."""
    template_arguments: dict[str, Any] = Field(default_factory=dict)
    """Variables that the chat template reads, such as `enable_thinking`."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the processor that compute; 0: as many as other runs leave, at least one. The last digits of scores
    depend on this number."""
    system: str = ""
    """Text of the system turn before each chat; empty: no such turn."""
    shots_as: Literal["one turn", "turns"] = "one turn"
    """`turns`: in a chat each exemplar is a turn of the user and one of the assistant."""
    device_map: Literal["none", "auto", "balanced", "balanced_low_0", "sequential"] | dict[str, int | str] = "none"
    """Layers on several devices: a strategy of accelerate, or a table module → number of the device, `cpu` or `disk`.
    `none`: the whole model is on one device. The last digits of scores depend on this key."""

    @model_validator(mode="after")
    def _chat_has_a_template(self) -> Self:
        """Refuse keys of a chat without a chat."""
        for key in ("template_arguments", "system", "shots_as"):
            value = getattr(self, key)
            default = type(self).model_fields[key].get_default(call_default_factory=True)
            if value != default and self.template != "chat":
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
    """Texts that mark a missing translation, such as `NS`. A blank text always marks one."""

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
    """The source of the questions: `starter`, or a name with its argument, such as `folder:DIR` or `hub:ID`."""
    task: Place = "sentiment"
    """The task of the questions: a name, or a TOML file."""
    limit: NonNegative = 10_000
    """The most questions to read."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Field → the column that holds it, where the two have different names."""
    classes: Classes = ()
    """The labels that codes (numbers or letters) in a label column mean: in their order from 0, or code → label."""
    language: str = ENGLISH
    """Code of the language of the questions, from which they are translated."""


class TranslateConfig(Section):
    """The languages that the questions are translated into, the translator, and the flags that drop a pair.

    In the paper no flag drops a pair.
    """

    younger: ClassVar[frozenset[str]] = frozenset({"quality", "quality_model", "quality_threshold"})

    to: tuple[str, ...] = ("zh", "de")
    """Codes of the languages to tune on."""
    translator: Annotated[str, Field(alias="with")] = "parallel"
    """The translator; `parallel`: the source itself has the translations."""
    drop: tuple[PairFlag, ...] = ()
    """Pairs with one of these flags are left out of tuning."""
    model: Place = ""
    """The engine's model, for an engine with several; empty: its default."""
    endpoint: str = ""
    """Address of the engine's server, if it has one."""
    budget: NonNegative = 0
    """The most characters to translate; 0: no limit."""
    quality: str = ""
    """Scorer of the translations' quality; empty: none."""
    quality_model: Place = ""
    """The scorer's model, for a scorer with several; empty: its default."""
    quality_threshold: float | None = None
    """A pair with a worse score than this has the flag `quality`. In the scorer's unit."""

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
    """Which texts are paired."""
    pivot: str = ENGLISH
    """Code of the language that the model learns to translate into."""
    frame: Literal["plain", "task-frame", "paper"] = "plain"
    """How a pair is written."""
    sizes: dict[str, Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(default_factory=dict)
    """Language → number of its pairs that are learned. Of other languages all pairs are learned."""
    unrelated: QuestionsConfig = QuestionsConfig()
    """The source of the questions for the recipe `unrelated`."""
    allow_overlap: bool = False
    """Whether questions for tuning may also be items of the evaluation."""
    phases: tuple[PhaseConfig, ...] = ()
    """The phases in their order; none: the phases of `recipe`."""

    @property
    def all_phases(self) -> tuple[PhaseConfig, ...]:
        """The phases, or one phase whose only part is the recipe."""
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
    """The items on which the arms are measured, and how they are scored."""

    source: Place = ""
    """The source of the items; empty: the questions' source, or the starter corpus if that source has no items."""
    tasks: tuple[Place, ...] = ("sentiment", "entailment", "paraphrase")
    """Names of tasks, TOML files, or families of lm-evaluation-harness such as `harness:xnli_{language}`."""
    languages: Literal["all", "available"] | tuple[str, ...] = "all"
    """`all`: the twenty languages, those of the task's rows and those of `[languages]`, if they have items.
    `available`: every language that has items."""
    labels: Literal["english", "native", "agnostic"] = "english"
    """The words of the labels: English, in the item's language, or words unrelated to the task."""
    scoring: Literal["exact", "constrained", "first-token"] = "exact"
    """The score of a choice; `exact`: the log-probability of the whole choice."""
    overflow: Literal["drop-exemplars", "error"] = "drop-exemplars"
    """For prompts that are longer than the model's context: drop exemplars, or stop the run with an error."""
    limit: NonNegative = 0
    """The most items per task and language; 0: all."""
    columns: dict[str, str] = Field(default_factory=dict)
    """As in `questions`."""
    classes: Classes | dict[str, Classes] = ()
    """As in `questions`. For several tasks: name of the task → its classes."""
    merged: bool = False
    """Whether the adapter is added to the weights before the tuned arm is measured."""
    engine: Literal["transformers", "compiled", "vllm"] = "transformers"
    """The program that computes the scores; `compiled`: transformers, with layers that `torch.compile` compiles."""


class AnalyzeConfig(Section):
    """Measurements inside the model."""

    younger: ClassVar[frozenset[str]] = frozenset({"answers", "deactivate", "deactivate_by"})

    lenses: tuple[str, ...] = ("logit",)
    """Lenses that read the layers."""
    metrics: tuple[str, ...] = tuple(METRICS)
    """Measures of how similarly two languages are represented."""
    limit: NonNegative = 100
    """Items per cell (an arm, a task and a language) that are traced; 0: no analysis."""
    texts: Annotated[
        NonNegative,
        Field(validation_alias=AliasChoices("forgetting", "texts"), serialization_alias="forgetting"),
    ] = 100
    """Items per cell whose bits per byte measure what was forgotten; 0: none. The old name `texts` stays in digests."""
    patch: NonNegative = 2
    """Number of the traced items that are patched between languages; 0: none."""
    answers: bool = False
    """Whether neurons are also counted over the tokens of the right answers."""
    deactivate: Literal["all"] | tuple[str, ...] = ()
    """Languages whose neurons are switched off, one language after the other."""
    deactivate_by: NeuronScore = "lape"
    """The score by which these neurons are chosen."""

    @model_validator(mode="after")
    def _chosen_neurons_have_a_use(self) -> Self:
        if self.deactivate_by != type(self).model_fields["deactivate_by"].default and not self.deactivate:
            raise SpilloverError(
                f"analyze.deactivate_by: found {self.deactivate_by!r} without analyze.deactivate, expected the "
                "languages whose neurons are switched off, or no such key"
            )
        return self


class ReportConfig(Section):
    """Rules of the comparison of arms."""

    correction: Literal["holm", "benjamini-hochberg"] = "holm"
    """Correction of p-values for the number of tasks and languages."""
    margin: Annotated[float, Field(ge=0, le=100)] = 2
    """The smallest change that matters, in points. Changes that surely lie within ± this count as equivalent."""


class LanguageConfig(Section):
    """A language that spillover does not have, and its codes in other tools."""

    name: str
    """English name."""
    autonym: str = ""
    """Its name in the language itself; empty: the English name."""
    script: str
    """Script, such as `Latin`."""
    family: str
    """Branch or family, such as `Romance`."""
    tier: Literal["high", "low"]
    """`high`: many texts are written in the language. Tables group languages by tier."""
    nllb: str = ""
    """Its code in NLLB, such as `cat_Latn`; empty: NLLB lacks it."""
    iso639_3: str = ""
    """Its code in ISO 639-3; empty: the experiment's code."""
    google: str = ""
    """Its code in Google Translate; empty: the experiment's code."""
    lingua: str = ""
    """Its code in lingua, which identifies languages; empty: lingua lacks it."""

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
