"""Ways of asking: an item in its own language, or translated into the pivot first. Ids, golds and languages stay.

`translate-test` has the engine of `[translate]` translate. `self-translate` has the arm's own model do it, by greedy
decoding after examples of translation (Etxaniz et al. 2024, arXiv 2308.01223).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.languages import get_language
from spillover.records import Cell, Item, Prompt, Question
from spillover.stages.arms import Arm, as_text, of_prompts, reads
from spillover.store import Store, read_records, write_records
from spillover.tasks import GenerationTask, Task, open_task
from spillover.tasks.task import CLOSING
from spillover.translate.engine import EngineTranslator
from spillover.utils.progress import notify

Way = Callable[[Store, Arm, Cell, Sequence[Item]], Sequence[Item]]

STOP = ("\n",)
"""Ends a translation outside a chat: texts of exemplars stand on one line."""

NEUTRAL_GRADERS = ("number", "letter")
"""Graders whose right answers are the same in every language."""

SPARE = 16
"""Tokens that a translation may have beyond twice those of the cell's longest text."""


def asked_items(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item]) -> Sequence[Item]:
    """Return a cell's items as an arm reads them. If the arm reads translations, missing ones are made first.

    Raises:
        SpilloverError: the arm translates items, and the task's items come rendered.
    """
    return WAYS[arm.ask](store, arm, cell, rows)


def _as_they_are(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item]) -> Sequence[Item]:
    return rows


def _translated(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item]) -> Sequence[Item]:
    """Return the items in the pivot, by the engine of `[translate]`."""
    task, pivot = _task(arm, cell), arm.experiment.mixture.pivot
    if cell.language == pivot or arm.translator is None:
        return rows
    translator = arm.translator()
    if not isinstance(translator, EngineTranslator):
        raise SpilloverError(f"arms.{arm.name}.ask: found 'translate-test', expected an engine in translate.with")
    questions = [Question(task.name, item.id, cell.language, item.fields) for item in rows]
    name = f"{cell.language}.parquet"

    def write(folder: Path) -> None:
        write_records(folder / name, Question, translator.translate(questions, pivot))

    link = f"translated-items/{arm.name}/{task.name}/{name}"
    artifact = store.get_or_make("translated-items", [translator.identity, pivot, questions], link, write)
    return _with_texts(rows, read_records(artifact.path / name, Question))


def _self_translated(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item]) -> Sequence[Item]:
    """Return the items in the pivot, by the arm's own model."""
    task, pivot = _task(arm, cell), arm.experiment.mixture.pivot
    if cell.language == pivot:
        return rows
    model = reads(arm.experiment)
    texts = [" ".join(text.split()) for item in rows for text in item.fields]
    prompts = [translation_prompt(task, text, cell.language, pivot) for text in texts]
    most_tokens = 2 * max(map(len, model.tokenization.encode(texts))) + SPARE
    stop = () if model.chat else STOP  # a chat model ends its turn by itself, and may begin it with a blank line
    name = f"{cell.language}.parquet"

    def write(folder: Path) -> None:
        from spillover.models.scoring.generate import generate

        answers = generate(arm.reader, prompts, most_tokens, stop, arm.experiment.evaluate.overflow)
        endless = sum(not answer.ended for answer in answers)
        if endless:
            store.log("translations cut", arm=arm.name, task=task.name, language=cell.language, count=endless)
            notify(f"{cell.task} {cell.language}: {endless} of {len(answers)} own translations did not end")
        lines = iter([first_line(answer.text) for answer in answers])
        translations = [Question(task.name, item.id, pivot, tuple(next(lines) for _ in item.fields)) for item in rows]
        write_records(folder / name, Question, translations)

    spelled = as_text(arm.experiment, of_prompts(prompts))
    ids = [item.id for item in rows]
    inputs = [arm.key, ids, prompts, most_tokens, stop, arm.experiment.evaluate.overflow, *spelled]
    link = f"self-translations/{arm.name}/{task.name}/{name}"
    artifact = store.get_or_make("self-translations", inputs, link, write)
    return _with_texts(rows, read_records(artifact.path / name, Question))


WAYS: dict[str, Way] = {
    "item": _as_they_are,
    "translate-test": _translated,
    "self-translate": _self_translated,
}
"""Name of a way of asking → the items that an arm reads in place of a cell's."""


def translation_prompt(task: Task, text: str, language: str, pivot: str) -> Prompt:
    """Return a prompt to translate a text; its examples are the fields of the task's exemplars, in both languages."""
    source, target = (get_language(code).name for code in (language, pivot))
    count = len(task.fields)
    pairs = [
        pair
        for there, here in zip(task.row(language).exemplars, task.row(pivot).exemplars, strict=True)
        for pair in zip(there[:count], here[:count], strict=True)
    ]
    answers = tuple(f" {here}{CLOSING}" for _, here in pairs)
    exemplars = tuple(
        f"{source}: {there}\n{target}:{answer}" for (there, _), answer in zip(pairs, answers, strict=True)
    )
    return Prompt(exemplars, f"{source}: {text}\n{target}:", (), answers)


def first_line(text: str) -> str:
    """Return the first line of a text that holds more than blanks, without those around it; empty if there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _task(arm: Arm, cell: Cell) -> Task:
    task = open_task(cell.task)
    if not task.rows:
        raise SpilloverError(
            f"arms.{arm.name}.ask: found {arm.ask!r} with task {task.name!r}, whose items come rendered, expected a "
            "task with fields and words of its own"
        )
    if isinstance(task, GenerationTask) and task.grader not in NEUTRAL_GRADERS:
        raise SpilloverError(
            f"arms.{arm.name}.ask: found {arm.ask!r} with task {task.name!r}, whose answers in another language than "
            f"the item's the grader {task.grader!r} cannot compare, expected one of {', '.join(NEUTRAL_GRADERS)}"
        )
    return task


def _with_texts(rows: Sequence[Item], translations: Sequence[Question]) -> list[Item]:
    return [
        replace(item, language=question.language, fields=question.fields)
        for item, question in zip(rows, translations, strict=True)
    ]
