"""THE CENTER: the seven stages, each in terms of the one before.

    questions → translate → build → tune → evaluate → analyze → report

A stage asks for what it needs by calling the stage before, which returns at once where its result already exists.
Every stage is keyed by the content it works on, so nothing is ever made twice and nothing stale is ever read.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, dump_experiment
from spillover.lint import examine, open_reads
from spillover.models.tokenization import CUT
from spillover.models.tuning.history import read_history
from spillover.records import (
    Cell,
    Data,
    Defect,
    Example,
    Findings,
    Internals,
    Item,
    Pair,
    Prediction,
    Question,
    TextNLL,
    TranslationCost,
)
from spillover.runs.read import CLUSTERS
from spillover.sources import Source, open_source
from spillover.stages.analyze import analyze_arm, compare_arms, count_passes, items_to_trace, lens_training_prompts
from spillover.stages.arms import Arm, cells_of, model_key, num_parameters
from spillover.stages.build import ASKED, QuestionSource, TrainingSet, build_training_set
from spillover.stages.engines import require_engine
from spillover.stages.evaluate import item_scores, predict, text_likelihoods
from spillover.stages.geometry import compare_languages
from spillover.stages.items import (
    as_text,
    balanced_subset,
    clusters,
    evaluation_items,
    likelihood_items,
    machine_translated,
    reads,
    shortened,
)
from spillover.store import Artifact, Store, read_records, write_records
from spillover.tasks import Task, open_task
from spillover.translate import (
    REVISION,
    Translator,
    available_checks,
    check,
    count_flags,
    open_translator,
    pairs,
    without_flags,
)
from spillover.utils.environment import provenance
from spillover.utils.progress import Bar, bar

Measured = TypeVar("Measured", Prediction, TextNLL)


def questions(experiment: Experiment, store: Store) -> Artifact:
    """Read the user's questions. Whatever answers the source has stay there."""
    source, task = _asked(experiment)
    found = list(islice(source.questions(task, ASKED), experiment.questions.limit or None))
    name = "questions.parquet"
    return store.make("questions", found, name, lambda folder: write_records(folder / name, Question, found))


def translate(experiment: Experiment, store: Store) -> list[Artifact]:
    """Pair each question with itself in the languages to tune on and check the pairs, one stage a language."""
    asked, translator = _translation(experiment, store)

    def questions_in(language: str) -> list[Question]:
        return asked if language == ASKED else translator.translate(asked, language)

    def save(found: list[Pair], code: str) -> Artifact:
        def write(folder: Path) -> None:
            checked = list(check(found))
            store.log("checked", language=code, pairs=len(checked), flags=dict(count_flags(checked, ()).flags))
            write_records(folder / f"{code}.parquet", Pair, checked)

        brought = experiment.languages.items()  # texts are identified among these too
        return store.make("pairs", [found, available_checks(), REVISION, *brought], f"pairs/{code}.parquet", write)

    pivot = questions_in(experiment.mixture.pivot)
    return [save(pairs(questions_in(code), pivot), code) for code in experiment.translate.to]


def build(experiment: Experiment, store: Store) -> Artifact:
    """Turn pairs into training examples, by the mixture's recipe and frame; refuse what the evaluation asks too."""
    mixed, name = _mixed(experiment, store), "examples.parquet"
    if mixed.overlaps:
        store.log("overlap", questions=[overlap.id for overlap in mixed.overlaps])
    if mixed.overlap and not experiment.mixture.allow_overlap:
        raise SpilloverError(
            f"mixture: {mixed.overlap}; take them out, or set mixture.allow_overlap = true, which marks the report"
        )
    made = mixed.examples
    return store.make("examples", made, name, lambda folder: write_records(folder / name, Example, made))


def checked_pairs(experiment: Experiment, store: Store) -> list[list[Pair]]:
    """Return the pairs of each language to tune on, with their flags, dropped ones included."""
    files = [file for stage in translate(experiment, store) for file in stage.path.glob("*.parquet")]
    return [read_records(file, Pair) for file in files]


def tune(experiment: Experiment, store: Store) -> Artifact:
    """Tune an adapter on the examples."""
    examples = build(experiment, store)

    def write(folder: Path) -> None:
        from spillover.models.inference.resident import borrow_base_model
        from spillover.models.tuning.tune import LoraSettings, tune

        recipe = LoraSettings(**experiment.tune.model_dump(), seed=experiment.seed)
        with borrow_base_model(**experiment.model.model_dump()) as model:
            tune(model, rows, recipe, folder)

    rows = read_records(examples.path / "examples.parquet", Example)
    recipe = [experiment.tune.model_dump(exclude={"report_to"}), experiment.seed]
    spelled = as_text(experiment, (text for row in rows for text in (row.source, row.target)))
    inputs = [*model_key(experiment), examples.key, *recipe, *shortened(experiment), *spelled]
    adapter = store.make("adapter", inputs, "adapter", write, resumable=True)
    if not store.leads:  # tuning is all that processes launched together share
        sys.exit()
    return adapter


def evaluate(experiment: Experiment, store: Store) -> dict[str, list[Prediction]]:
    """Score every choice of every item, for the base model and for the tuned one; return arm → predictions."""
    require_engine(experiment)
    return _by_arm(experiment, store, "evaluate (items)", evaluation_items(experiment), predict)


def analyze(experiment: Experiment, store: Store) -> Internals:
    """Trace the first items of each cell, and say what lenses, neurons, patches and the languages' geometry show."""
    items, both = items_to_trace(experiment), arms(experiment, store)
    others = lens_training_prompts(experiment, items)
    with bar("analyze (items)", 2 * count_passes(experiment, items)) as progress:
        found = compare_arms([analyze_arm(store, arm, items, others, progress) for arm in both] if items else [])
    return replace(found, geometry=tuple(compare_languages(store, items, experiment.analyze.metrics)))


def forget(experiment: Experiment, store: Store) -> dict[str, list[TextNLL]]:
    """Measure how well each arm predicts the items' own texts; return arm → texts."""
    return _by_arm(experiment, store, "forget (texts)", likelihood_items(experiment), text_likelihoods)


def base(experiment: Experiment, store: Store) -> None:
    """Measure the base model alone: what experiments share that differ in their tuning."""
    arm, traced = Arm("base", experiment, None), items_to_trace(experiment)
    parts = ((evaluation_items(experiment), predict), (likelihood_items(experiment), text_likelihoods))
    work = sum(len(rows) for items, _ in parts for rows in items.values())
    with bar("base (items)", work + count_passes(experiment, traced)) as progress:
        for items, measure in parts:
            for cell, rows in cells_of(arm, items):
                measure(store, arm, cell, rows, progress)
        if traced:
            analyze_arm(store, arm, traced, lens_training_prompts(experiment, traced), progress)


def report(experiment: Experiment, store: Store, defects: Sequence[Defect] | None = None) -> Findings:
    """Compare the arms and write tables, figures and the page; `defects` are what `lint` found, if it was asked."""
    from spillover.analysis.statistics.forgetting import forgetting
    from spillover.analysis.statistics.gains import compare
    from spillover.report import code_digest

    items_to_trace(experiment)  # before an hour of tuning, not after it
    known = lint(experiment) if defects is None else defects
    together = clusters(evaluation_items(experiment))
    predictions, inside, adapter = evaluate(experiment, store), analyze(experiment, store), tune(experiment, store)
    findings = Findings(
        name=store.run.name,
        setup=experiment.setup,
        comparison=compare(predictions["base"], predictions["tuned"], clusters=together, **experiment.rules),
        sheets=tuple(item_scores(evaluation_items(experiment), predictions)),
        inside=inside,
        tuning=read_history(adapter.path),
        forgetting=forgetting(**forget(experiment, store)),
        data=_data(experiment, store, known),
        costs=store.costs(),
        characters=tuple(characters(experiment, store)),
        provenance=provenance(dump_experiment(experiment), parameters=num_parameters(experiment), adapter=adapter.key),
    )
    store.save(CLUSTERS, json.dumps(together, ensure_ascii=False))
    store.replace("report", [findings, code_digest()], lambda: _render(findings))
    return findings


def _render(findings: Findings) -> dict[str, str | bytes]:
    from spillover.report.run import render

    return render(findings)


def lint(experiment: Experiment) -> list[Defect]:
    """Return all that is wrong with the experiment's data; of the model only the tokenizer is read."""
    return examine(experiment, open_reads(experiment))


def run(experiment: Experiment, store: Store) -> Findings:
    """Run all seven stages, unless the data have errors: the last asks for the ones before."""
    found = lint(experiment)
    errors = [defect for defect in found if defect.severity == "error"]
    if errors:
        raise SpilloverError(f"{errors[0]} (the first of {len(errors)} errors; `spillover lint` tells all)")
    for defect in found:
        store.log("lint", message=str(defect))
    store.save("experiment.toml", dump_experiment(experiment))
    findings = report(experiment, store, found)
    store.save("provenance.json", json.dumps(dict(findings.provenance.facts), indent=1))
    return findings


def arms(experiment: Experiment, store: Store) -> Iterator[Arm]:
    """Tune, then yield the base model and the tuned one, so that one of them is in memory at a time."""
    adapters = {"base": None, "tuned": tune(experiment, store)}
    return (Arm(name, experiment, adapter) for name, adapter in adapters.items())


def _by_arm(
    experiment: Experiment,
    store: Store,
    what: str,
    items: dict[tuple[str, str], list[Item]],
    measure: Callable[[Store, Arm, Cell, Sequence[Item], Bar], list[Measured]],
) -> dict[str, list[Measured]]:
    """Measure every cell, one arm after the other; return arm → what was measured."""
    both = arms(experiment, store)
    with bar(what, 2 * sum(map(len, items.values()))) as progress:
        return {
            arm.name: [one for cell, rows in cells_of(arm, items) for one in measure(store, arm, cell, rows, progress)]
            for arm in both
        }


def _data(experiment: Experiment, store: Store, defects: Sequence[Defect]) -> Data:
    """Gather what is wrong with the data: the doctor's word, leakage, the pairs' flags, what a machine translated."""
    mixed = _mixed(experiment, store)
    checked = checked_pairs(experiment, store) if mixed.paired else []  # else they would be translated for nothing
    return Data(
        defects=tuple(defects),
        overlap=mixed.overlap,
        pairs=tuple(count_flags(found, experiment.translate.drop) for found in checked),
        translated=machine_translated(evaluation_items(experiment)),
    )


def _asked(experiment: Experiment) -> tuple[Source, Task]:
    """Open where the questions come from, and their task."""
    asked = experiment.questions
    source = open_source(asked.source, asked.columns, "questions.source", asked.markers, asked.classes)
    return source, open_task(asked.task, "questions.task")


def _mixed(experiment: Experiment, store: Store) -> TrainingSet:
    """Make the examples from the questions and, for an unrelated control, from others kept beside them."""
    other = experiment.model_copy(update={"questions": experiment.mixture.unrelated})
    return build_training_set(experiment, _origin(experiment, store), _origin(other, store.within("unrelated")))


def _origin(experiment: Experiment, store: Store) -> QuestionSource:
    def asked() -> list[Question]:
        return read_records(questions(experiment, store).path / "questions.parquet", Question)

    def paired() -> list[Pair]:
        drop = experiment.translate.drop
        found = [pair for checked in checked_pairs(experiment, store) for pair in without_flags(checked, drop)]
        if not found:
            raise SpilloverError(f"translate.drop: {list(drop)} leaves no pair to tune on")
        return found

    return QuestionSource(experiment.questions, asked, paired)


def _translation(experiment: Experiment, store: Store) -> tuple[list[Question], Translator]:
    """Return what is translated, and what translates it."""
    source, task = _asked(experiment)
    asked = read_records(questions(experiment, store).path / "questions.parquet", Question)
    log = partial(store.log, "translated")
    return asked, open_translator(lambda code: source.questions(task, code), **experiment.translate.engine, log=log)


def characters(experiment: Experiment, store: Store) -> Iterator[TranslationCost]:
    """Yield what `translate` would send to be translated, and what it sent, by language; nothing is sent."""
    asked, translator = _translation(experiment, store)
    log = store.logged("translated")
    for code in dict.fromkeys((experiment.mixture.pivot, *experiment.translate.to)):
        if code != ASKED:
            own = [line for line in log if line["language"] == code]
            sent, seconds = (sum(line[key] for line in own) for key in ("characters", "seconds"))
            yield TranslationCost(code, *translator.characters(asked, code), sent, seconds)


def prompts(experiment: Experiment, limit: int, scores: bool) -> Iterator[dict[str, object]]:
    """Yield exactly what the base model reads, cell by cell; with `scores`, the score of each choice too.

    In a chat also the prompt as its template renders it. Needs items alone, neither pairs nor tuning.
    """
    arm, chosen, model = Arm("base", experiment, None), experiment.evaluate, reads(experiment)
    for cell, rows in cells_of(arm, evaluation_items(experiment)):
        asked = [open_task(cell.task).prompt(item, chosen.labels) for item in balanced_subset(rows, limit)]
        found: list[tuple[float, ...] | None] = [None] * len(asked)
        if scores:
            from spillover.models.scoring.score import score

            found = list(score(arm.reader, asked, chosen.scoring, chosen.overflow).choices)
        for prompt, values in zip(asked, found, strict=True):
            line: dict[str, object] = {"task": cell.task, "language": cell.language}
            line |= {"header": prompt.header, "body": prompt.body}
            if model.chat:
                line["rendered"] = model.wrap(prompt.header + prompt.body).replace(CUT, "")
            yield line | {"choices": prompt.choices} | ({} if values is None else {"scores": values})
