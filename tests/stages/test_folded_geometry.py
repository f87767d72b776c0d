"""From the traces of more than forty languages to a `FoldedGeometry`, and to the files with every pair."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from spillover.languages import known_languages
from spillover.records import Item
from spillover.stages.geometry import compare_languages
from spillover.store import Store, read_arrays, write_arrays

CODES = ("en", "de", *[code for code in known_languages() if code not in ("en", "de")][:40])
ARMS, ITEMS, LAYERS, WIDTH = ("base", "tuned"), 5, 3, 4
METRICS = ("cosine", "dali")


def items() -> dict[tuple[str, str], list[Item]]:
    return {
        ("sentiment", code): [Item("sentiment", str(n), code, (f"{code} {'o' * n}",), 0) for n in range(ITEMS)]
        for code in CODES
    }


def states(arm: str, language: str) -> dict[str, np.ndarray]:
    random = np.random.default_rng([len(arm), CODES.index(language)])
    return {name: random.normal(size=(ITEMS, LAYERS, WIDTH)).astype(np.float32) for name in ("last", "body_mean")}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run folder with the traces of both arms."""
    made = Store(tmp_path_factory.mktemp("runs"), "run")
    for arm in ARMS:
        for code in CODES:
            name = f"{code}.safetensors"

            def write(folder: Path, name: str = name, arrays: Mapping[str, np.ndarray] = states(arm, code)) -> None:
                write_arrays(folder / name, **arrays)

            made.get_or_make("trace", [arm, code], f"traces/{arm}/sentiment/{name}", write)
    return made


def cosine(arm: str, one: str, other: str, layer: int) -> float:
    x, y = (states(arm, code)["body_mean"][:, layer].astype(np.float64) for code in (one, other))
    return float(((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)).mean())


def test_means_and_pairs_are_of_their_arm_layer_and_language(store: Store) -> None:
    whole, (folded,) = compare_languages(store, ARMS, items(), METRICS, "en", ("de",))
    assert not whole
    assert (folded.task, folded.arms, folded.languages, folded.items) == ("sentiment", ARMS, CODES, ITEMS)
    assert [alignment.metric for alignment in folded.alignments] == ["cosine", "cosine-partial"], "dali needs contexts"
    assert folded.pair_layers == (0, 1, 2)
    assert folded.centers.shape == (2, LAYERS, len(CODES), 2)
    of_cosine = folded.alignments[0]
    for arm, name in enumerate(ARMS):
        for layer in range(LAYERS):
            assert folded.pairs[0, arm, layer, 3, 7] == pytest.approx(cosine(name, CODES[3], CODES[7], layer), abs=1e-5)
            means = dict(zip(folded.groups, of_cosine.value[arm, layer, :, 3], strict=True))
            others = [cosine(name, CODES[3], code, layer) for code in CODES if code != CODES[3]]
            assert means["all"] == pytest.approx(np.mean(others), abs=1e-5)
            assert means["pivot"] == pytest.approx(cosine(name, CODES[3], "en", layer), abs=1e-5)
            assert means["tuned"] == pytest.approx(cosine(name, CODES[3], "de", layer), abs=1e-5)
    assert np.isnan(of_cosine.value[:, :, folded.groups.index("pivot"), 0]).all(), "the pivot beside itself"
    assert (of_cosine.null_low[:, :, 0] < of_cosine.null_high[:, :, 0]).all()


def test_every_pair_of_every_layer_is_in_the_run_folder(store: Store) -> None:
    _, (folded,) = compare_languages(store, ARMS, items(), METRICS, "en", ("de",))
    for layer in range(LAYERS):
        table = read_arrays(store.run / "geometry" / "sentiment" / f"layer-{layer:03}.safetensors")["cosine"]
        assert table.shape == (3, 2, len(CODES), len(CODES))
        np.testing.assert_array_equal(table[0], folded.pairs[0, :, layer])
        assert table[0, 1, 2, 9] == pytest.approx(cosine("tuned", CODES[2], CODES[9], layer), abs=1e-5)


def test_is_made_once_and_anew_for_other_languages_tuned_on(store: Store) -> None:
    for tuned_on in (("de",), ("de",), ("de", "fr")):
        compare_languages(store, ARMS, items(), METRICS, "en", tuned_on)
    assert len([path for path in store.stages.glob("folded-geometry-*") if path.is_dir()]) == 2
