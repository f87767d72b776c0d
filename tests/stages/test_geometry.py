"""From the traces in a run folder to a `Geometry`: what is read, what it is keyed by, and what is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spillover.analysis.interpretability.alignment import shuffled, standardized
from spillover.errors import SpilloverError
from spillover.experiment import parse_experiment
from spillover.records import Geometry, Item
from spillover.stages.analyze import items_to_trace
from spillover.stages.geometry import check_metrics, compare_languages
from spillover.store import Store, read_arrays, read_layers, write_arrays

LANGUAGES, ITEMS, LAYERS, WIDTH = ("en", "de", "sw"), 6, 3, 5
METRICS = ("cosine", "dali")


def items(task: str = "entailment", count: int = ITEMS) -> dict[tuple[str, str], list[Item]]:
    """Items 0 and 1 share their premise, in English."""
    premises = {"en": "Rain.", "de": "Regen fällt.", "sw": "Mvua inanyesha."}
    return {
        (task, code): [
            Item(task, str(n), code, (premise if n < 2 else f"{premise} {n}", f"{code} {'o' * n}"), 0)
            for n in range(count)
        ]
        for code, premise in premises.items()
    }


def states(arm: str, language: str, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng([seed, len(arm), LANGUAGES.index(language)])
    shape = (ITEMS, LAYERS, WIDTH)
    return {name: random.normal(size=shape).astype(np.float32) for name in ("last", "body_mean")}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A run folder with the traces of both arms."""
    made = Store(tmp_path, "run")
    traced(made)
    return made


def traced(store: Store, seed: int = 0, languages: Sequence[str] = LANGUAGES) -> None:
    for arm in ("base", "tuned"):
        for code in languages:
            name, arrays = f"{code}.safetensors", states(arm, code, seed)
            link = f"traces/{arm}/entailment/{name}"

            def write(folder: Path, name: str = name, arrays: Mapping[str, np.ndarray] = arrays) -> None:
                write_arrays(folder / name, **arrays)

            store.get_or_make("trace", [arm, code, seed], link, write)


def compared(store: Store, items: dict[tuple[str, str], list[Item]], metrics: Sequence[str]) -> tuple[Geometry, ...]:
    whole, folded = compare_languages(store, ("base", "tuned"), items, metrics, "en", ())
    assert not folded
    return whole


def made(store: Store) -> int:
    return len([path for path in store.stages.glob("geometry-*") if path.is_dir()])


def test_every_number_is_of_its_arm_layer_and_pair(store: Store) -> None:
    (found,) = compared(store, items(), METRICS)
    assert (found.task, found.arms, found.languages, found.items) == ("entailment", ("base", "tuned"), LANGUAGES, ITEMS)
    assert [a.metric for a in found.alignments] == ["cosine", "cosine-partial", "dali", "dali-partial"]
    assert found.components.shape == (2, LAYERS, 3, ITEMS, 2)
    for arm, name in enumerate(found.arms):
        for layer in range(LAYERS):
            for a, one in enumerate(LANGUAGES):
                for b, other in enumerate(LANGUAGES):
                    x, y = (states(name, code)["body_mean"][:, layer] for code in (one, other))
                    cosines = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
                    assert found.alignments[0].value[arm, layer, a, b] == pytest.approx(cosines.mean(), abs=1e-6)


def test_text_length_is_that_of_the_items_in_bytes(store: Store) -> None:
    (found,) = compared(store, items(), ("pearson",))
    lengths = [[len("".join(item.fields).encode()) for item in rows] for rows in items().values()]
    scores = found.components[0, 1, :, :, 0]
    design = standardized(np.array(lengths, dtype=float), axis=1)
    free = standardized(scores - (scores * design).sum(1, keepdims=True) * design, axis=1)
    np.testing.assert_allclose(found.alignments[1].value[0, 1], free @ free.T, atol=1e-6)
    assert found.alignments[1].metric == "pearson-partial"


def test_is_made_once_and_anew_when_a_trace_or_a_text_changes(store: Store) -> None:
    first = compared(store, items(), METRICS)[0]
    again = compared(store, items(), METRICS)[0]
    assert made(store) == 1
    np.testing.assert_array_equal(first.alignments[0].value, again.alignments[0].value)
    longer = {
        key: [replace(item, fields=(item.fields[0], item.fields[1] + "!")) for item in rows[:1]] + rows[1:]
        for key, rows in items().items()
    }
    compared(store, longer, METRICS)
    assert made(store) == 2
    traced(store, seed=1)
    assert not np.allclose(compared(store, items(), METRICS)[0].components, first.components)
    assert made(store) == 3


def test_what_is_stored_says_by_name_what_it_is(store: Store) -> None:
    (found,) = compared(store, items(), METRICS)
    arrays = read_arrays(store.run / "geometry" / "entailment.safetensors")
    assert set(arrays) == {"components", *(a.metric for a in found.alignments)}
    np.testing.assert_array_equal(arrays["cosine"][1], found.alignments[0].null_low)


def test_nothing_is_compared_in_one_language_or_by_no_metric(store: Store) -> None:
    alone = {key: rows for key, rows in items().items() if key[1] == "en"}
    assert compared(store, alone, METRICS) == ()
    assert compared(store, items(), ()) == ()
    check_metrics((), items(count=1))
    assert made(store) == 0


def test_one_item_and_an_unknown_metric_are_refused_before_anything_is_made() -> None:
    with pytest.raises(SpilloverError, match=r"analyze\.metrics: task 'entailment' has 1 item to compare"):
        check_metrics(METRICS, items(count=1))
    with pytest.raises(SpilloverError, match=r"analyze\.metrics: found 'ckaa'.*did you mean 'cka'"):
        check_metrics(("ckaa",), items())


def test_a_state_that_is_not_finite_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, "run")
    traced(store)
    broken = states("tuned", "de")
    broken["last"][2, 1, 0] = np.nan
    store.get_or_make(
        "trace",
        "broken",
        "traces/tuned/entailment/de.safetensors",
        lambda f: write_arrays(f / "de.safetensors", **broken),
    )
    with pytest.raises(SpilloverError, match="traces/tuned/entailment/de: layer 1 holds a state that is not finite"):
        compared(store, items(), METRICS)
    assert made(store) == 0


def test_arrays_come_back_whatever_their_order_in_memory(tmp_path: Path) -> None:
    turned = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)
    write_arrays(tmp_path / "a.safetensors", turned=turned)
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.safetensors")["turned"], turned)
    layers = list(read_layers(tmp_path / "a.safetensors", "turned"))
    np.testing.assert_array_equal(np.stack(layers, axis=1), turned)


def test_shuffles_are_the_same_each_time() -> None:
    np.testing.assert_array_equal(shuffled(7, 5).orders, shuffled(7, 5).orders)


def analysis(language_in_id: bool, patch: int, metrics: list[str]) -> dict[tuple[str, str], list[Item]]:
    """Return the items to trace of four reviews in two languages, with ids of each language alone or shared ones."""
    items = {
        ("sentiment", code): [
            Item("sentiment", f"{code} {number}" if language_in_id else str(number), code, ("text",), number % 2)
            for number in range(4)
        ]
        for code in ("en", "de")
    }
    chosen = {"patch": patch, "metrics": metrics, "limit": 4, "lenses": []}
    return items_to_trace(parse_experiment({"translate": {"to": ["de"]}, "analyze": chosen}, "test"), items)


@pytest.mark.parametrize(("patch", "metrics"), [(2, []), (0, ["cka"]), (2, ["cka"])])
def test_items_of_one_language_alone_are_neither_patched_nor_compared(patch: int, metrics: list[str]) -> None:
    with pytest.raises(SpilloverError, match="'sentiment' in de are no translations of those in other languages"):
        analysis(True, patch, metrics)
    assert set(analysis(False, patch, metrics)) == {("sentiment", "en"), ("sentiment", "de")}
    assert set(analysis(True, 0, [])) == {("sentiment", "en"), ("sentiment", "de")}
