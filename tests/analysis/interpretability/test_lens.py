"""Lenses against a plain softmax over the whole vocabulary, state by state, in float64."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import entropy

from spillover.analysis.interpretability import lens as module
from spillover.analysis.interpretability.lens import TOP, Array, LensInput, LensOutput, TopTokens, apply_lens
from spillover.records import AffineLens

ITEMS, INNER, LAYERS, WIDTH, VOCABULARY, LABELS = 5, 4, 3, 8, 5000, 2


@dataclass
class Plain:
    """A readout: the norm halves, the vocabulary takes three blocks, the energy is the state's first number."""

    weight: Array

    @property
    def vocabulary(self) -> int:
        return len(self.weight)

    def normed(self, states: Array) -> Array:
        return np.asarray(states / 2, dtype=states.dtype)

    def logits(self, hidden: Array, tokens: slice | np.ndarray) -> Array:
        return hidden @ self.weight[tokens].T

    def energy(self, states: Array) -> Array:
        return states[:, 0]


@pytest.fixture
def readout() -> Plain:
    return Plain(np.random.default_rng(0).normal(size=(VOCABULARY, WIDTH)).astype(np.float32))


@pytest.fixture
def sight() -> LensInput:
    """Two labels: the first is one token in both languages, the second begins alike and parts at its second."""
    random = np.random.default_rng(1)
    nodes = np.full((ITEMS, 2 * LABELS, 2), -1)
    tokens = np.full((ITEMS, 2 * LABELS, 2), -1)
    nodes[:, :, 0] = np.arange(ITEMS)[:, None]
    nodes[:INNER, [1, 3], 1] = ITEMS + np.arange(INNER)[:, None]
    tokens[:, :, 0] = [7, 4999, 2048, 4999]
    tokens[:INNER, 1, 1], tokens[:INNER, 3, 1] = 11, 12
    tokens[INNER:, 3, 0] = 13  # the last item's tokens part at once
    return LensInput(
        last=random.normal(0, 2, size=(ITEMS, LAYERS, WIDTH)).astype(np.float32),
        inner=random.normal(0, 2, size=(INNER, LAYERS, WIDTH)).astype(np.float32),
        nodes=nodes,
        tokens=tokens,
        gold=np.array([0, 1, 1, 0, 1]),
        same=False,
    )


def identity(layers: int = LAYERS) -> AffineLens:
    empty = np.zeros((layers, WIDTH, 0), np.float32)
    return AffineLens(empty, empty.transpose(0, 2, 1), np.zeros((layers, WIDTH), np.float32))


def naive(sight: LensInput, readout: Plain) -> LensOutput:
    """Item by item, layer by layer, answer by answer."""
    found: dict[str, Any] = {name: np.zeros((ITEMS, LAYERS)) for name in LensOutput.__slots__}
    states = np.concatenate([sight.last, sight.inner]).astype(np.float64)
    for item in range(ITEMS):
        for layer in range(LAYERS):
            logp = [log_softmax(readout.weight.astype(np.float64) @ state[layer] / 2) for state in states]
            answers = []
            for choice in range(2 * LABELS):
                steps = zip(sight.nodes[item, choice], sight.tokens[item, choice], strict=True)
                answers.append(np.exp(sum(logp[node][token] for node, token in steps if node >= 0)))
            gold, here = sight.gold[item], np.exp(logp[item])
            right = {"english": gold, "native": LABELS + gold}
            for name, choice in right.items():
                found[name][item, layer] = answers[choice]
                found[f"{name}_rank"][item, layer] = 1 + (here > here[sight.tokens[item, choice, 0]]).sum()
            found["all_english"][item, layer] = sum(answers[:LABELS])
            found["all_native"][item, layer] = sum(answers[LABELS:])
            found["entropy"][item, layer] = entropy(here, base=2)
            found["energy"][item, layer] = sight.last[item, layer, 0]
    return LensOutput(**found)


def output(sight: LensInput, readout: Plain) -> LensOutput:
    return apply_lens(sight, identity(), readout)[0]


def check(sight: LensInput, readout: Plain) -> None:
    found, expected = output(sight, readout), naive(sight, readout)
    for name in LensOutput.__slots__:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=2e-4, atol=1e-7, err_msg=name)


def test_equals_a_plain_softmax(sight: LensInput, readout: Plain) -> None:
    check(sight, readout)


@pytest.mark.parametrize(("rows", "columns"), [(2, 2048), (512, 1), (7, 4999), (512, 6000)])
def test_blocks_change_nothing(
    sight: LensInput, readout: Plain, rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "COLUMNS", columns)
    check(sight, readout)


@pytest.mark.parametrize("fault", ["a token short", "without inner steps", "norm left out"])
def test_fails_for_a_broken_twin(sight: LensInput, readout: Plain, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stream = module.apply_lens, module.stream
    if fault == "a token short":
        monkeypatch.setattr(module, "stream", lambda h, r, marks, _: stream(h, replace(r, weight=r.weight[:-1]), marks))
    elif fault == "without inner steps":
        short = replace(sight, nodes=np.where([True, False], sight.nodes, -1))
        monkeypatch.setitem(globals(), "apply_lens", lambda _, lens, readout: whole(short, lens, readout))
    else:
        monkeypatch.setattr(Plain, "normed", lambda self, states: states)
    with pytest.raises(AssertionError):
        check(sight, readout)


@dataclass
class Slow(Plain):
    """A readout that waits, so that a pool starts all its threads, and notes them."""

    seen: set[int]

    def logits(self, hidden: Array, tokens: slice | np.ndarray) -> Array:
        time.sleep(0.002)
        self.seen.add(threading.get_ident())
        return super().logits(hidden, tokens)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_lens_computes_with_the_threads_of_the_run(
    readout: Plain, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many cores there are."""
    monkeypatch.setattr(module, "threads_in_use", lambda: threads)
    slow = Slow(readout.weight, set())
    module.stream(np.ones((4 * module.ROWS, WIDTH), dtype=np.float32), slow, np.zeros((4 * module.ROWS, 1), np.float32))
    assert len(slow.seen) == threads


def test_huge_logits_neither_overflow_nor_turn_into_nan(sight: LensInput, readout: Plain) -> None:
    found = output(replace(sight, last=sight.last * 1e4, inner=sight.inner * 1e4), readout)
    for name in LensOutput.__slots__:
        assert np.isfinite(getattr(found, name)).all(), name
    assert found.entropy.min() >= 0
    assert found.entropy.max() < 0.1


def test_equal_logits_have_the_entropy_of_the_vocabulary(sight: LensInput, readout: Plain) -> None:
    found = output(replace(sight, last=sight.last * 0), readout)
    np.testing.assert_allclose(found.entropy, np.log2(VOCABULARY), rtol=1e-6)
    assert (found.english_rank == 1).all(), "none is above"


def test_an_answer_that_is_the_same_word_in_both_cannot_be_told(sight: LensInput, readout: Plain) -> None:
    """Unless the input is English itself, where both are the same word throughout."""
    tokens = sight.tokens.copy()
    tokens[:, 2] = tokens[:, 0]
    found = output(replace(sight, tokens=tokens), readout)
    for name in ("english", "native"):
        assert (np.isnan(getattr(found, name)).all(axis=1) == (sight.gold == 0)).all()
    assert np.isfinite(found.all_native).all()
    itself = output(replace(sight, tokens=tokens, same=True), readout)
    assert np.isfinite(itself.english).all()


def test_a_lens_is_applied_layer_by_layer(sight: LensInput, readout: Plain) -> None:
    random = np.random.default_rng(2)
    down, up = random.normal(size=(LAYERS, WIDTH, 2)), random.normal(size=(LAYERS, 2, WIDTH))
    bias = random.normal(size=(LAYERS, WIDTH))
    affine = AffineLens(*(part.astype(np.float32) for part in (down, up, bias)))

    def moved(states: Array) -> Array:
        return np.stack(
            [h + h @ (affine.down[i] @ affine.up[i]) + affine.bias[i] for i, h in enumerate(states.transpose(1, 0, 2))],
            axis=1,
        )

    expected = output(replace(sight, last=moved(sight.last), inner=moved(sight.inner)), readout)
    found, _ = apply_lens(sight, affine, readout)
    np.testing.assert_allclose(found.entropy, expected.entropy, rtol=1e-3)
    assert not np.allclose(found.entropy, output(sight, readout).entropy, rtol=1e-2)


def check_top(sight: LensInput, readout: Plain, explored: int) -> TopTokens:
    """Compare with a sort of the whole softmax, state by state; of equal tokens the lowest id is first."""
    _, top = apply_lens(sight, identity(), readout, explored)
    assert top.tokens.shape == top.probabilities.shape == (min(explored, ITEMS), LAYERS, min(TOP, len(readout.weight)))
    for item, layer in np.ndindex(top.tokens.shape[:2]):
        logits = readout.weight.astype(np.float64) @ sight.last[item, layer].astype(np.float64) / 2
        order = np.lexsort((np.arange(len(logits)), -logits))[:TOP]
        assert top.tokens[item, layer].tolist() == order.tolist()
        expected = np.exp(log_softmax(logits))[order]
        np.testing.assert_allclose(top.probabilities[item, layer], expected, rtol=2e-4)
    return top


@pytest.mark.parametrize("explored", [0, 1, 3, ITEMS, ITEMS + 1])
@pytest.mark.parametrize(("rows", "columns"), [(128, 2048), (2, 2048), (4, 3), (512, 6000)])
def test_the_likeliest_tokens_are_those_of_a_sorted_softmax(
    sight: LensInput, readout: Plain, rows: int, columns: int, explored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "COLUMNS", columns)
    check_top(sight, readout, explored)


def test_of_equal_tokens_the_first_is_the_likeliest(sight: LensInput, readout: Plain) -> None:
    """Every token has a twin in another block of the vocabulary, and one layer knows nothing at all."""
    last = sight.last.copy()
    last[:, 0] = 0
    doubled = replace(readout, weight=np.concatenate([readout.weight, readout.weight]))
    top = check_top(replace(sight, last=last), doubled, ITEMS)
    assert (top.tokens[:, 0] == np.arange(TOP)).all()
    assert (top.tokens[:, 1:, 1] == top.tokens[:, 1:, 0] + VOCABULARY).all()


def test_a_vocabulary_of_three_has_three_likeliest_tokens(sight: LensInput, readout: Plain) -> None:
    tokens = np.where(sight.tokens >= 0, sight.tokens % 3, -1)
    check_top(replace(sight, tokens=tokens), replace(readout, weight=readout.weight[:3]), ITEMS)


TWINS: dict[str, Callable[[Array, Plain], tuple[Array, Plain]]] = {
    "one part of the vocabulary": lambda hidden, readout: (hidden, replace(readout, weight=readout.weight[:2048])),
    "states of the last items": lambda hidden, readout: (hidden[::-1], readout),
    "norm left out": lambda hidden, readout: (hidden * 2, readout),
}
"""Fault → what the most probable tokens are wrongly taken from."""


@pytest.mark.parametrize("fault", TWINS)
def test_the_likeliest_tokens_fail_for_a_broken_twin(
    sight: LensInput, readout: Plain, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = module.stream
    monkeypatch.setattr(
        module,
        "stream",
        lambda hidden, readout, marks, explored: stream(*TWINS[fault](hidden, readout), marks, explored),
    )
    with pytest.raises(AssertionError):
        check_top(sight, readout, ITEMS)
