"""Scoring one cell: predictions, the scores of its items for the page, the likelihood of its texts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scipy.special import logsumexp

from spillover.records import ARMS, Cell, Item, ItemScores, Prediction, TextNLL
from spillover.stages.arms import Arm, as_text, of_prompts
from spillover.stages.engines import SCORING_ENGINES
from spillover.stages.items import Items, clusters
from spillover.store import Store, read_predictions, read_records, write_predictions, write_records
from spillover.tasks import open_task
from spillover.utils.progress import Bar, notify


def predict(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item], progress: Bar) -> list[Prediction]:
    """Return a cell's predictions, scoring it first if that was not done before."""
    chosen, task = arm.experiment.evaluate, open_task(cell.task)
    prompts = [task.prompt(item, chosen.labels) for item in rows]
    content_free = task.content_free(cell.language, chosen.labels)
    name = f"{cell.language}.parquet"

    def write(folder: Path) -> None:
        asked = [*prompts, *content_free]
        scores = SCORING_ENGINES[chosen.engine](arm)(asked, chosen.scoring, chosen.overflow, progress.advance)
        empty = scores.choices[len(rows) :]
        anyway = tuple(logsumexp(empty, axis=0, b=1 / len(empty)).tolist()) if empty else ()
        if scores.dropped:
            store.log(
                "exemplars dropped",
                arm=cell.arm,
                task=cell.task,
                language=cell.language,
                count=scores.dropped,
            )
            notify(f"{cell.task} {cell.language}: {scores.dropped} exemplars did not fit the model's context")
        found = [
            Prediction(item.id, task.name, cell.language, item.gold, values, by_length, anyway)
            for item, values, by_length in zip(rows, scores.choices, scores.normalized, strict=False)
        ]
        labels = task.labels or tuple(map(str, range(len(prompts[0].choices))))
        write_predictions(folder / name, found, labels)

    inputs = [
        arm.key,
        cell.language,
        prompts,
        content_free,
        [(item.id, item.gold) for item in rows],
        chosen.scoring,
        chosen.overflow,
        *chosen.model_dump(include={"engine"}, exclude_defaults=True).values(),
        *as_text(arm.experiment, of_prompts([*prompts, *content_free])),
    ]
    with progress.counting(len(rows)):
        stage = store.get_or_make("predictions", inputs, f"predictions/{cell.arm}/{task.name}/{name}", write)
    return read_predictions(stage.path / name, task.name, cell.language)


def item_scores(items: Items, predictions: Mapping[Cell, Sequence[Prediction]]) -> Iterator[ItemScores]:
    """Yield every cell's items with both arms' scores."""
    together = clusters(items)
    for (name, code), rows in items.items():
        task = open_task(name)
        base, tuned = (tuple(p.scores for p in predictions[Cell(arm, name, code)]) for arm in ARMS)
        ids, texts = tuple(item.id for item in rows), tuple(item.fields for item in rows)
        gold, shared = tuple(item.gold for item in rows), tuple(together[task.name].get(id, "") for id in ids)
        yield ItemScores(task.name, code, tuple(task.labels), ids, texts, gold, base, tuned, shared)


def text_likelihoods(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item], progress: Bar) -> list[TextNLL]:
    """Return how little an arm expects the items' own texts, reading them first if that was not done before."""
    task = open_task(cell.task).name
    texts = ["\n".join(item.fields) for item in rows]
    name = f"{cell.language}.parquet"

    def write(folder: Path) -> None:
        from spillover.models.scoring.likelihood import negative_log_likelihood

        found = [
            TextNLL(item.id, task, cell.language, nats, len(text.encode()))
            for item, text, nats in zip(
                rows, texts, negative_log_likelihood(arm.reader, texts, progress.advance), strict=True
            )
        ]
        write_records(folder / name, TextNLL, found)

    inputs = [arm.key, cell.language, texts, [item.id for item in rows], *as_text(arm.experiment, texts)]
    with progress.counting(len(rows)):
        stage = store.get_or_make("bits-per-byte", inputs, f"bits-per-byte/{cell.arm}/{task}/{name}", write)
    return read_records(stage.path / name, TextNLL)
