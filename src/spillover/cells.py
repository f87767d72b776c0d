"""Cells: arms × tasks × languages. Which there are, and what scoring one of them leaves behind.

Sits below the pipeline, which says when; everything here is one cell, or the list of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from scipy.special import logsumexp

from spillover.analysis.clusters import Clusters, clusters_of
from spillover.errors import SpilloverError
from spillover.evaluation import items_origin, listed_tasks, measured_languages
from spillover.experiment import Experiment
from spillover.findings import Sheet, Translated
from spillover.progress import Bar, say
from spillover.records import Cell, Item, Prediction, Prompt, Surprise
from spillover.store import Stage, Store, read_predictions, read_records, write_predictions, write_records
from spillover.tasks import open_task

if TYPE_CHECKING:  # torch costs seconds, and a finished run never needs it
    from spillover.models.load import Model
    from spillover.models.prefix import Reader
    from spillover.models.readout import Readout
    from spillover.models.score import Scores

REFERENCE = "en"
"""The language whose items say which ids a task has, where it has any."""


@dataclass(frozen=True)
class Arm:
    """One of the two models compared. Nothing but the adapter tells them apart."""

    name: str
    """`base` or `tuned`."""
    experiment: Experiment
    """Says which model, and how it is loaded."""
    adapter: Stage | None
    """The tuned arm's adapter."""

    @cached_property
    def key(self) -> list[str]:
        """What the arm's results depend on: the weights, the precision, the template, the adapter."""
        merged = ["merged"] if self.adapter and self.experiment.evaluate.merged else []
        return [*model_key(self.experiment), self.adapter.key if self.adapter else "", *merged]

    @property
    def reader(self) -> "Reader":
        """The model, loaded when first asked for; good until another arm's is asked for."""
        from spillover.models.resident import resident

        adapter = self.adapter.path if self.adapter else None
        merged = self.experiment.evaluate.merged
        return resident(**self.experiment.model.model_dump(), adapter=adapter, merged=merged)

    @cached_property
    def readout(self) -> "Readout":
        """Its final norm and unembedding."""
        from spillover.models.readout import Readout

        return Readout(self.reader.model)


def _by_transformers(arm: Arm) -> "Callable[..., Scores]":
    from spillover.models.score import score

    return partial(score, arm.reader)


def _by_vllm(arm: Arm) -> "Callable[..., Scores]":
    from spillover.models.vllm import open_engine, score

    model, adapter = arm.experiment.model, arm.adapter.path if arm.adapter else None
    rank, arguments = arm.experiment.tune.rank, model.template_arguments
    return partial(score, open_engine(model.name, model.dtype, model.template, adapter, rank, arguments))


def _vllm_runs(experiment: Experiment) -> None:
    from spillover.models.vllm import check

    check(experiment.model.quantize, experiment.evaluate.merged)


ENGINES: "dict[str, Callable[[Arm], Callable[..., Scores]]]" = {"transformers": _by_transformers, "vllm": _by_vllm}
"""What scores: name → arm → `models.score.score` without its first argument."""

NEEDS: dict[str, Callable[[Experiment], None]] = {"vllm": _vllm_runs}
"""Name of an engine that cannot score everywhere → what refuses to."""


def check_engine(experiment: Experiment) -> None:
    """Refuse an engine that cannot score here, before an hour of tuning rather than after it."""
    if refuse := NEEDS.get(experiment.evaluate.engine):
        refuse(experiment)


def model_key(experiment: Experiment) -> list[str]:
    """Return what identifies the base model as loaded: its files, precision, quantization, template and its prompts."""
    from spillover.models.load import resolve_dtype
    from spillover.models.locate import fingerprint, locate

    model = experiment.model
    known = [fingerprint(locate(model.name)), resolve_dtype(model.dtype), model.quantize, model.template]
    return [*known, *reads(experiment).prompt_key]


def as_text(experiment: Experiment, texts: Iterable[str]) -> list[str]:
    """Return what a stage's key says of texts that spell special tokens, which once became those tokens: which ones.

    Nothing for others, so their stages stay.
    """
    return reads(experiment).tokenization.spelled(texts)


def of_prompts(prompts: Iterable[Prompt]) -> Iterator[str]:
    """Yield all texts of prompts."""
    for prompt in prompts:
        yield from (*prompt.exemplars, prompt.body, *prompt.choices)


def reads(experiment: Experiment) -> "Model":
    """Return the model as it turns texts into tokens, without its weights."""
    from spillover.models.load import without_weights

    return without_weights(experiment.model.name, experiment.model.template, experiment.model.template_arguments)


def shortened(experiment: Experiment) -> list[int]:
    """Return the model's context in tokens where it is shorter than `tune.cutoff`: longer examples are not learned."""
    from spillover.models.locate import locate, positions

    context = positions(locate(experiment.model.name))
    return [context] if 0 < context < experiment.tune.cutoff else []


def size(experiment: Experiment) -> int:
    """Return the number of the base model's parameters."""
    from spillover.models.locate import locate, parameters

    return parameters(locate(experiment.model.name))


def measured(experiment: Experiment) -> dict[tuple[str, str], list[Item]]:
    """Return (task, language) → items: in each language the same ids, in the same order.

    Raises:
        SpilloverError: a language lacks an item that another has, no language has any, or two tasks have one name.
    """
    found: dict[tuple[str, str], list[Item]] = {}
    for name, task in listed_tasks(experiment).items():
        source, where = items_origin(experiment, task).open()
        languages = measured_languages(experiment, task, source)
        if not languages:
            raise SpilloverError(f"{where}: found no items of task {task.name!r} in any language")
        rows = {language: source.items(task, language) for language in languages}
        reference = rows[REFERENCE if REFERENCE in rows else languages[0]]
        kept = [item.id for item in balanced(reference, experiment.evaluate.limit)]
        for language in languages:
            found[name, language] = _same(rows[language], reference, kept, where)
    return found


def to_weigh(experiment: Experiment) -> dict[tuple[str, str], list[Item]]:
    """Return (task, language) → the items whose texts tell what was forgotten."""
    limit = experiment.analyze.texts
    return {key: balanced(rows, limit) for key, rows in measured(experiment).items()} if limit else {}


def machine_translated(items: Mapping[tuple[str, str], Sequence[Item]]) -> tuple[Translated, ...]:
    """Return which items a machine translated, once a task, language and translator."""
    found = (Translated(item.task, item.language, item.translator) for rows in items.values() for item in rows)
    return tuple(dict.fromkeys(each for each in found if each.translator))


def clusters(items: Mapping[tuple[str, str], Sequence[Item]]) -> dict[str, Clusters]:
    """Return task → the clusters of its items, told in English where it is measured, else in the first language."""
    rows: dict[str, Sequence[Item]] = {}
    for (name, language), own in items.items():
        task = open_task(name).name
        if task not in rows or language == REFERENCE:
            rows[task] = own
    return {task: clusters_of(own) for task, own in rows.items()}


def balanced(rows: Sequence[Item], limit: int) -> list[Item]:
    """Return the first `limit` items, as many of each label as can be, in their order; all of them for 0."""
    seen: Counter[int] = Counter()
    ranks = []
    for place, item in enumerate(rows):
        ranks.append((seen[item.gold], place))
        seen[item.gold] += 1
    return [rows[place] for place in sorted(place for _, place in sorted(ranks)[: limit or None])]


def _same(rows: Sequence[Item], reference: Sequence[Item], kept: Sequence[str], where: str) -> list[Item]:
    """Return the items of the ids kept; refuse a language whose ids are not the reference's."""
    known, expected = {item.id: item for item in rows}, {item.id for item in reference}
    differing = sorted(expected.symmetric_difference(known))
    if differing:
        here, there = rows[0].language, reference[0].language
        has, lacks = (here, there) if differing[0] in known else (there, here)
        raise SpilloverError(
            f"{where}: task {rows[0].task!r}: {has} has an item {differing[0]!r} that {lacks} lacks "
            f"({len(differing)} ids differ), expected the same ids in every language"
        )
    return [known[id] for id in kept]


def of_arm(arm: Arm, items: dict[tuple[str, str], list[Item]]) -> Iterator[tuple[Cell, list[Item]]]:
    """Yield an arm's cells with their items."""
    for (task, language), rows in items.items():
        yield Cell(arm.name, task, language), rows


def predict(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item], progress: Bar) -> list[Prediction]:
    """Return a cell's predictions, scoring it first if that was not done before."""
    chosen, task = arm.experiment.evaluate, open_task(cell.task)
    prompts = [task.prompt(item, chosen.labels) for item in rows]
    content_free = task.content_free(cell.language, chosen.labels)
    name = f"{cell.language}.parquet"

    def write(folder: Path) -> None:
        asked = [*prompts, *content_free]
        scores = ENGINES[chosen.engine](arm)(asked, chosen.scoring, chosen.overflow, progress.advance)
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
            say(f"{cell.task} {cell.language}: {scores.dropped} exemplars did not fit the model's context")
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
        stage = store.make("predictions", inputs, f"predictions/{cell.arm}/{task.name}/{name}", write)
    return read_predictions(stage.path / name, task.name, cell.language)


def sheets(
    items: Mapping[tuple[str, str], Sequence[Item]], both: Mapping[str, Sequence[Prediction]]
) -> Iterator[Sheet]:
    """Yield every cell's items with both arms' scores; `both` are the predictions of each arm, in the items' order."""
    base, tuned = (iter(both[arm]) for arm in ("base", "tuned"))
    together = clusters(items)
    for (name, code), rows in items.items():
        task, own = open_task(name), (tuple(islice(base, len(rows))), tuple(islice(tuned, len(rows))))
        before, after = (tuple(prediction.scores for prediction in arm) for arm in own)
        texts, gold = tuple(item.fields for item in rows), tuple(item.gold for item in rows)
        ids = tuple(item.id for item in rows)
        shared = tuple(together[task.name].get(id, "") for id in ids)
        yield Sheet(task.name, code, tuple(task.labels), ids, texts, gold, before, after, shared)


def weigh(store: Store, arm: Arm, cell: Cell, rows: Sequence[Item], progress: Bar) -> list[Surprise]:
    """Return how little an arm expects the items' own texts, reading them first if that was not done before."""
    task = open_task(cell.task).name
    texts = ["\n".join(item.fields) for item in rows]
    name = f"{cell.language}.parquet"

    def write(folder: Path) -> None:
        from spillover.models.forgetting import surprise

        found = [
            Surprise(item.id, task, cell.language, nats, len(text.encode()))
            for item, text, nats in zip(rows, texts, surprise(arm.reader, texts, progress.advance), strict=True)
        ]
        write_records(folder / name, Surprise, found)

    inputs = [arm.key, cell.language, texts, [item.id for item in rows], *as_text(arm.experiment, texts)]
    with progress.counting(len(rows)):
        stage = store.make("bits-per-byte", inputs, f"bits-per-byte/{cell.arm}/{task}/{name}", write)
    return read_records(stage.path / name, Surprise)
