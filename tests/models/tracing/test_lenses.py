"""The tuned lens against the logit lens: nearer to the model's own output, on prompts it has not seen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from spillover.analysis.interpretability.lens import Array, apply_affine
from spillover.errors import SpilloverError
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.tracing import lenses as module
from spillover.models.tracing.lenses import logit, tuned
from spillover.models.tracing.readout import Readout
from spillover.models.tracing.trace import trace
from spillover.records import AffineLens, Prompt
from spillover.sources import open_source
from spillover.tasks import open_task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def reader(tiny: Callable[[str], Path]) -> PrefixReader:
    return PrefixReader(load(str(tiny("llama")), "float32"))


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    """Sixty reviews each of two languages, shuffled."""
    task, source = open_task("sentiment"), open_source("starter", {}, "test")
    found = [task.prompt(item, "native") for code in ("en", "de") for item in source.items(task, code)]
    return [found[index] for index in np.random.default_rng(0).permutation(len(found))]


@pytest.fixture(scope="module")
def fitted(reader: PrefixReader, prompts: list[Prompt]) -> AffineLens:
    return tuned(reader, prompts[:90], 0)


def distances(reader: PrefixReader, prompts: list[Prompt], lens: AffineLens) -> Array:
    """(layers,) mean KL of a lens to the output over the whole vocabulary, in nats, prompt by prompt in float64."""
    readout, whole = Readout(reader.model), slice(0, len(reader.model.unembedding.weight))
    found = []
    for prompt in prompts:
        last = trace(reader, [prompt]).last
        output = log_softmax(readout.logits(last[0, -1:], whole)[0].astype(np.float64))
        moved = apply_affine(last[:, :-1], lens)[0]
        spoken = log_softmax(readout.logits(readout.normed(moved), whole).astype(np.float64), axis=1)
        found.append((np.exp(output) * (output - spoken)).sum(axis=1))
    return np.mean(found, axis=0)


def test_a_tuned_lens_is_nearer_to_the_output_at_every_layer_but_the_last(
    reader: PrefixReader, prompts: list[Prompt], fitted: AffineLens
) -> None:
    plain = distances(reader, prompts[90:], logit(reader, [], 0))
    found = distances(reader, prompts[90:], fitted)
    assert (found[:-1] < 0.8 * plain[:-1]).all()
    assert plain[-1] == pytest.approx(0, abs=1e-6)
    assert found[-1] == pytest.approx(0, abs=1e-6), "nothing is nearer than the identity"


def test_fails_for_a_lens_a_layer_off(reader: PrefixReader, prompts: list[Prompt], fitted: AffineLens) -> None:
    off = AffineLens(*(np.roll(part, 1, axis=0) for part in (fitted.down, fitted.up, fitted.bias)))
    assert distances(reader, prompts[90:], off)[:-1].sum() > distances(reader, prompts[90:], fitted)[:-1].sum()


def test_the_logit_lens_is_the_identity(reader: PrefixReader) -> None:
    states = np.random.default_rng(0).normal(size=(5, 4, 32)).astype(np.float32)
    np.testing.assert_array_equal(apply_affine(states, logit(reader, [], 0)), states)


def test_the_same_seed_gives_the_same_lens(reader: PrefixReader, prompts: list[Prompt]) -> None:
    first, again, other = (tuned(reader, prompts[:30], seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.bias, again.bias)
    assert not np.array_equal(first.bias, other.bias)


def test_the_sampled_loss_is_that_of_the_whole_vocabulary_where_all_of_it_is_sampled(
    reader: PrefixReader, prompts: list[Prompt]
) -> None:
    states = module.body_states(reader, prompts[:4])
    loss = module.SampledLoss(reader.model, states[:, -1], 0)
    found = loss(states[:, :-1], loss.target(states[:, -1])).detach().numpy()
    assert len(loss.tokens) == len(reader.model.unembedding.weight)
    np.testing.assert_allclose(found, distances(reader, prompts[:4], logit(reader, [], 0)), rtol=1e-3, atol=1e-5)


def test_too_few_prompts_are_refused(reader: PrefixReader, prompts: list[Prompt]) -> None:
    with pytest.raises(SpilloverError, match=r"not analyzed and found 19, expected at least 20; lower analyze.limit"):
        tuned(reader, prompts[:19], 0)
