"""Questions and items in the invented languages of the model organism, made from its grammar when they are read."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import count, cycle, filterfalse, islice
from operator import attrgetter

from spillover.errors import SpilloverError
from spillover.languages import in_paper_order
from spillover.organism.grammar import WORLDS, Sentence, make_lexicon, sentences
from spillover.records import Item, LabeledQuestion, Question
from spillover.tasks import Task

ITEMS = 1000
"""Items of a task, the same in every language; half of them are praise."""

LABELED = 10_000
"""Questions that have an answer: the first ones."""


class Organism:
    """One world's sentences. No question has a pair of noun and adjective that an item has."""

    def __init__(self, world: str, argument: str, columns: Mapping[str, str]) -> None:
        """Draw the languages of a world; `argument` is its seed, empty for that of the model that ships."""
        if columns or not (argument or "0").isdigit():
            found = argument or dict(columns)
            raise SpilloverError(f"source {world!r}: found {found!r}, expected a seed, such as {world}:1, or nothing")
        self._seed = int(argument or WORLDS[world].seed)
        self._lexicon = make_lexicon(replace(WORLDS[world], seed=self._seed))

    def questions(self, task: Task, language: str) -> Iterator[Question]:
        """Yield sentences without end; in English too, word for word."""
        for id, sentence in self._asked():
            yield Question(task.name, id, language, (self._lexicon.write(sentence, language),))

    def labeled_questions(self, task: Task, language: str) -> list[LabeledQuestion]:
        """Return the first questions with their answers, for recipes that need them."""
        write, rows = partial(self._lexicon.write, language=language), islice(self._asked(), LABELED)
        return [LabeledQuestion(task.name, id, language, (write(row),), int(row.is_positive)) for id, row in rows]

    def _asked(self) -> Iterator[tuple[str, Sentence]]:
        """Yield the questions' ids and meanings."""
        drawn = sentences(f"questions {self._seed}", held_out=False)
        return ((f"question-{number}", sentence) for number, sentence in zip(count(), drawn, strict=False))

    def items(self, task: Task, language: str) -> list[Item]:
        """Return the items; the same id is the same meaning in every language."""
        drawn = partial(sentences, f"items {self._seed}", held_out=True)
        halves = [filter(attrgetter("is_positive"), drawn()), filterfalse(attrgetter("is_positive"), drawn())]
        golds = islice(cycle((1, 0)), ITEMS)
        write = partial(self._lexicon.write, language=language)
        return [
            Item(task.name, f"item-{number}", language, (write(next(halves[1 - gold])),), gold)
            for number, gold in enumerate(golds)
        ]

    def item_languages(self, task: Task) -> tuple[str, ...]:
        """Return the languages in which the task is asked; none for a task of another source."""
        return in_paper_order(task.rows) if task.rows.keys() <= self._lexicon.words.keys() else ()


organism, organism_unshared = (partial(Organism, world) for world in WORLDS)
