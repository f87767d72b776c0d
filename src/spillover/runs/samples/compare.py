"""Results of other tools as the findings of a run: matched item by item, with the same statistics, tables and page."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spillover.analysis.statistics.clusters import Clusters, clusters_of
from spillover.analysis.statistics.gains import compare_pairs
from spillover.analysis.statistics.gates import Gate, parse_gate, target
from spillover.analysis.statistics.next_steps import next_steps
from spillover.analysis.statistics.pairing import outcome
from spillover.errors import SpilloverError
from spillover.languages import ENGLISH, canonical, registered
from spillover.records import (
    Data,
    Findings,
    Internals,
    Item,
    ItemAnswers,
    ItemScores,
    Outcome,
    Prediction,
    Provenance,
    Result,
    Sample,
    Setup,
    Tuning,
)
from spillover.runs.samples.read import read_arms
from spillover.utils.environment import versions
from spillover.utils.paths import expanded_path

Cells = Mapping[tuple[str, str], Sequence[Sample]]
"""(task, language) → samples of one arm, the same items in the same order in every arm."""


def read_sample_gates(
    texts: Sequence[str], arms: Mapping[str, Sequence[Sample]], tuned_on: Collection[str]
) -> list[Gate]:
    """Return the gates that a user wrote about results of other tools.

    Raises:
        SpilloverError: a text is not a gate, or names something that the results do not have.
    """
    keys = list(dict.fromkeys((s.task, s.language) for rows in arms.values() for s in rows))
    tasks = dict.fromkeys(task for task, _ in keys)
    targets = [target(task, task, [code for t, code in keys if t == task], tuned_on, pivot="") for task in tasks]
    return [parse_gate(text, targets) for text in texts]


def compare_files(
    paths: Sequence[Path | str],
    tuned_on: Collection[str] = (),
    margin: float = 0.02,
    metric: str = "",
    language: str = "",
) -> Findings:
    """Compare files with results of the same items, as `spillover compare` does. No model is needed.

    Args:
        paths: a file or a folder per arm, the reference first: samples of lm-evaluation-harness, logs of inspect, or
            tables with a row per item and language.
        tuned_on: codes of the languages that an arm was tuned on. The verdict is about the others.
        margin: differences within ± this share count as equivalent.
        metric: which score is read; empty: the format's default.
        language: the language of files that do not say it; empty: a column or the name of their task says it.

    Raises:
        SpilloverError: a file is missing or of no known format, or the arms do not hold the same items.
    """
    files = [expanded_path(str(path)) for path in paths]
    arms = read_arms(files, metric, language)
    with registered(arms.brought):
        codes = [canonical(code, "tuned_on") for code in tuned_on]
        return compare_samples(arms.samples, files, codes, margin)


def compare_samples(
    arms: Mapping[str, Sequence[Sample]],
    paths: Sequence[Path],
    tuned_on: Collection[str] = (),
    margin: float = 0.02,
) -> Findings:
    """Compare the first arm with every other one.

    Args:
        arms: name → samples with their languages as codes, the reference first.
        paths: the files or folders that they came from, for the page.
        tuned_on: codes of the languages that an arm was tuned on, if any.
        margin: differences within ± this share count as equivalent.

    Raises:
        SpilloverError: the arms do not hold the same items; the sentence names what differs.
    """
    reference, *others = arms
    first = _by_cell(arms[reference])
    cells = {reference: first} | {name: _aligned((reference, name), first, _by_cell(arms[name])) for name in others}
    scored = _scored_tasks(cells)
    clusters = _clusters(first)
    comparisons = compare_pairs(
        {name: list(_results(rows, scored)) for name, rows in cells.items()},
        [(reference, name) for name in others],
        tuned_on=tuned_on,
        pivot="",
        margin=margin,
        clusters=clusters,
        tuned=bool(tuned_on),
    )
    keys = [(gain.task, gain.language) for gain in comparisons[0].gains]
    findings = Findings(
        name=f"{others[0]} against {reference}",
        setup=_setup(arms, paths, tuned_on),
        comparisons=comparisons,
        item_scores=tuple(_item_scores(key, cells, clusters) for key in keys if key[0] in scored),
        item_answers=tuple(_item_answers(key, cells, clusters) for key in keys if key[0] not in scored),
        internals=Internals((), (), (), ()),
        tuning=Tuning((), (), 0, 0, 0, (), ()),
        forgetting=(),
        data=Data((), "", (), ()),
        costs=(),
        translation_costs=(),
        provenance=Provenance((*versions(), *_digests(paths)), ""),
    )
    return replace(findings, next_steps=next_steps(findings))


def _setup(names: Iterable[str], paths: Sequence[Path], tuned_on: Collection[str]) -> Setup:
    return Setup(
        model="results of other tools",
        mixture="",
        question_task="",
        labels="",
        treatment="",
        tuned_on=tuple(tuned_on),
        arms=tuple(f"{name}: {path}" for name, path in zip(names, paths, strict=True)),
    )


def _by_cell(rows: Sequence[Sample]) -> dict[tuple[str, str], list[Sample]]:
    cells: dict[tuple[str, str], list[Sample]] = {}
    for sample in rows:
        cells.setdefault((sample.task, sample.language), []).append(sample)
    return cells


def _aligned(names: tuple[str, str], one: Cells, other: Cells) -> dict[tuple[str, str], list[Sample]]:
    """Return the cells of the other arm with the items, the ids and the order of the one."""
    for first, second, rows in ((names[0], names[1], one.keys() - other.keys()), (*names[::-1], other.keys() - one)):
        if rows:
            cell = ", ".join(min(rows))
            raise SpilloverError(
                f"compare: {first} has {cell}, which {second} lacks ({len(rows)} such tasks and languages), expected "
                "the same in both"
            )
    return {key: _matched(names, key, one[key], other[key]) for key in one}


def _matched(
    names: tuple[str, str], key: tuple[str, str], one: Sequence[Sample], other: Sequence[Sample]
) -> list[Sample]:
    """Match the items of one cell by id, if equal ids mean equal content; else by content, if that is the same."""
    where = f"compare: {', '.join(key)}"
    ids, other_ids = ({s.item: s for s in rows} for rows in (one, other))
    for name, rows, unique in ((names[0], one, ids), (names[1], other, other_ids)):
        if len(unique) < len(rows):
            twice = next(s.item for place, s in enumerate(rows) if s.item in {r.item for r in rows[:place]})
            raise SpilloverError(f"{where}: {name} has item {twice!r} twice, expected each once")
    changed = [id for id in ids if id in other_ids and _differ(ids[id], other_ids[id])]
    if ids.keys() == other_ids.keys() and not changed:
        return [other_ids[id] for id in ids]
    contents, other_contents = ({s.digest: s for s in rows if s.digest} for rows in (one, other))
    if len(contents) == len(one) == len(other) and contents.keys() == other_contents.keys():
        return [replace(other_contents[digest], item=sample.item) for digest, sample in contents.items()]
    if odd := [*(ids.keys() - other_ids), *(other_ids.keys() - ids)]:
        first = min(odd)
        has, lacks = names if first in ids else names[::-1]
        raise SpilloverError(
            f"{where}: {has} has item {first!r}, which {lacks} lacks ({len(odd)} items are in one of them only), "
            "expected the same items in both"
        )
    raise SpilloverError(
        f"{where}: item {changed[0]!r} has another content in {names[0]} than in {names[1]} ({len(changed)} of "
        f"{len(ids)} items differ), expected the same items in both"
    )


def _differ(one: Sample, other: Sample) -> bool:
    return bool(one.digest and other.digest and one.digest != other.digest)


def _scored_tasks(cells: Mapping[str, Cells]) -> set[str]:
    """Return the tasks in which every sample of every arm has scores of choices."""
    counts: dict[str, set[int]] = {}
    for of_arm in cells.values():
        for (task, _), rows in of_arm.items():
            counts.setdefault(task, set()).update(len(sample.logprobs) for sample in rows)
    return {task for task, numbers in counts.items() if 0 not in numbers}


def _results(cells: Cells, scored: Collection[str]) -> Iterator[Result]:
    for (task, code), rows in cells.items():
        for s in rows:
            if task in scored:
                yield Prediction(s.item, task, code, s.gold, s.logprobs)
            else:
                yield Outcome(s.item, task, code, s.score, "right" if s.score == 1 else "wrong")


def _clusters(cells: Cells) -> dict[str, Clusters]:
    """Return task → the clusters of its items, found in English, else in the first language."""
    first: dict[str, Sequence[Sample]] = {}
    for (task, code), rows in cells.items():
        if task not in first or code == ENGLISH:
            first[task] = rows
    return {
        task: clusters_of([Item(task, s.item, s.language, s.texts, 0, cluster=s.cluster) for s in rows])
        for task, rows in first.items()
    }


def _item_scores(key: tuple[str, str], cells: Mapping[str, Cells], clusters: Mapping[str, Clusters]) -> ItemScores:
    rows = next(iter(cells.values()))[key]
    spellings = {sample.labels for sample in rows}
    numbered = tuple(f"choice {number}" for number in range(1, max(len(row.logprobs) for row in rows) + 1))
    labels = tuple(text.strip() for text in rows[0].labels) if len(spellings) == 1 else numbered
    return ItemScores(
        task=key[0],
        language=key[1],
        labels=labels,
        ids=tuple(sample.item for sample in rows),
        texts=tuple(sample.texts for sample in rows),
        gold=tuple(sample.gold for sample in rows),
        arms=tuple(cells),
        logprobs=tuple(tuple(sample.logprobs for sample in of_arm[key]) for of_arm in cells.values()),
        clusters=tuple(clusters[key[0]].get(sample.item, "") for sample in rows),
    )


def _item_answers(key: tuple[str, str], cells: Mapping[str, Cells], clusters: Mapping[str, Clusters]) -> ItemAnswers:
    rows = next(iter(cells.values()))[key]
    outcomes = [[outcome(o) for o in _results({key: of_arm[key]}, ())] for of_arm in cells.values()]
    return ItemAnswers(
        task=key[0],
        language=key[1],
        ids=tuple(sample.item for sample in rows),
        texts=tuple(sample.texts for sample in rows),
        golds=tuple(sample.golds for sample in rows),
        arms=tuple(cells),
        answers=tuple(tuple(sample.answer for sample in of_arm[key]) for of_arm in cells.values()),
        scores=tuple(tuple(o.score for o in of_arm) for of_arm in outcomes),
        reasons=tuple(tuple(o.reason for o in of_arm) for of_arm in outcomes),
        clusters=tuple(clusters[key[0]].get(sample.item, "") for sample in rows),
    )


def _digests(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield the files read with their SHA-256."""
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            yield str(file), hashlib.sha256(file.read_bytes()).hexdigest()
