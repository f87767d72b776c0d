"""Recipes: pure functions from pairs to training examples.

A recipe says which texts are paired and in which order; a frame says how a pair reads. A recipe receives what its
parameters name and nothing else. So a recipe without the parameter `labeled` cannot see a label.
"""

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from spillover.errors import SpilloverError
from spillover.mixture.codeswitch import code_switched
from spillover.mixture.frames import Frame
from spillover.records import Example, LabeledQuestion, Pair
from spillover.tasks import GenerationTask, Task
from spillover.tasks.task import CLOSING

TokenCounter = Callable[[Sequence[str]], list[int]]
"""Texts → the number of tokens of each."""


def _cued(task: Task, fields: tuple[str, ...], code: str) -> str:
    """Render a question up to where its answer would begin."""
    return f"{task.render_question(fields, code)}\n{task.row(code).answer}:"


# The treatment, in three directions


def question_translation(pairs: Sequence[Pair], task: Task, frame: Frame, seed: int) -> list[Example]:
    """Translate every language's questions into the pivot, in one seeded shuffle: the paper's treatment."""
    examples = [
        Example(id=pair.id, language=pair.source_language, source=source, target=target)
        for pair in pairs
        for source, target in [frame(task, pair)]
    ]
    random.Random(seed).shuffle(examples)
    return examples


def reverse(pairs: Sequence[Pair], task: Task, frame: Frame, seed: int) -> list[Example]:
    """Translate the pivot's questions into every language."""
    return question_translation([_reverse_pair(pair) for pair in pairs], task, frame, seed)


def both(pairs: Sequence[Pair], task: Task, frame: Frame, seed: int) -> list[Example]:
    """Translate in both directions, every pair once in each."""
    return question_translation([*pairs, *map(_reverse_pair, pairs)], task, frame, seed)


def _reverse_pair(pair: Pair) -> Pair:
    return Pair(pair.task, pair.id, pair.target_language, pair.source_language, pair.target, pair.source)


# The controls: each lacks one cause that the treatment's effect may have


def shuffled_pairs(pairs: Sequence[Pair], task: Task, frame: Frame, seed: int) -> list[Example]:
    """Keep every text and give each a wrong partner of its own language: all of the treatment but the translation."""
    return question_translation(shuffled(pairs, seed), task, frame, seed)


def shuffled(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return the pairs, each with the target of another pair of its language."""
    groups = ([pair for pair in pairs if pair.source_language == code] for code in dict.fromkeys(_sources_of(pairs)))
    return [pair for group in groups for pair in derange(group, seed)]


def _sources_of(pairs: Sequence[Pair]) -> Iterator[str]:
    return (pair.source_language for pair in pairs)


def derange(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Permute the targets so that no source keeps a target of its own text.

    Targets get an order that is drawn from the seed, with equal targets side by side. Then each target moves on by
    the size of the largest group of equal targets, so none stays in its group. If all targets differ, the result is
    a random cycle through all pairs.
    """
    order = list(range(len(pairs)))
    random.Random(seed).shuffle(order)
    place: dict[tuple[str, ...], int] = {}
    for index in order:
        place.setdefault(pairs[index].target, len(place))
    order.sort(key=lambda index: place[pairs[index].target])
    shift = max(Counter(pair.target for pair in pairs).values())
    if 2 * shift > len(pairs):
        raise SpilloverError(
            f"mixture.recipe: 'shuffled-pairs' found {shift} of {len(pairs)} {pairs[0].source_language} pairs with one "
            "and the same target, expected at most half, so that each source can get another's"
        )
    partner = {index: order[(rank + shift) % len(order)] for rank, index in enumerate(order)}
    return [replace(pair, target=pairs[partner[index]].target) for index, pair in enumerate(pairs)]


def copy(pairs: Sequence[Pair], task: Task, frame: Frame, seed: int) -> list[Example]:
    """Copy the pivot's questions in the same frame, each as often as the treatment writes it."""
    return question_translation(copied(pairs, seed), task, frame, seed)


def copied(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return the pairs, each with its target as its source."""
    return [replace(pair, source_language=pair.target_language, source=pair.target) for pair in pairs]


CONTROLS: dict[str, Callable[[Sequence[Pair], int], list[Pair]]] = {"shuffled-pairs": shuffled, "copy": copied}
"""Control of a part → function of pairs and a seed. It keeps the targets, each as often as before."""


def unrelated(
    pairs: Sequence[Pair],
    task: Task,
    unrelated: Sequence[Pair],
    unrelated_task: Task,
    frame: Frame,
    seed: int,
    count: TokenCounter,
) -> list[Example]:
    """Translate another source's questions, cut where they have the treatment's number of target tokens.

    The token that ends each target is one of them.

    Raises:
        SpilloverError: the other source has fewer target tokens.
    """
    wanted = sum(_target_tokens(question_translation(pairs, task, frame, seed), count))
    examples = question_translation(unrelated, unrelated_task, frame, seed)
    totals = list(accumulate(_target_tokens(examples, count)))
    if not totals or totals[-1] < wanted:
        raise SpilloverError(
            f"mixture.unrelated: found {totals[-1] if totals else 0} target tokens in {len(examples)} pairs, expected "
            f"the {wanted} of the questions' own; choose a larger source or limit"
        )
    reached = bisect_left(totals, wanted)
    before = totals[reached - 1] if reached else 0
    return examples[: reached + (totals[reached] - wanted <= wanted - before)]


def _target_tokens(examples: Sequence[Example], count: TokenCounter) -> list[int]:
    return [tokens + 1 for tokens in count([example.target for example in examples])]


# The rivals, which need labels


def annotated_english(labeled: Sequence[LabeledQuestion], task: Task, labels: str, seed: int) -> list[Example]:
    """Answer labeled questions as the evaluation asks them, without exemplars: training on English annotations.

    `labels` is the kind of the labels' words, the same as in the evaluation.
    """
    examples = [_answered(task, row, labels) for row in labeled]
    random.Random(seed).shuffle(examples)
    return examples


def annotated_multilingual(
    labeled: Sequence[LabeledQuestion], pairs: Sequence[Pair], task: Task, labels: str, seed: int
) -> list[Example]:
    """Answer labeled questions in every language too, with the answer of the original: translate-train.

    So an answer in words stays in the language of the original. A pair whose question has no answer is left out.
    """
    originals = {row.id: row for row in labeled}
    translated = [
        replace(originals[pair.id], task=pair.task, language=pair.source_language, fields=pair.source)
        for pair in pairs
        if pair.id in originals
    ]
    return annotated_english([*labeled, *translated], task, labels, seed)


def annotated_pivot(
    labeled: Sequence[LabeledQuestion], pairs: Sequence[Pair], task: Task, labels: str, seed: int
) -> list[Example]:
    """Answer labeled questions in the pivot, each once: training on annotations in a pivot other than English.

    A question without a translation into the pivot is left out.
    """
    texts = {pair.id: pair for pair in pairs}
    rows = [
        replace(row, task=pair.task, language=pair.target_language, fields=pair.target)
        for row in labeled
        if (pair := texts.get(row.id))
    ]
    return annotated_english(rows, task, labels, seed)


def two_stage(
    pairs: Sequence[Pair],
    labeled: Sequence[LabeledQuestion],
    task: Task,
    frame: Frame,
    labels: str,
    seed: int,
) -> list[Example]:
    """First question translation, then annotated English, with one adapter.

    This is QAlign (Zhu et al. 2024, arXiv 2401.07817).
    """
    second = annotated_english(labeled, task, labels, seed)
    return [*question_translation(pairs, task, frame, seed), *(replace(example, stage=1) for example in second)]


def code_switch(pairs: Sequence[Pair], task: Task, frame: Frame, share: float, seed: int) -> list[Example]:
    """Write the pivot's questions from a copy in which words are in another language, each pair once.

    The model reads words of the other language in the pivot's order (Lin et al. 2020, arXiv 2010.03142).
    """
    return question_translation(code_switched(pairs, share, seed), task, frame, seed)


def translate_then_answer(
    pairs: Sequence[Pair], labeled: Sequence[LabeledQuestion], task: Task, labels: str, seed: int
) -> list[Example]:
    """Read a question as the evaluation asks it, write it in the pivot, then its answer in the pivot's words.

    A pair whose question has no label is left out.
    """
    rows = {row.id: row for row in labeled}
    examples = []
    for pair in (pair for pair in pairs if pair.id in rows):
        answered = _answered(task, replace(rows[pair.id], language=pair.target_language, fields=pair.target), labels)
        source = _cued(task, pair.source, pair.source_language) + "\n"
        examples.append(Example(pair.id, pair.source_language, source, answered.source + answered.target))
    random.Random(seed).shuffle(examples)
    return examples


def replay(texts: Sequence[Example], seed: int) -> list[Example]:
    """Learn texts and chats of the user's, against forgetting."""
    examples = list(texts)
    random.Random(seed).shuffle(examples)
    return examples


def _answered(task: Task, row: LabeledQuestion, labels: str) -> Example:
    if isinstance(task, GenerationTask):
        target = f" {row.answer}{CLOSING}"
    else:
        target = task.choices(labels, row.language)[row.gold]
    return Example(row.id, row.language, _cued(task, row.fields, row.language), target)


# Sizes


def take_first(pairs: Sequence[Pair], sizes: Mapping[str, int]) -> list[Pair]:
    """Return the first pairs of each source language, as many as `sizes` has for it; all where it has no number."""
    seen: Counter[str] = Counter()
    chosen = []
    for pair in pairs:
        seen[pair.source_language] += 1
        if seen[pair.source_language] <= sizes.get(pair.source_language, len(pairs)):
            chosen.append(pair)
    return chosen
