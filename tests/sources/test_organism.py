"""The source in invented languages: one meaning per id, its label, nothing asked that was tuned on."""

from itertools import islice

import pytest

from places import ROOT
from spillover.errors import SpilloverError
from spillover.experiment import load_experiment
from spillover.organism.grammar import BAD, GOOD, ISOLATES, PIVOT, RELATED, SEED
from spillover.sources import labeled_questions, open_source
from spillover.tasks import open_task

EXPERIMENT = load_experiment(ROOT / "examples" / "organism.toml")
TASK = open_task("organism:related")


def test_english_reads_as_the_label_says_and_half_is_praise() -> None:
    source = open_source("organism", {}, "test")
    items = source.items(TASK, "en")
    for item in items:
        *_, last = item.fields[0].replace(" but ", " and ").split(" and ")
        words = last.split()
        assert item.gold == ((words[-1] in GOOD) != ("not" in words))
        assert words[-1] in (*GOOD, *BAD)
    assert sum(item.gold for item in items) == len(items) / 2
    assert len({item.fields for item in items}) > 0.9 * len(items)


def test_a_labeled_question_is_the_question_and_its_label_is_that_of_its_last_clause() -> None:
    source = open_source("organism", {}, "test")
    rows = labeled_questions(source, TASK, "en", "test")
    assert [(row.id, row.fields) for row in rows[:500]] == [
        (row.id, row.fields) for row in islice(source.questions(TASK, "en"), 500)
    ]
    for row in rows[:500]:
        words = row.fields[0].replace(" but ", " and ").split(" and ")[-1].split()
        assert row.gold == ((words[-1] in GOOD) != ("not" in words))


@pytest.mark.parametrize("language", [PIVOT, *RELATED, *ISOLATES])
def test_an_id_means_the_same_in_every_language(language: str) -> None:
    source = open_source("organism", {}, "test")
    pairs = list(zip(source.items(TASK, "en"), source.items(TASK, language), strict=True))
    english, other = ([sorted(row.fields[0].split()) for row in rows] for rows in zip(*pairs, strict=True))
    assert [row.gold for row, _ in pairs] == [row.gold for _, row in pairs]
    assert [len(words) for words in english] == [len(words) for words in other]
    assert len(set(map(tuple, english))) == len(set(map(tuple, other))), "a word per concept"


def test_no_question_is_an_item_and_the_same_ones_come_again() -> None:
    source = open_source("organism", {}, "test")
    questions = list(islice(source.questions(TASK, "qsa"), 2000))
    assert not {row.fields for row in questions} & {row.fields for row in source.items(TASK, "qsa")}
    assert questions == list(islice(open_source(f"organism:{SEED}", {}, "test").questions(TASK, "qsa"), 2000))
    assert questions != list(islice(open_source("organism:1", {}, "test").questions(TASK, "qsa"), 2000))


def test_each_task_has_its_languages_and_other_tasks_have_none() -> None:
    source = open_source("organism", {}, "test")
    with EXPERIMENT.registered():
        assert source.item_languages(TASK) == (PIVOT, *RELATED)
        assert source.item_languages(open_task("organism:isolates")) == ISOLATES
        assert source.item_languages(open_task("sentiment")) == ()


@pytest.mark.parametrize("spec", ["organism:shared", "organism:-1", "organism-unshared:x"])
def test_what_is_no_seed_is_refused(spec: str) -> None:
    with pytest.raises(SpilloverError, match="expected a seed"):
        open_source(spec, {}, "test")


def test_another_task_is_refused_with_the_choices() -> None:
    with pytest.raises(SpilloverError, match="related, isolates"):
        open_task("organism:mirrors")
