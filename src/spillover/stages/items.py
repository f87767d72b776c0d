"""Cells: arms × tasks × languages. Which there are, and what scoring one of them leaves behind.

Sits below the pipeline, which says when; everything here is one cell, or the list of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from spillover.analysis.statistics.clusters import Clusters, clusters_of
from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.records import Item, MachineTranslated, Prompt
from spillover.stages.evaluation import items_origin, listed_tasks, measured_languages
from spillover.tasks import open_task

if TYPE_CHECKING:  # torch costs seconds, and a finished run never needs it
    from spillover.models.load import Model

REFERENCE_LANGUAGE = "en"
"""The language whose items say which ids a task has, where it has any."""


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


def evaluation_items(experiment: Experiment) -> dict[tuple[str, str], list[Item]]:
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
        reference = rows[REFERENCE_LANGUAGE if REFERENCE_LANGUAGE in rows else languages[0]]
        kept = [item.id for item in balanced_subset(reference, experiment.evaluate.limit)]
        for language in languages:
            found[name, language] = _same(rows[language], reference, kept, where)
    return found


def likelihood_items(experiment: Experiment) -> dict[tuple[str, str], list[Item]]:
    """Return (task, language) → the items whose texts tell what was forgotten."""
    limit = experiment.analyze.texts
    return {key: balanced_subset(rows, limit) for key, rows in evaluation_items(experiment).items()} if limit else {}


def machine_translated(items: Mapping[tuple[str, str], Sequence[Item]]) -> tuple[MachineTranslated, ...]:
    """Return which items a machine translated, once a task, language and translator."""
    found = (MachineTranslated(item.task, item.language, item.translator) for rows in items.values() for item in rows)
    return tuple(dict.fromkeys(each for each in found if each.translator))


def clusters(items: Mapping[tuple[str, str], Sequence[Item]]) -> dict[str, Clusters]:
    """Return task → the clusters of its items, told in English where it is measured, else in the first language."""
    rows: dict[str, Sequence[Item]] = {}
    for (name, language), own in items.items():
        task = open_task(name).name
        if task not in rows or language == REFERENCE_LANGUAGE:
            rows[task] = own
    return {task: clusters_of(own) for task, own in rows.items()}


def balanced_subset(rows: Sequence[Item], limit: int) -> list[Item]:
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
