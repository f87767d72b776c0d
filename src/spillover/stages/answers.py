"""Answers in words: the answers that an arm writes for a cell's items, and the outcome of each item."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spillover.languages import ENGLISH
from spillover.records import Answer, Cell, Completion, Item, ItemAnswers, Outcome, Prompt
from spillover.stages.arms import Arm, as_text, of_prompts
from spillover.stages.ask import asked_items
from spillover.stages.evaluate import tell_dropped
from spillover.stages.items import Items, answered_in_words, clusters
from spillover.store import Store, read_records, write_records
from spillover.tasks import GenerationTask, open_written_task
from spillover.utils.progress import Bar


def write_answers(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item], progress: Bar) -> list[Answer]:
    """Return the answers that an arm writes for a cell's items. Missing answers are written first.

    The right answers are no part of the key. After a correction the answers are graded again, but not written again.
    """
    task, overflow = open_written_task(cell.task), arm.experiment.evaluate.overflow
    items_read = asked_items(store, arm, cell, rows)
    language = items_read[0].language if items_read else cell.language
    prompts, stop, limit = arm.prompts(task, items_read), task.stops(language), task.limit(language)
    name = f"{cell.language}.parquet"

    def write(folder: Path) -> None:
        completions, dropped = complete(arm, task, items_read, prompts, progress.advance)
        if dropped:
            tell_dropped(store, cell, dropped)
        write_records(folder / name, Completion, completions)

    ids = [item.id for item in rows]
    inputs = [arm.key, prompts, ids, stop, limit, overflow, *as_text(arm.experiment, of_prompts(prompts))]
    with progress.counting(len(rows)):
        artifact = store.get_or_make("answers", inputs, f"answers/{cell.arm}/{task.name}/{name}", write)
    return answers_to(rows, read_records(artifact.path / name, Completion))


def complete(
    arm: Arm,
    task: GenerationTask,
    items: Sequence[Item],
    prompts: Sequence[Prompt],
    advance: Callable[[int], None] = lambda prompts: None,
) -> tuple[list[Completion], int]:
    """Let an arm write after the prompts of items of one language.

    Returns:
        What it wrote for each item, and how many exemplars did not fit the model's context.
    """
    from spillover.models.scoring.generate import generate

    language, overflow = items[0].language, arm.experiment.evaluate.overflow
    texts = generate(arm.reader, prompts, task.limit(language), task.stops(language), overflow, advance)
    written = [Completion(item.id, text.text, text.tokens, text.ended) for item, text in zip(items, texts, strict=True)]
    return written, sum(text.dropped for text in texts)


def answers_to(items: Sequence[Item], completions: Sequence[Completion]) -> list[Answer]:
    """Return the written answer of each item beside its right answers."""
    return [
        Answer(item.id, item.task, item.language, item.answers, row.text, row.tokens, row.ended)
        for item, row in zip(items, completions, strict=True)
    ]


def grade_answers(
    store: Store, answers: Mapping[Cell, Sequence[Answer]], asked_in: Mapping[str, str]
) -> dict[Cell, list[Outcome]]:
    """Return the outcome of each item, and store it: finished runs are compared by their outcomes.

    asked_in: arm → the language that it asks all items in; the others ask each item in its own.
    """
    codes = {cell.language for cell in answers} | {ENGLISH, *asked_in.values()}
    outcomes = {}
    for cell, written in answers.items():
        read = [replace(answer, language=asked_in.get(cell.arm, cell.language)) for answer in written]
        graded = open_written_task(cell.task).grade(read, codes)
        outcomes[cell] = [replace(outcome, language=cell.language) for outcome in graded]
    for cell, rows in outcomes.items():
        name = f"{cell.language}.parquet"

        def write(folder: Path, name: str = name, rows: Sequence[Outcome] = rows) -> None:
            write_records(folder / name, Outcome, rows)

        place = f"outcomes/{cell.arm}/{open_written_task(cell.task).name}/{name}"
        store.get_or_make("outcomes", rows, place, write)
    return outcomes


def item_answers(
    items: Items, answers: Mapping[Cell, Sequence[Answer]], outcomes: Mapping[Cell, Sequence[Outcome]]
) -> Iterator[ItemAnswers]:
    """Yield the items of each task and language with every arm's answers and their outcomes."""
    arms, cluster_of = tuple(dict.fromkeys(cell.arm for cell in answers)), clusters(items)
    for (name, code), rows in answered_in_words(items).items():
        task, cells = open_written_task(name).name, [Cell(arm, name, code) for arm in arms]
        yield ItemAnswers(
            task=task,
            language=code,
            ids=tuple(item.id for item in rows),
            texts=tuple(item.fields for item in rows),
            golds=tuple(item.answers for item in rows),
            arms=arms,
            answers=tuple(tuple(row.text for row in answers[cell]) for cell in cells),
            scores=tuple(tuple(row.score for row in outcomes[cell]) for cell in cells),
            reasons=tuple(tuple(row.reason for row in outcomes[cell]) for cell in cells),
            clusters=tuple(cluster_of[task].get(item.id, "") for item in rows),
        )
