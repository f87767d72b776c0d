"""The experiment: a frozen model of the TOML file, every key with a default.

An error names the file, the key's path, the value and the values expected.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from spillover.errors import SpilloverError, did_you_mean
from spillover.experiment.arms import DEFAULT_ARMS, ArmConfig, check_arms, pairs_to_compare
from spillover.experiment.section import Section
from spillover.experiment.sections import (
    AnalyzeConfig,
    EvaluateConfig,
    LanguageConfig,
    MixtureConfig,
    ModelConfig,
    QuestionsConfig,
    ReportConfig,
    TranslateConfig,
)
from spillover.experiment.treatments import Treatment, treatment, treatment_of
from spillover.experiment.tuning import TuneConfig
from spillover.languages import canonical, from_code, get_language, languages, registered
from spillover.plugins import TRANSLATION_ENGINES, TRANSLATORS
from spillover.records import Setup
from spillover.utils.frozen import frozen


class Experiment(Section):
    """One experiment. Without `arms` it has two arms, which differ only in the adapter."""

    younger: ClassVar[frozenset[str]] = frozenset({"arms", "primary", "compare"})

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of every random choice, such as the initial adapter and the order of the examples."""
    model: ModelConfig = ModelConfig()
    questions: QuestionsConfig = QuestionsConfig()
    translate: TranslateConfig = TranslateConfig()
    mixture: MixtureConfig = MixtureConfig()
    tune: TuneConfig = TuneConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    analyze: AnalyzeConfig = AnalyzeConfig()
    report: ReportConfig = ReportConfig()
    languages: dict[Annotated[str, Field(pattern="^[a-z]{2,3}(-[A-Z][a-z]{3})?$")], LanguageConfig] = Field(
        default_factory=dict
    )
    arms: dict[Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,39}$")], ArmConfig] = Field(default_factory=dict)
    """The arms by name, the reference first. Without this section: the base model and the tuned model."""
    primary: tuple[str, str] | None = None
    """The primary comparison, [arm, reference]; unset: the second arm with the first."""
    compare: tuple[tuple[str, str], ...] = ()
    """Further pairs to compare, each [arm, reference]."""

    def registered(self) -> AbstractContextManager[None]:
        """Return a block within which the languages that this experiment brings are known."""
        return registered([row.row(code) for code, row in self.languages.items()])

    @model_validator(mode="after")
    def _validate(self) -> "Experiment":
        with self.registered():
            self._check()
        return self

    def _check(self) -> None:
        self._write_codes_alike()
        if self.arms:
            check_arms(self.arms, self.primary, self.compare)
            self._check_ways()
            object.__setattr__(self, "model", self.model_of(next(iter(self.arms))))
        for code in self.mixture.sizes:
            if code not in (*self.translate.to, self.questions.language):
                raise SpilloverError(
                    f"mixture.sizes: found {code!r}, expected a language of translate.to, or {self.questions.language} "
                    f"for annotated questions; {did_you_mean(code, (*self.translate.to, self.questions.language))}"
                )
        if self.tune.method == "full" and self.model.quantize != "none":
            raise SpilloverError(
                f"tune.method: found 'full' with model.quantize = {self.model.quantize!r}, whose weights cannot learn, "
                "expected 'lora', 'dora' or 'rslora'"
            )
        listed = {"evaluate.tasks": self.evaluate.tasks, "evaluate.languages": self.evaluate.languages}
        for key, names in listed.items():
            if not names:
                raise SpilloverError(f"{key}: found [], expected at least one")
        if len(set(self.evaluate.tasks)) != len(self.evaluate.tasks):
            raise SpilloverError(
                f"evaluate.tasks: found a task twice in {list(self.evaluate.tasks)}, expected each once"
            )
        if not self.translate.to or self.mixture.pivot in self.translate.to:
            raise SpilloverError(
                f"translate.to: found {list(self.translate.to)}, expected at least one language, and not the pivot "
                f"{self.mixture.pivot!r}; {did_you_mean('', [c for c in languages() if c != self.mixture.pivot])}"
            )

    def _check_ways(self) -> None:
        """Refuse arms that other sections contradict."""
        for name, arm in self.arms.items():
            self.model_of(name)
            if arm.ask == "translate-test" and self.translate.translator in TRANSLATORS:
                raise SpilloverError(
                    f"arms.{name}.ask: found 'translate-test' with translate.with = {self.translate.translator!r}, "
                    f"which translates no items, expected an engine; choose from {', '.join(TRANSLATION_ENGINES)}"
                )
            if arm.brings_adapter and self.evaluate.engine == "vllm":
                raise SpilloverError(
                    f"arms.{name}.adapter: found {arm.adapter!r} with evaluate.engine = 'vllm', which reads adapters "
                    "tuned here alone, expected 'transformers', or a merged model in its place"
                )

    def _write_codes_alike(self) -> None:
        """Replace each code by this project's: `zh-CN`, `zho_Hans` and `ZH` are `zh` in all that follows."""
        sizes, measured = self.mixture.sizes, self.evaluate.languages
        codes = [from_code(written) or written for written in sizes]
        _refuse_twice(codes, list(sizes), "mixture.sizes")
        changes: dict[str, dict[str, Any]] = {
            "translate": {"to": _canonical(self.translate.to, "translate.to")},
            "questions": {"language": canonical(self.questions.language, "questions.language")},
            "mixture": {
                "unrelated": self.mixture.unrelated.model_copy(
                    update={"language": canonical(self.mixture.unrelated.language, "mixture.unrelated.language")}
                ),
                "pivot": canonical(self.mixture.pivot, "mixture.pivot"),
                "sizes": frozen(dict(zip(codes, sizes.values(), strict=True))),
            },
        }
        if not isinstance(measured, str):
            changes["evaluate"] = {"languages": _canonical(measured, "evaluate.languages")}
        if self.analyze.deactivate != "all":
            changes["analyze"] = {"deactivate": _canonical(self.analyze.deactivate, "analyze.deactivate")}
        for name, values in changes.items():
            section = getattr(self, name).model_copy(update=values)
            object.__setattr__(self, name, section)  # the experiment freezes only after its validators

    @property
    def _words(self) -> Treatment:
        """The words for the mixture, with braces for keys of the experiment."""
        if not self.mixture.phases:
            return treatment(self.mixture.recipe)
        phases = [[(p.recipe, p.weight, p.control) for p in phase.parts] for phase in self.mixture.phases]
        return treatment_of(phases)

    @property
    def all_arms(self) -> dict[str, ArmConfig]:
        """The arms by name, the reference first."""
        return self.arms or DEFAULT_ARMS

    def model_of(self, name: str) -> ModelConfig:
        """Return the model of an arm, and how it is loaded.

        Raises:
            SpilloverError: its keys do not fit each other.
        """
        model = self.model.model_copy(update=self.all_arms[name].loading)
        try:
            return ModelConfig.model_validate(model.model_dump())
        except SpilloverError as error:
            raise SpilloverError(f"arms.{name}: {str(error).removeprefix('model.')}") from error

    @property
    def tunes(self) -> bool:
        """Whether this experiment tunes an arm. If not, it needs no questions."""
        return any(arm.tuned for arm in self.all_arms.values())

    @property
    def epochs_of_phases(self) -> tuple[float, ...]:
        """The epochs of each phase of tuning: its own, or those of `tune`."""
        return tuple(phase.epochs or self.tune.epochs for phase in self.mixture.all_phases)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The names of the arms of each comparison, reference and arm; the primary comparison first."""
        return pairs_to_compare(self.all_arms, self.primary, self.compare)

    @property
    def pivot(self) -> str:
        """The language that tuning teaches to write, or that items are translated into; empty if no arm needs one."""
        translates = any(arm.ask != "item" for arm in self.all_arms.values())
        return self.mixture.pivot if self.tunes or translates else ""

    @property
    def mixture_name(self) -> str:
        """The mixture as the paper writes it, `zh/de=>en`; the arms compared, if nothing is tuned."""
        if not self.tunes:
            return "{1} − {0}".format(*self.pairs[0])
        return self._described(self._words.name)

    @property
    def treatment(self) -> str:
        """The effect of the recipe, in words that follow `tuned on zh/de=>en:`."""
        return self._described(self._words.sentence)

    @property
    def teaches(self) -> bool:
        """Whether the mixture has pairs that tuning is to learn from."""
        return self._words.teaches

    @property
    def is_control(self) -> bool:
        """Whether these pairs are not meant to teach a translation."""
        return self._words.control

    @property
    def tuned_on(self) -> tuple[str, ...]:
        """The languages that tuning sees beside the pivot."""
        return self.translate.to if self.tunes and "{to}" in self._words.name else ()

    @property
    def setup(self) -> Setup:
        """The report's account of the experiment."""
        return Setup(
            model=self.model.name,
            mixture=self.mixture_name if self.tunes else "",
            question_task=self.questions.task,
            labels=self.evaluate.labels,
            treatment=self.treatment if self.tunes else "",
            tuned_on=self.tuned_on,
            arms=tuple(f"{name}: {arm.described(self.model.name)}" for name, arm in self.arms.items()),
        )

    def _described(self, template: str) -> str:
        mixture = self.mixture
        with self.registered():
            original = self.questions.language
            *names, target, original_name = (
                get_language(c).name for c in (*self.translate.to, mixture.pivot, original)
            )
        return template.format(
            to="/".join(self.translate.to),
            pivot=mixture.pivot,
            sources=" and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part),
            target=target,
            original=original,
            original_name=original_name,
            recipe=mixture.recipe,
            frame=mixture.frame,
            task=self.questions.task,
            unrelated=mixture.unrelated.task,
        )


def _canonical(written: tuple[str, ...], key: str) -> tuple[str, ...]:
    codes = tuple(canonical(code, key) for code in written)
    _refuse_twice(codes, written, key)
    return codes


def _refuse_twice(codes: Sequence[str], written: Sequence[str], key: str) -> None:
    if len(set(codes)) < len(codes):
        raise SpilloverError(f"{key}: found a language twice in {list(written)}, expected each once")
