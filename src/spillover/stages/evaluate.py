"""The work of `evaluate`: a cell's predictions, its items' scores for the page, the likelihood of its texts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import scipy

from spillover.records import Answer, Cell, Item, ItemScores, Prediction, Prompt, TextNLL
from spillover.stages.arms import Arm, as_text, cells_of, of_prompts
from spillover.stages.ask import asked_items
from spillover.stages.engines import SCORING_ENGINES
from spillover.stages.items import Items, clusters, with_choices
from spillover.store import Store, read_predictions, read_records, write_predictions, write_records
from spillover.tasks import ChoiceTask, Task, has_labels, open_task
from spillover.utils.progress import Bar, bar, notify

Measured = TypeVar("Measured", Prediction, Answer, TextNLL)
Row = TypeVar("Row")
Measure = Callable[[Store, Arm, Cell, Sequence[Item], Bar], list[Measured]]


def measure_cells(
    store: Store, title: str, arms: Sequence[Arm], items: Items, measure: Measure[Measured]
) -> dict[Cell, list[Measured]]:
    """Measure every cell, one arm after the other, under a progress bar with this title."""
    if not items:
        return {}
    with bar(title, len(arms) * sum(map(len, items.values()))) as progress:
        return {cell: measure(store, arm, cell, rows, progress) for arm in arms for cell, rows in cells_of(arm, items)}


def by_arm(arms: Sequence[Arm], cells: Mapping[Cell, Sequence[Row]]) -> dict[str, list[Row]]:
    """Return the measurements of each arm over all cells, by the arm's name."""
    return {arm.name: [row for cell, rows in cells.items() if cell.arm == arm.name for row in rows] for arm in arms}


def predict(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item], progress: Bar) -> list[Prediction]:
    """Return a cell's predictions, scored first if there are none."""
    chosen, task = arm.experiment.evaluate, open_task(cell.task)
    items_read = asked_items(store, arm, cell, rows)
    prompts = arm.prompts(task, items_read)
    content_free = arm.content_free(task, items_read[0].language if items_read else cell.language)
    name = f"{cell.language}.parquet"

    def write(folder: Path) -> None:
        score = SCORING_ENGINES[chosen.engine](arm)
        scores = score([*prompts, *content_free], chosen.scoring, chosen.overflow, progress.advance)
        if scores.dropped:
            tell_dropped(store, cell, scores.dropped)
        items, prior = len(rows), _content_free_logprobs(scores.choices[len(rows) :])
        per_token = scores.logprobs_per_token[:items]
        predictions = [
            Prediction(item.id, task.name, cell.language, item.gold, values, by_length, prior)
            for item, values, by_length in zip(rows, scores.choices[:items], per_token, strict=True)
        ]
        stored = _with_lengths(predictions, task, items_read, chosen.labels)
        write_predictions(folder / name, stored, _choice_names(task, prompts))

    inputs = [
        arm.key,
        cell.language,
        prompts,
        content_free,
        [(item.id, item.gold) for item in rows],
        chosen.scoring,
        chosen.overflow,
        *([] if chosen.engine == "transformers" else [chosen.engine]),  # keys from before there were engines stay
        *as_text(arm.experiment, of_prompts([*prompts, *content_free])),
    ]
    with progress.counting(len(rows)):
        artifact = store.get_or_make("predictions", inputs, f"predictions/{cell.arm}/{task.name}/{name}", write)
    predictions = read_predictions(artifact.path / name, task.name, cell.language)
    # not the stored lengths: the file may be of another task with the same prompts, or of an earlier version
    return _with_lengths(predictions, task, items_read, chosen.labels)


def _with_lengths(
    predictions: Sequence[Prediction], task: Task, items_read: Sequence[Item], labels: str
) -> list[Prediction]:
    """Return the predictions with the lengths of the choices that were read, in the units that the task asks for."""
    if not (isinstance(task, ChoiceTask) and task.normalize):
        return [replace(prediction, lengths={}) for prediction in predictions]
    return [
        replace(prediction, lengths=task.lengths(read, labels))
        for prediction, read in zip(predictions, items_read, strict=True)
    ]


def _choice_names(task: Task, prompts: Sequence[Prompt]) -> tuple[str, ...]:
    """Return the names of a cell's choices: the task's labels, else their numbers."""
    labels = task.labels if has_labels(task) else ()
    return labels or tuple(map(str, range(max(len(prompt.choices) for prompt in prompts))))


def _content_free_logprobs(scores: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the log of each choice's mean probability over the content-free prompts; nothing without prompts."""
    return tuple(scipy.special.logsumexp(scores, axis=0, b=1 / len(scores)).tolist()) if scores else ()


def tell_dropped(store: Store, cell: Cell, count: int) -> None:
    """Log and say how many exemplars of a cell's prompts did not fit the model's context."""
    store.log("exemplars dropped", arm=cell.arm, task=cell.task, language=cell.language, count=count)
    notify(f"{cell.task} {cell.language}: {count} exemplars did not fit the model's context")


def item_scores(items: Items, predictions: Mapping[Cell, Sequence[Prediction]]) -> Iterator[ItemScores]:
    """Yield the items of each task and language with the scores of all arms."""
    arms = tuple(dict.fromkeys(cell.arm for cell in predictions))
    cluster_of = clusters(items)
    for (name, code), rows in with_choices(items).items():
        task = open_task(name)
        logprobs = tuple(tuple(p.logprobs for p in predictions[Cell(arm, name, code)]) for arm in arms)
        ids, texts = tuple(item.id for item in rows), tuple(item.fields for item in rows)
        gold, groups = tuple(item.gold for item in rows), tuple(cluster_of[task.name].get(id, "") for id in ids)
        labels = task.labels if has_labels(task) else ()
        yield ItemScores(task.name, code, labels, ids, texts, gold, arms, logprobs, groups)


def text_likelihoods(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item], progress: Bar) -> list[TextNLL]:
    """Return the negative log-likelihood of each item's own text in an arm, read first if there is none."""
    task = open_task(cell.task).name
    texts = ["\n".join(item.fields) for item in rows]
    name = f"{cell.language}.parquet"

    def write(folder: Path) -> None:
        from spillover.models.scoring.likelihood import negative_log_likelihood

        losses = negative_log_likelihood(arm.reader, texts, progress.advance)
        records = [
            TextNLL(item.id, task, cell.language, nats, len(text.encode()))
            for item, text, nats in zip(rows, texts, losses, strict=True)
        ]
        write_records(folder / name, TextNLL, records)

    inputs = [arm.key, cell.language, texts, [item.id for item in rows], *as_text(arm.experiment, texts)]
    with progress.counting(len(rows)):
        artifact = store.get_or_make("bits-per-byte", inputs, f"bits-per-byte/{cell.arm}/{task}/{name}", write)
    return read_records(artifact.path / name, TextNLL)
