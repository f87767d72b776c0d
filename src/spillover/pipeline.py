"""THE CENTER: one run, and the seven stages, each in terms of the ones before.

    questions → translate → build → tune → evaluate → analyze → report

A `Run` works out each part once, on first use. Files of a part are keyed by the content that they were made from, so
nothing is made twice and nothing stale is read.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, wraps
from operator import attrgetter
from typing import TypeVar

from spillover.analysis.statistics.dose import dose
from spillover.analysis.statistics.fertility import correlations
from spillover.analysis.statistics.forgetting import forgetting
from spillover.analysis.statistics.next_steps import next_steps
from spillover.analysis.statistics.treatment import check_treatment
from spillover.errors import FollowerDone, SpilloverError
from spillover.experiment import Experiment, dump_experiment
from spillover.lint import open_reads, stored_defects
from spillover.models.identity import identify
from spillover.models.tuning.checkpoints import learned_share
from spillover.models.tuning.history import no_history, read_history
from spillover.records import (
    EXPERIMENT_FILE,
    PRECISION_FILE,
    PROVENANCE_FILE,
    Answer,
    Cell,
    Comparison,
    Data,
    Defect,
    Example,
    Findings,
    Internals,
    Outcome,
    Pair,
    Prediction,
    ProbeCell,
    Provenance,
    Question,
    Result,
    TextNLL,
    TranslationCost,
    Tuning,
)
from spillover.runs.readme import README, readme
from spillover.stages.analyze import analyze_arm, analyze_arms, count_passes, items_to_trace, lens_training_prompts
from spillover.stages.answers import grade_answers, item_answers, write_answers
from spillover.stages.arms import Arm, auto_dtype, num_parameters, open_arm, pairs_of_plain_arms, reference_arm
from spillover.stages.build import QuestionSource, TrainingSet, build_training_set
from spillover.stages.engines import require_engine
from spillover.stages.evaluate import by_arm, item_scores, measure_cells, predict, text_likelihoods
from spillover.stages.fertility import measure_fertility
from spillover.stages.fetch import fetch
from spillover.stages.first_prompts import first_prompts
from spillover.stages.geometry import compare_languages
from spillover.stages.inputs import Inputs
from spillover.stages.items import Items, answered_in_words, subsets, with_choices
from spillover.stages.licenses import licenses
from spillover.stages.report import compare_arms, data_quality, write_report
from spillover.stages.translate import (
    TranslatedQuestions,
    open_question_translator,
    translate_questions,
    translation_costs,
    unflagged_pairs,
)
from spillover.stages.tune import probe_cells, tune_adapter
from spillover.store import Artifact, MissingArtifactError, Store, write_records
from spillover.translate import Translator
from spillover.utils.environment import provenance
from spillover.utils.hub import Revisions, lock_path, lock_text, revisions
from spillover.utils.progress import bar

Value = TypeVar("Value")


class part(cached_property[Value]):  # noqa: N801 - used like `cached_property`
    """A part of a run: worked out on first use, with the experiment's own languages registered, then cached."""

    def __init__(self, work: Callable[..., Value]) -> None:
        """Wrap the function that works out the part."""

        @wraps(work)
        def scoped(run: "Run") -> Value:
            with run.experiment.registered():
                return work(run)

        super().__init__(scoped)


class Run:
    """One experiment in its run folder."""

    def __init__(self, experiment: Experiment, store: Store) -> None:
        """Nothing is read or made yet."""
        self.experiment = experiment
        self.store = store
        self.inputs = Inputs(experiment)

    @part
    def defects(self) -> list[Defect]:
        """All defects of the experiment's data. The model's weights are not read."""
        return stored_defects(self.store, self.inputs, open_reads)

    @part
    def questions(self) -> list[Question]:
        """The user's questions in the language they are asked in, without answers."""
        self._write_records("questions", Question, self.inputs.questions)
        return self.inputs.questions

    @part
    def translated(self) -> TranslatedQuestions:
        """The questions translated into the languages to tune on, paired with the pivot and checked."""
        questions = self.questions
        return translate_questions(self.store, self.experiment, questions, self._translator)

    @property
    def pairs(self) -> dict[str, list[Pair]]:
        """The pairs per language to tune on: checked and flagged, none dropped yet."""
        return self.translated.pairs

    @part
    def training_set(self) -> TrainingSet:
        """The examples of the mixture's recipe and frame, and those of their questions that the evaluation asks too."""
        unrelated = self.experiment.model_copy(update={"questions": self.experiment.mixture.unrelated})
        other = Run(unrelated, self.store.subfolder("unrelated"))
        return build_training_set(self.inputs, self._question_source, other._question_source)

    @part
    def examples(self) -> Artifact:
        """The stored training examples; refused if the evaluation asks their questions too."""
        training = self.training_set
        if training.overlaps:
            self.store.log("overlap", questions=[overlap.id for overlap in training.overlaps])
        if training.overlap and not self.experiment.mixture.allow_overlap:
            remedy = "take them out, or set mixture.allow_overlap = true, which marks the report"
            raise SpilloverError(f"mixture: {training.overlap}; {remedy}")
        return self._write_records("examples", Example, training.examples)

    @part
    def adapter(self) -> Artifact:
        """The adapter tuned on the examples.

        Raises:
            SpilloverError: this experiment tunes no arm.
            FollowerDone: this process is not the main one of its launch, and its share of the tuning is done.
        """
        if not self.experiment.tunes:
            raise SpilloverError("arms: found none with adapter = 'tune', so this experiment tunes nothing")
        examples = self.examples
        self.describe()  # the folder of a killed tuning says what it is
        adapter = tune_adapter(self.store, self.experiment, self.training_set, examples, self._probe_cells)
        if not self.store.is_main_process:
            raise FollowerDone
        return adapter

    def describe(self) -> None:
        """Write the experiment, its lock, a README and the meaning of `auto` into the run folder."""
        self.store.save(EXPERIMENT_FILE, dump_experiment(self.experiment))
        self.store.save(README, readme(self.store.run, self.experiment))
        lock = lock_path(self.store.run / EXPERIMENT_FILE)
        if revisions() or lock.exists():
            self.store.save(lock.name, lock_text(revisions()))
        if dtype := auto_dtype(self.experiment):
            self.store.save(PRECISION_FILE, dtype)
        self.store.push()

    def existing_adapter(self) -> Artifact | None:
        """Return the adapter if it exists; None otherwise. Nothing is tuned."""
        try:
            return self._stored_adapter()
        except MissingArtifactError:
            return None

    def tuned_share(self) -> float:
        """Return the share of the tuning that is done: 1 with an adapter, less with checkpoints of a killed attempt."""
        try:
            self._stored_adapter()
        except MissingArtifactError as missing:
            return learned_share(missing.partial, len(self.experiment.mixture.all_phases))
        return 1.0

    def _stored_adapter(self) -> Artifact:
        store, examples = self.store.read_only(), self.examples
        return tune_adapter(store, self.experiment, self.training_set, examples, self._probe_cells)

    @part
    def arms(self) -> tuple[Arm, ...]:
        """The arms, the reference first. One of them is in memory at a time."""
        experiment = self.experiment
        if any(arm.ask == "translate-test" for arm in experiment.all_arms.values()):
            _ = self._translator
        # a model or adapter that is not there is refused before an hour of tuning, not after it
        names = sorted(experiment.all_arms, key=lambda name: experiment.all_arms[name].tuned)
        arms = {name: open_arm(experiment, name, lambda: self.adapter, lambda: self._translator) for name in names}
        return tuple(arms[name] for name in experiment.all_arms)

    @part
    def traced_arms(self) -> tuple[Arm, ...]:
        """The arms to look inside: those of the reference's model that read items as they are."""
        model = self.experiment.model.name
        return tuple(arm for arm in self.arms if arm.plain and arm.experiment.model.name == model)

    @property
    def items(self) -> Items:
        """The items measured, per task and language: the same ids in every language of a task."""
        return self.inputs.items

    @part
    def traced_items(self) -> Items:
        """The items to trace, per task and language; refused if a lens or metric does not work for them."""
        return items_to_trace(self.experiment, self.items)

    @part
    def likelihood_items(self) -> Items:
        """The items whose texts measure forgetting, per task and language."""
        return subsets(self.items, self.experiment.analyze.texts)

    @part
    def predictions(self) -> dict[Cell, list[Prediction]]:
        """The score of every choice of every item, per cell: the cells of one arm after those of another."""
        require_engine(self.experiment)
        return measure_cells(self.store, "evaluate (items)", self.arms, with_choices(self.items), predict)

    @part
    def answers(self) -> dict[Cell, list[Answer]]:
        """What the arms write for the items that are answered in words, per cell."""
        return measure_cells(self.store, "evaluate (answers)", self.arms, answered_in_words(self.items), write_answers)

    @part
    def outcomes(self) -> dict[Cell, list[Outcome]]:
        """What became of each item that is answered in words, per cell."""
        pivot = self.experiment.mixture.pivot
        return grade_answers(self.store, self.answers, {arm.name: pivot for arm in self.arms if arm.ask != "item"})

    @property
    def results(self) -> dict[Cell, Sequence[Result]]:
        """Predictions and outcomes: all that the statistics read, per cell."""
        return {**self.predictions, **self.outcomes}

    @part
    def text_likelihoods(self) -> dict[Cell, list[TextNLL]]:
        """The likelihood of the items' own texts, per cell."""
        arms = [arm for arm in self.arms if arm.plain]
        return measure_cells(self.store, "forget (texts)", arms, self.likelihood_items, text_likelihoods)

    @part
    def internals(self) -> Internals:
        """Lenses, neurons, patches and the languages' geometry, for the first items of each cell."""
        items, arms = self.traced_items, self.traced_arms
        others = lens_training_prompts(self.items, items)
        with bar("analyze (items)", len(arms) * count_passes(self.experiment, items)) as progress:
            internals = analyze_arms(self.store, arms, items, others, progress)
        metrics = self.experiment.analyze.metrics if arms else ()
        names = [arm.name for arm in arms]
        pivot, tuned_on = self.experiment.mixture.pivot, self.experiment.tuned_on
        whole, folded = compare_languages(self.store, names, items, metrics, pivot, tuned_on)
        return replace(internals, geometry=whole, folded_geometry=folded)

    @part
    def comparisons(self) -> tuple[Comparison, ...]:
        """The gains of each pair of arms, the primary comparison first."""
        return compare_arms(self.experiment, self.arms, self.items, self.results)

    @part
    def tuning(self) -> Tuning:
        """The course of the tuning; empty where nothing is tuned."""
        return read_history(self.adapter.path) if self.experiment.tunes else no_history()

    @part
    def data(self) -> Data:
        """The quality of the data: defects, leakage, the pairs' flags, machine-translated test sets."""
        training = self.training_set if self.experiment.tunes else None
        translated = self.translated if training and training.paired else None  # unused pairs are not translated
        return data_quality(self.experiment, self.defects, self.items, training, translated)

    @part
    def findings(self) -> Findings:
        """All results. The report is written from them: tables, figures and one page."""
        _ = self.traced_items, self.defects  # refused before an hour of tuning, not after it
        _ = self.results, self.internals
        experiment, tuning = self.experiment, self.tuning
        fertility = measure_fertility(self.store, experiment, self.items)
        findings = Findings(
            name=self.store.run.name,
            setup=experiment.setup,
            comparisons=self.comparisons,
            item_scores=tuple(item_scores(self.items, self.predictions)),
            first_prompts=tuple(first_prompts(self.store, self.arms, self.items)),
            licenses=licenses(experiment),
            item_answers=tuple(item_answers(self.items, self.answers, self.outcomes)),
            internals=self.internals,
            tuning=tuning,
            treatment=check_treatment(tuning, experiment.teaches, experiment.is_control) if experiment.tunes else None,
            dose=dose(tuning.probes),
            forgetting=forgetting(
                by_arm(self.arms, self.text_likelihoods), pairs_of_plain_arms(self.arms, experiment.pairs)
            ),
            data=self.data,
            costs=self.store.costs(),
            translation_costs=tuple(self.translation_costs()),
            fertility=tuple(fertility),
            fertility_correlations=tuple(correlations(fertility, self.comparisons[0].gains)),
            provenance=self._provenance(),
        )
        findings = replace(findings, next_steps=next_steps(findings, experiment.is_control))
        write_report(self.store, self.items, findings)
        return findings

    def complete(self) -> Findings:
        """Run all seven stages, unless the data have errors."""
        errors = [defect for defect in self.defects if defect.severity == "error"]
        if errors:
            raise SpilloverError(f"{errors[0]} (the first of {len(errors)} errors; `spillover lint` tells all)")
        for defect in self.defects:
            self.store.log("lint", message=str(defect))
        self.describe()
        findings = self.findings
        self.store.save(PROVENANCE_FILE, json.dumps(dict(findings.provenance.facts), indent=1))
        return findings

    def measure_base(self) -> None:
        """Measure the base model alone. Experiments that differ in their tuning share these results."""
        arm, traced = reference_arm(self.experiment), self.traced_items
        measure_cells(self.store, "base (items)", (arm,), with_choices(self.items), predict)
        measure_cells(self.store, "base (answers)", (arm,), answered_in_words(self.items), write_answers)
        measure_cells(self.store, "base (texts)", (arm,), self.likelihood_items, text_likelihoods)
        with bar("base (items traced)", count_passes(self.experiment, traced)) as progress:
            if traced and arm.plain:
                analyze_arm(self.store, arm, traced, lens_training_prompts(self.items, traced), progress)

    def fetch(self) -> Revisions:
        """Download all that the run needs; return the revisions of what the hub has."""
        return fetch(self.experiment, self.inputs, lambda: self._translator)

    def translation_costs(self) -> Iterator[TranslationCost]:
        """Return per language the characters that `translate` would send, and those that it sent. Nothing is sent."""
        if not self.experiment.tunes:
            return iter(())
        codes = dict.fromkeys((self.experiment.mixture.pivot, *self.experiment.translate.to))
        translated = [code for code in codes if code != self.experiment.questions.language]
        return translation_costs(self.store, self._translator, self.questions, translated)

    @part
    def _translator(self) -> Translator:
        return open_question_translator(self.store, self.inputs)

    @part
    def _probe_cells(self) -> tuple[ProbeCell, ...]:
        """The items that probes ask during tuning. Without probes there are none, and no item is read."""
        return probe_cells(self.experiment, self.items) if self.experiment.tune.probe_every else ()

    @property
    def _question_source(self) -> QuestionSource:
        return QuestionSource(
            self.experiment.questions,
            lambda: self.questions,
            lambda: unflagged_pairs(self.pairs, self.experiment.translate.drop),
        )

    def _write_records(self, kind: str, record: type, rows: Sequence[object]) -> Artifact:
        name = f"{kind}.parquet"
        return self.store.get_or_make(kind, rows, name, lambda folder: write_records(folder / name, record, rows))

    def _provenance(self) -> Provenance:
        adapter = self.adapter.key if self.experiment.tunes else ""
        return provenance(
            dump_experiment(self.experiment),
            parameters=num_parameters(self.experiment),
            precision=identify(self.experiment.model).dtype,
            adapter=adapter,
        )


STAGES: dict[str, Callable[[Run], object]] = {
    "questions": attrgetter("questions"),
    "translate": attrgetter("pairs"),
    "build": attrgetter("examples"),
    "tune": attrgetter("adapter"),
    "evaluate": attrgetter("results"),
    "analyze": attrgetter("internals"),
    "report": attrgetter("findings"),
}
"""Name of a stage → the part of a run that it makes, with all parts before it; in the order of the pipeline."""
