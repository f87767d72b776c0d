"""The model organism: its recipe, and the positive control, which is what the whole pipeline says about it.

The verdicts are the page's. The models are the two that ship; a tiny one is made again by the recipe.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from calls import Call
from places import ROOT
from spillover.experiment import load_experiment
from spillover.models.load import load
from spillover.models.locate import SHIPPED, fingerprint, locate
from spillover.models.organism import pretrain, word_tokenizer
from spillover.models.tuning.history import read_history
from spillover.organism.corpus import documents
from spillover.organism.grammar import LANGUAGES, WORLDS, make_lexicon, sentences
from spillover.pipeline import Run
from spillover.records import Summary
from spillover.stages.evaluate import by_arm
from spillover.store import Store
from spillover.sweep import load_grid

pytestmark = pytest.mark.usefixtures("one_thread")

EXAMPLE = ROOT / "examples" / "organism.toml"
SMALLER = ["questions.limit=500", "tune.translations=0", "analyze.limit=0", "evaluate.limit=400"]
"""Changes of the example that spare time: half the dose, fewer items, no sample translations, nothing traced."""


ARMS = {
    "question translation": (),
    "shuffled pairs": ("mixture.recipe=shuffled-pairs",),
    "copy": ("mixture.recipe=copy",),
    "no shared words": ("model.name=organism-unshared", "questions.source=organism-unshared"),
}
"""The treatment and its controls → what they change in the example."""

Summaries = Callable[[str], dict[str, Summary]]


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> Summaries:
    """Return a function: name of an arm → what its page says, by task. Arms share what they have in common."""
    runs = tmp_path_factory.mktemp("organism")

    @cache
    def read(arm: str) -> dict[str, Summary]:
        experiment = load_experiment(EXAMPLE, [*SMALLER, *ARMS[arm]])
        with closing(Store(runs, arm.replace(" ", "-"))) as store:
            run = Run(experiment, store)
            run.defects = []  # `lint` compares all texts, which takes as long as tuning; no verdict depends on it
            (comparison,) = run.findings.comparisons
        return {summary.task: summary for summary in comparison.summaries}

    return read


def test_the_effect_is_seen_in_languages_never_tuned_on(summaries: Summaries) -> None:
    related = summaries("question translation")["polarity-related"]
    assert related.verdict == "improved", related.sentence
    assert related.unseen is not None
    assert related.unseen.low > 0.04


@pytest.mark.parametrize("arm", ["shuffled pairs", "copy", "no shared words"])
def test_a_control_improves_nothing_in_languages_never_tuned_on(summaries: Summaries, arm: str) -> None:
    related = summaries(arm)["polarity-related"]
    assert related.verdict == "equivalent", related.sentence


@pytest.mark.parametrize("arm", ARMS)
def test_nothing_changes_in_languages_without_relatives(summaries: Summaries, arm: str) -> None:
    isolates = summaries(arm)["polarity-isolates"]
    assert isolates.verdict == "equivalent", isolates.sentence


def test_without_shared_words_the_tuned_languages_still_improve(summaries: Summaries) -> None:
    tuned = summaries("no shared words")["polarity-related"].tuned
    assert tuned is not None
    assert tuned.low > 0.05


@pytest.mark.slow
def test_a_cell_of_the_recipes_runs_whole(tmp_path: Path) -> None:
    """Translation, then labels in the pivot, at a small dose; every language is measured with both arms."""
    small = ["questions.limit=40", "tune.epochs=1", "tune.translations=0", "evaluate.limit=4"]
    grid = load_grid(EXAMPLE.parent / "recipes.toml", small)
    (experiment,) = [row.experiment for row in grid if "then" in row.experiment.mixture_name]
    with closing(Store(tmp_path, "run")) as store:
        run = Run(experiment, store)
        predictions = by_arm(run.arms, run.predictions)
        parts = read_history(run.adapter.path).parts
    assert {name: {row.language for row in rows} for name, rows in predictions.items()} == {
        name: set(LANGUAGES) for name in ("base", "tuned")
    }
    drawn = [(part.phase, part.name, part.drawn) for part in parts]
    assert drawn == [(0, "question-translation", 76), (1, "annotated-pivot", 38)], "less the share that is held out"


@pytest.mark.parametrize("name", WORLDS)
def test_a_model_that_ships_knows_the_words_of_its_world_and_no_other(name: str) -> None:
    lexicon = make_lexicon(WORLDS[name])
    shipped = AutoTokenizer.from_pretrained(locate(name))
    assert shipped.get_vocab() == word_tokenizer(lexicon.vocabulary).get_vocab()
    assert set(SHIPPED) == set(WORLDS)


def test_each_word_is_a_token_and_each_text_comes_back() -> None:
    lexicon = make_lexicon(WORLDS["organism"])
    tokenizer = word_tokenizer(lexicon.vocabulary)
    for sentence in islice(sentences("test", held_out=True), 50):
        for code in LANGUAGES:
            text = lexicon.write(sentence, code)
            ids = tokenizer(f"Text: {text}\nPolarity: positive\n\n")["input_ids"]
            assert tokenizer.convert_ids_to_tokens(ids) == [
                *("<s>", "Text:", *text.split(), "\n", "Polarity:", "positive", "\n\n")
            ]
            assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_recipe_makes_the_same_model_again_and_another_from_another_seed(tmp_path: Path) -> None:
    world = WORLDS["organism"]
    for name, seed in (("first", 0), ("second", 0), ("third", 1)):
        pretrain(replace(world, seed=seed), tmp_path / name, count=256)
    first, second, third = (fingerprint(tmp_path / name) for name in ("first", "second", "third"))
    assert first == second != third
    model = load(str(tmp_path / "first"), "float32")
    assert {**model.network.config.to_dict()}["vocab_size"] == len(model.tokenizer)


def test_pretraining_learns_its_texts(tmp_path: Path) -> None:
    """A thousand documents halve the surprise; a model that learned nothing gives each token 1 / vocabulary."""
    import torch

    world = WORLDS["organism"]
    pretrain(world, tmp_path / "model", count=4096)
    model = load(str(tmp_path / "model"), "float32")
    rows = islice(documents(make_lexicon(world), seed=99, count=1000), 50)
    losses = []
    for text in rows:
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            losses.append(float(model.network(input_ids=ids, labels=ids).loss))
    chance = float(torch.tensor(float(len(model.tokenizer))).log())
    assert sum(losses) / len(losses) < chance / 2


def test_the_command_refuses_another_name_and_a_folder_that_exists(call: Call, tmp_path: Path) -> None:
    ended = call("models", "make", "organisms", tmp_path / "new")
    assert ended.status == 2
    assert "organism-unshared" in ended.err
    ended = call("models", "make", "organism", tmp_path)
    assert ended.status == 2
    assert "expected a new folder" in ended.err
    assert call("models", "path", "organism").out.strip() == str(SHIPPED["organism"])
    assert "organism-unshared" in call("models").out
