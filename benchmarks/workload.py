"""What the benchmarks score: the starter corpus, made as long as asked, no two items more alike than in real tests."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from spillover.records import Item, Prompt
from spillover.sources import open_source
from spillover.tasks import Task, open_task

ALIKE = {"entailment": 3}
"""Items in a row with the same first text: SNLI and XNLI ask three hypotheses of a premise (the published test 2.9)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one comparison runs on: a task in a language, its exemplars native, its labels English."""

    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    prompts: list[Prompt]
    """All different."""
    doubled: list[Prompt] | None
    """The same with twice the exemplars; None where growth is not measured."""


def cells(tasks: Sequence[str], languages: Sequence[str], items: int) -> list[Cell]:
    """Return the cells, `items` a task over all languages; growth is measured in the last language of each task."""
    source, found = open_source("starter", {}, "benchmark"), []
    for task in map(open_task, tasks):
        for language in languages:
            known = source.items(task, language)
            prompts = [task.prompt(item) for item in lengthened(task.name, known, items // len(languages))]
            doubled = _with_more_shots(task, known, prompts) if language == languages[-1] else None
            found.append(Cell(task.name, language, prompts, doubled))
    return found


def lengthened(task: str, items: Sequence[Item], wanted: int) -> list[Item]:
    """Return as many different items: once all are used up, their words are turned. Gold means nothing then.

    No two begin with the same text but those that do in real tests (`ALIKE`).
    """
    alike, found = ALIKE.get(task, 1), []
    for number in range(wanted):
        own, first = items[number % len(items)], number // alike
        texts = [items[first % len(items)].fields[0], *own.fields[1:]]
        turns = [first // len(items), *[number // len(items)] * (len(texts) - 1)]
        fields = tuple(_turned(text, turn) for text, turn in zip(texts, turns, strict=True))
        found.append(Item(own.task, f"{own.id}+{number}", own.language, fields, own.gold))
    if (different := len({item.fields for item in found})) < wanted:
        raise SystemExit(f"--items: found {different} different items, expected {wanted} a language; ask for fewer")
    return found


def _turned(text: str, turn: int) -> str:
    """Return the text with its first words at its end; its first characters where blanks part no words, as in Thai."""
    blank = " " if text.count(" ") > len(text) / 12 else ""
    words = text.split(blank) if blank else list(text)
    turn %= len(words)
    return blank.join(words[turn:] + words[:turn])


def _with_more_shots(task: Task, items: Sequence[Item], prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return the prompts with twice the exemplars: as many others stand before theirs."""
    others = [(task.prompt(item), item.gold) for item in items[-len(prompts[0].exemplars) :]]
    more = tuple(prompt.body + prompt.choices[gold] for prompt, gold in others)
    return [Prompt(more + prompt.exemplars, prompt.body, prompt.choices) for prompt in prompts]


def sample(prompts: Sequence[Prompt], wanted: int) -> list[int]:
    """Return indices of prompts that are like all of them in length: one at random of each of as many lengths."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index].body))
    wanted = min(wanted, len(prompts))
    draw = random.Random(0)
    ends = [round(part * len(order) / wanted) for part in range(wanted + 1)]
    return [order[draw.randrange(low, high)] for low, high in pairwise(ends)]
