"""The examination: reads all that an experiment would read and runs every check on it.

The caller hands in how the model reads prompts. An unknown name or a folder that is not there raises, as it would in a
run: the user corrects that first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType

from spillover.errors import SpilloverError, UnreachableError
from spillover.experiment import Experiment
from spillover.languages import ENGLISH
from spillover.lint import answers, characters, labels, pairs, prompts, special_tokens, texts, tokens
from spillover.lint.formats import errors_first, from_error
from spillover.lint.reading import Fault, RawItems, read, summarized
from spillover.lint.tokens import Reads
from spillover.plugins import TRANSLATION_ENGINES, TRANSLATORS, resolve
from spillover.records import Defect, Item, Prompt, Question
from spillover.sources.remarks import Remarks, gathering
from spillover.stages.inputs import Inputs
from spillover.tasks import ChoiceTask, GenerationTask, Task, has_labels
from spillover.tasks.task import CLOSING
from spillover.translate.parallel import Parallel


def examine(inputs: Inputs, reads: Reads, earlier: Remarks = MappingProxyType({})) -> list[Defect]:
    """Return all faults of an experiment's data, errors first.

    Args:
        inputs: the questions and items.
        reads: how the model reads prompts.
        earlier: the remarks on files that were read before.
    """
    questions: dict[str, list[Question]] = {}
    with gathering() as remarks:
        defects = [*tokens.wrapped(reads, inputs.experiment.analyze.texts)]
        defects += _questions(inputs, questions) if inputs.experiment.tunes else ()
        for task in inputs.tasks.values():
            defects += _task(inputs, task, questions if task.name == inputs.task.name else {}, reads)
    read = (from_error(SpilloverError(remark), "file") for remark in {**earlier, **remarks}.values())
    defects += (replace(remark, severity="note") for remark in read)
    return errors_first(list(dict.fromkeys(defects)))  # an unreachable hub is met twice: for questions and for items


def read_questions(inputs: Inputs) -> tuple[dict[str, list[Question]], list[Fault]]:
    """Return the questions in each language that the source itself has them in, and what cannot be read.

    The first language is the one that they are asked in.
    """
    experiment = inputs.experiment
    _ = inputs.task, inputs.question_source  # an unknown name is refused as in a run, not listed as a defect
    original = experiment.questions.language
    try:
        questions = {original: inputs.questions}
    except SpilloverError as error:
        defect = from_error(error, "file", "" if isinstance(error, UnreachableError) else original)
        return {}, [Fault((defect.message,), defect)]
    if resolve(TRANSLATORS | TRANSLATION_ENGINES, experiment.translate.translator, "translate.with") is not Parallel:
        return questions, []
    parallel, faults = Parallel(inputs.questions_in), []
    for code in dict.fromkeys((experiment.mixture.pivot, *experiment.translate.to)):
        if code != original:
            try:
                questions[code] = parallel.translate(questions[original], code)
            except SpilloverError as error:
                defect = from_error(error, "file", code)
                faults.append(Fault((defect.message,), defect))
    return questions, faults


def _questions(inputs: Inputs, questions: dict[str, list[Question]]) -> Iterator[Defect]:
    """Yield what is wrong with the questions, which are added to `questions`."""
    by_language, faults = read_questions(inputs)
    questions |= by_language
    original, *others = by_language.items() or [("", [])]
    for _, translated in others:
        yield from pairs.unpaired(translated, original[1])
    yield from summarized(faults)


def _task(inputs: Inputs, task: Task, questions: dict[str, list[Question]], reads: Reads) -> Iterator[Defect]:
    """Yield what is wrong with a task's items and prompts."""
    experiment = inputs.experiment
    try:
        languages = inputs.item_languages(task)
    except SpilloverError as error:
        yield from_error(error, "file")
        return
    readings: dict[str, RawItems] = {}
    for code in languages:
        readings[code] = read(inputs, task, code)
        if readings[code].unreachable:
            yield from (replace(fault.first, language="") for fault in readings[code].faults)
            return
    yield from summarized(fault for reading in readings.values() for fault in reading.faults)
    usable = {code: readings[code] for code in sorted(languages, key=lambda code: code != ENGLISH)}
    unpaired = inputs.why_unpaired(task)
    if unpaired:
        yield Defect(
            "warning",
            "unpaired",
            f"task {task.name!r}: the items of different languages are no translations of each other: {unpaired}; each "
            "language counts by itself, and means over languages treat the items as independent",
        )
    yield from _items([reading for reading in usable.values() if reading.entries], task, questions, not unpaired)
    yield from _prompts(experiment, task, [code for code in languages if code in task.rows], reads)
    rendered = [reading for reading in readings.values() if not task.rows or reading.language in task.rows]
    scored = {
        reading.language: {
            item.id: task.prompt(item, experiment.evaluate.labels) for item in _blind_items(task, reading)
        }
        for reading in rendered
    }
    yield from _special_tokens(task, scored, reads)
    for reading in rendered:
        yield from _lengths(experiment, task, reading, scored[reading.language], reads)


def _items(
    readings: Sequence[RawItems], task: Task, questions: dict[str, list[Question]], paired: bool
) -> Iterator[Defect]:
    """Yield what is wrong with items; where they are paired, the other languages are compared with the first."""
    right = labels.agreed({reading.language: reading for reading in readings})
    if isinstance(task, ChoiceTask):
        yield from labels.imbalance(right, task)
    else:
        yield from answers.differing_values(readings, task)
    yield from texts.published_exemplars(readings)
    yield from characters.one_language_alone(readings)
    for reading in readings:
        if isinstance(task, ChoiceTask):
            yield from labels.unknown_words(reading, right, task)
            yield from labels.disagreements(reading, right, task)
        else:
            yield from answers.refused(reading, task)
        if paired:
            yield from labels.differing_ids(reading, readings[0], task)
            yield from pairs.misaligned(reading, readings[0])
        yield from texts.exemplars(reading, task)
        yield from texts.tuned_on(reading, questions.get(reading.language, ()))
        yield from texts.collapse(reading, readings[0], right)
        yield from texts.another_language(reading)


def _blind_items(task: Task, reading: RawItems) -> list[Item]:
    """Return the items of a language to render; no prompt depends on the gold, which may be unreadable."""
    return [Item(task.name, entry.id, reading.language, entry.fields, 0) for entry in reading.entries]


def _special_tokens(task: Task, scored: dict[str, dict[str, Prompt]], reads: Reads) -> Iterator[Defect]:
    """Yield what is wrong where prompts begin and end; `scored`: language → id → prompt."""
    prompts = {code: list(by_id.values()) for code, by_id in scored.items() if by_id}
    if reads.special and prompts:
        where = f"task {task.name!r}"
        try:
            yield from special_tokens.beginnings(reads.special, prompts, where)
            yield from special_tokens.laid_twice(reads.special, prompts, where)
            yield from special_tokens.endings(reads.special, prompts, where)
        except SpilloverError:  # the item that cannot be rendered is named with the lengths
            return


def _lengths(
    experiment: Experiment, task: Task, reading: RawItems, scored: dict[str, Prompt], reads: Reads
) -> Iterator[Defect]:
    """Yield which items do not fit the model's context, as they are scored and traced; and choices that items bring.

    Args:
        experiment: the experiment.
        task: the task.
        reading: its items in one language.
        scored: id of an item → the prompt that is scored.
        reads: the model.
    """
    chosen, where = experiment.evaluate, f"task {task.name!r}"
    if isinstance(task, ChoiceTask) and not has_labels(task):
        yield from tokens.own_choices(reads, scored, chosen.scoring, where, reading.language)
    kinds = ["native"] if has_labels(task) and experiment.analyze.limit and chosen.labels != "native" else []
    keep = chosen.overflow == "error"
    made = {
        item.id: [_cut(prompt, keep) for prompt in (scored[item.id], *(task.prompt(item, kind) for kind in kinds))]
        for item in _blind_items(task, reading)
    }
    yield from tokens.too_long(reads, made, where, reading.language)
    if isinstance(task, GenerationTask):
        yield from _limits(task, reading, reads)


def _limits(task: GenerationTask, reading: RawItems, reads: Reads) -> Iterator[Defect]:
    """Yield a limit of tokens that is too small for the answers."""
    items = {
        entry.id: task.prompt(Item(task.name, entry.id, reading.language, entry.fields, 0)) for entry in reading.entries
    }
    golds = {entry.id: tuple(f" {answer}" for answer in entry.answers) for entry in reading.entries if entry.answers}
    lengths = tokens.answer_lengths(
        reads, [replace(items[id], exemplars=(), answers=(), choices=golds[id]) for id in golds]
    )
    row = task.rows.get(reading.language)
    shown = [
        Prompt((), task.render_body(tuple(fields), reading.language), (f" {answer}",))
        for *fields, answer in (row.exemplars if row else ())
    ]
    yield from answers.limits(
        reading, task, dict(zip(golds, lengths, strict=True)), tokens.answer_lengths(reads, shown)
    )


def _cut(prompt: Prompt, keep: bool) -> Prompt:
    """Return a prompt without the exemplars that it may lose, and with the shortest answer if it has no choices."""
    whole = prompt if keep else replace(prompt, exemplars=(), answers=())
    return replace(whole, choices=prompt.choices or (CLOSING,))


def _prompts(experiment: Experiment, task: Task, languages: Sequence[str], reads: Reads) -> Iterator[Defect]:
    """Yield what is wrong with how items are asked."""
    chosen = experiment.evaluate
    yield from prompts.white_space(task, languages)
    if not isinstance(task, ChoiceTask):
        yield from answers.exemplars(task, languages)
        return
    yield from tokens.same_tokens(task, languages, chosen.labels, chosen.scoring, reads)
    if chosen.scoring == "first-token":
        consequence = "`first-token` scoring cannot tell them apart"
        yield from tokens.same_beginnings(task, languages, chosen.labels, reads, consequence)
    if experiment.analyze.limit:
        for kind in ("english", "native"):
            consequence = "the lenses cannot tell them apart there"
            yield from tokens.same_beginnings(task, languages, kind, reads, consequence)
