"""From the readings and traces of a run folder to an `Exploration`, and what a run of a tiny model holds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tomli_w

from calls import Call
from spillover.experiment import Experiment
from spillover.records import Cell, Exploration, Item
from spillover.stages.arms import Arm
from spillover.stages.explore import EXPLORED, PROBABILITIES, TOKENS, explore
from spillover.stages.trace import CellTrace
from spillover.store import Arrays, Store, artifacts_under, read_arrays, read_layer, write_arrays
from spillover.tasks import open_labeled_task

LANGUAGES, ITEMS, LAYERS, WIDTH, TOP = ("en", "de", "sw"), EXPLORED + 3, 5, 6, 5
TASK = open_labeled_task("sentiment")


@pytest.fixture(autouse=True)
def spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of a token is its number."""
    tokenization = SimpleNamespace(pieces=lambda ids: [f" {number}" for number in ids])
    monkeypatch.setattr("spillover.stages.explore.reads", lambda experiment: SimpleNamespace(tokenization=tokenization))


def reading(language: str) -> Arrays:
    random = np.random.default_rng(LANGUAGES.index(language))
    english, native = random.uniform(size=(2, ITEMS, LAYERS)).astype(np.float32)
    shape = (EXPLORED, LAYERS, TOP)
    tokens, probabilities = random.integers(7000, size=shape), random.uniform(size=shape).astype(np.float32)
    return {"english": english, "native": native, TOKENS: tokens, PROBABILITIES: probabilities}


def cell_trace(store: Store, language: str, paired: bool = True) -> CellTrace:
    """Store a trace whose states of an item are alike in all languages, at the middle layer alone."""
    rows = [
        Item("sentiment", f"{n}" if paired else f"{language} {n}", language, (f"text {n}",), n % 2)
        for n in range(ITEMS)
    ]
    random, name = np.random.default_rng(LANGUAGES.index(language)), f"{language}.safetensors"
    states = random.normal(size=(ITEMS, LAYERS + 1, WIDTH)).astype(np.float32)
    states[:, (LAYERS - 1) // 2] = np.random.default_rng(9).normal(size=(ITEMS, WIDTH)) + states[:, 2] / 50

    def write(folder: Path) -> None:
        write_arrays(folder / name, body_mean=states)

    artifact = store.get_or_make("trace", [language, paired], f"traces/base/sentiment/{name}", write)
    return CellTrace(TASK, Cell("base", "sentiment", language), rows, artifact)


def store_reading(store: Store, language: str, arrays: Arrays) -> None:
    name = f"{language}.safetensors"
    place = f"readings/base/sentiment/logit/{name}"
    store.get_or_make(
        "reading", [language, sorted(arrays)], place, lambda folder: write_arrays(folder / name, **arrays)
    )


def explored(
    store: Store, languages: Sequence[str] = LANGUAGES, paired: bool = True, old: Sequence[str] = ()
) -> list[Exploration]:
    """Explore a run. old: languages whose readings are those of a version that kept no tokens."""
    for language in languages:
        arrays = reading(language)
        without = {name: array for name, array in arrays.items() if name not in (TOKENS, PROBABILITIES)}
        store_reading(store, language, without if language in old else arrays)
    return list(
        explore(store, Arm("base", Experiment(), None), [cell_trace(store, code, paired) for code in languages])
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "run")


def test_each_item_has_its_tokens_its_curves_and_its_answer(store: Store) -> None:
    (exploration,) = explored(store)
    assert (exploration.arm, exploration.task, exploration.languages) == ("base", "sentiment", LANGUAGES)
    for cell in exploration.cells:
        arrays = reading(cell.language)
        (of_lens,) = cell.readings
        texts = np.array(exploration.vocabulary)[of_lens.tokens]
        assert (texts == np.char.add(" ", arrays[TOKENS].astype(str))).all()
        assert (of_lens.probabilities == arrays[PROBABILITIES]).all()
        assert (of_lens.english == arrays["english"][:EXPLORED]).all()
        assert (of_lens.native == arrays["native"][:EXPLORED]).all()
        english, native = TASK.labels, TASK.label_words("native", cell.language)
        assert cell.answers == tuple((english[n % 2], native[n % 2]) for n in range(EXPLORED))
        assert cell.ids == tuple(map(str, range(ITEMS)))


def test_neighbors_are_searched_at_the_middle_layer(store: Store) -> None:
    (exploration,) = explored(store)
    assert exploration.layer == (LAYERS - 1) // 2
    for cell in exploration.cells:
        assert cell.neighbors is not None
        assert cell.neighbors.translations.tolist() == [len(LANGUAGES) - 1] * EXPLORED
        assert (cell.neighbors.items == np.arange(EXPLORED)[:, None]).all()


def test_at_another_layer_they_are_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: states of another layer, which say nothing of the items."""
    monkeypatch.setattr(
        "spillover.stages.explore.read_layer", lambda path, name, layer: read_layer(path, name, layer + 1)
    )
    (exploration,) = explored(store)
    assert exploration.cells[0].neighbors is not None
    assert exploration.cells[0].neighbors.translations.sum() < EXPLORED


@pytest.mark.parametrize(("languages", "paired"), [(LANGUAGES, False), (("de",), True)])
def test_one_language_or_items_that_are_no_translations_have_no_neighbors(
    store: Store, languages: Sequence[str], paired: bool
) -> None:
    (exploration,) = explored(store, languages, paired)
    assert len(exploration.cells) == len(languages)
    assert [cell.neighbors for cell in exploration.cells] == [None] * len(languages)


def test_readings_without_tokens_are_not_explored_and_nothing_is_made(store: Store) -> None:
    assert explored(store, old=LANGUAGES) == []
    assert artifacts_under(store.run, "explorer") == []
    (exploration,) = explored(store, old=("de",))
    assert [cell.language for cell in exploration.cells] == ["en", "sw"]
    assert exploration.languages == LANGUAGES, "neighbors are searched in all of them"


@pytest.mark.usefixtures("one_thread")
def test_a_run_keeps_the_tokens_that_the_model_itself_finds_likeliest(
    tiny: Callable[[str], Path], call: Call, tmp_path: Path
) -> None:
    """At the last layer the logit lens is the model: its normed states times the weights of its head."""
    from safetensors.numpy import load_file
    from scipy.special import softmax

    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "arms": {"base": {}, "same": {}},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "de"], "limit": 6},
        "analyze": {"limit": 4, "forgetting": 0, "patch": 0, "metrics": []},
    }
    (tmp_path / "e.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    ended = call("analyze", tmp_path / "e.toml", "--runs", tmp_path / "runs")
    assert ended.status == 0, ended.err
    run = tmp_path / "runs" / "e"
    assert len(artifacts_under(run, "explorer")) == 1, "two arms with the same weights share it"
    weight = load_file(tiny("llama") / "model.safetensors")["lm_head.weight"]
    for arm in ("base", "same"):
        for code in ("en", "de"):
            states = read_arrays(run / "traces" / arm / "sentiment" / f"{code}.safetensors", "last")["last"][:, -1]
            made = read_arrays(run / "readings" / arm / "sentiment" / "logit" / f"{code}.safetensors")
            probabilities = softmax(states @ weight.T, axis=1)
            order = np.argsort(-probabilities, axis=1)[:, :TOP]
            assert (made[TOKENS][:, -1] == order).all()
            expected = np.take_along_axis(probabilities, order, axis=1)
            np.testing.assert_allclose(made[PROBABILITIES][:, -1], expected, rtol=1e-4)
