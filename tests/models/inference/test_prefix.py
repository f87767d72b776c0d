"""Trees over a shared prefix against the plain model, one path at a time; and how batches are made."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from spillover.models.inference import probe
from spillover.models.inference.prefix import BATCH_TOKENS, MAX_PADDING, Prefix, PrefixReader, batches
from spillover.models.inference.trees import Tree, common_prefix, linear_tree
from spillover.models.load import load
from spillover.models.model import Model

pytestmark = pytest.mark.usefixtures("one_thread")

law = settings(max_examples=60, deadline=None, derandomize=True)
KINDS = ("llama", "qwen2", "mistral", "gemma3", "gpt_neox")
HEADER = tuple(range(40, 70))
"""Longer than the window of 16."""
FORK = Tree((7, 8, 9, 10, 11, 10, 12), (-1, 0, 1, 1, 3, 2, 0))
"""A body of two tokens, and three branches that leave it in two places."""


@pytest.fixture(scope="module")
def readers(tiny: Callable[[str], Path]) -> dict[str, PrefixReader]:
    return {kind: PrefixReader(load(str(tiny(kind)), "float32")) for kind in KINDS}


@pytest.fixture(params=KINDS)
def reader(request: pytest.FixtureRequest, readers: Mapping[str, PrefixReader]) -> PrefixReader:
    return readers[request.param]


def naive(model: Model, prefix: Sequence[int], tree: Tree) -> Tensor:
    """(tokens, d): for each token the last state of the plain sequence that leads to it."""
    states = []
    for node in range(len(tree.tokens)):
        path, at = [], node
        while at >= 0:
            path.append(tree.tokens[at])
            at = tree.parents[at]
        with torch.inference_mode():
            ids = torch.tensor([[*prefix, *reversed(path)]], device=model.device)
            states.append(model.backbone(ids, use_cache=False).last_hidden_state[0, -1])
    return torch.stack(states)


def check(reader: PrefixReader, prefix: Sequence[int], trees: Sequence[Tree]) -> None:
    seen: list[int] = []
    for batch, states in reader.read(prefix, trees):
        seen += batch
        for row, index in enumerate(batch):
            expected = naive(reader.model, prefix, trees[index])
            torch.testing.assert_close(states[row, : len(expected)], expected, atol=1e-4, rtol=1e-4)
    assert sorted(seen) == list(range(len(trees)))


def test_a_tree_is_read_as_its_paths(reader: PrefixReader) -> None:
    assert reader.shares
    check(reader, HEADER, [FORK, linear_tree(range(100, 130)), linear_tree([5])])


def test_without_a_prefix(reader: PrefixReader) -> None:
    check(reader, (), [FORK, linear_tree(range(100, 130)), linear_tree([5])])


def test_without_sharing(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "shares", False)
    check(reader, HEADER, [FORK, linear_tree(range(100, 130)), linear_tree([5])])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tokens = draw(st.lists(st.integers(0, 799), min_size=1, max_size=24))
    return Tree(tuple(tokens), (-1, *(draw(st.integers(0, node - 1)) for node in range(1, len(tokens)))))


@settings(law, max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(KINDS),
    prefix=st.lists(st.integers(0, 799), max_size=30),
    rows=st.lists(trees(), min_size=1, max_size=3),
)
def test_any_tree(readers: Mapping[str, PrefixReader], kind: str, prefix: list[int], rows: list[Tree]) -> None:
    check(readers[kind], prefix, rows)


def test_reading_leaves_the_prefix_as_it_was(reader: PrefixReader) -> None:
    """A model appends to the layers of one batch, never to the tensors that the next batch gets."""
    with torch.inference_mode():
        prefix = Prefix(reader.model, HEADER)
        before = [tensor.clone() for layer in prefix.layers for tensor in layer]
        first = prefix.read([FORK, linear_tree([1, 2, 3])])
        prefix.read([linear_tree(range(9))] * 3)
        assert torch.equal(prefix.read([FORK, linear_tree([1, 2, 3])]), first)
    after = [tensor for layer in prefix.layers for tensor in layer]
    assert all(map(torch.equal, before, after))


# --- twins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["sees-all-before", "sees-no-parent", "one-window-more"])
def test_fails_for_a_wrong_mask(
    readers: Mapping[str, PrefixReader], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Prefix.masks

    def wrong(self: Prefix, sees: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
        if fault == "one-window-more":
            return plain(self, sees, positions * 16 // 17)
        ones = torch.ones_like(sees)
        return plain(self, ones.tril() if fault == "sees-all-before" else sees & ~ones.tril(-1).triu(-1), positions)

    monkeypatch.setattr(Prefix, "masks", wrong)
    with pytest.raises(AssertionError):
        check(readers["mistral"], HEADER, [FORK, linear_tree(range(100, 130))])


def test_fails_for_a_branch_that_counts_its_index_as_its_position(
    reader: PrefixReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = reader.model.backbone
    forward, plain = backbone.forward, Prefix.read

    def by_index(*args: object, position_ids: Tensor, **kwargs: object) -> object:
        position_ids = position_ids[:, :1] + torch.arange(position_ids.shape[1], device=position_ids.device)
        return forward(*args, position_ids=position_ids, **kwargs)

    def read(self: Prefix, rows: Sequence[Tree]) -> Tensor:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(backbone, "forward", by_index)
            return plain(self, rows)

    monkeypatch.setattr(Prefix, "read", read)
    check(reader, HEADER, [linear_tree([1, 2, 3])])  # a plain sequence has nothing to confuse
    with pytest.raises(AssertionError):
        check(reader, HEADER, [FORK])


# --- sharing or not ---------------------------------------------------------------------------------------------------


def test_a_probe_that_disagrees_forbids_sharing(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(str(tiny("llama")), "float32")
    said: list[str] = []
    plain = Prefix.read
    monkeypatch.setattr(Prefix, "read", lambda self, rows: plain(self, rows) * 1.01)
    monkeypatch.setattr(probe, "notify", said.append)
    assert not PrefixReader(model).shares
    assert ["llama" in line and "cannot be shared" in line for line in said] == [True]


@pytest.mark.parametrize("error", [TypeError, ValueError, AttributeError, RuntimeError])
def test_a_probe_that_breaks_forbids_sharing(
    tiny: Callable[[str], Path], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Prefix, rows: Sequence[Tree]) -> Tensor:
        raise error

    monkeypatch.setattr(Prefix, "read", read)
    monkeypatch.setattr(probe, "notify", lambda line: None)
    assert not PrefixReader(load(str(tiny("llama")), "float32")).shares


def test_a_layer_of_another_kind_forbids_sharing(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(str(tiny("llama")), "float32")
    monkeypatch.setattr(probe, "notify", lambda line: None)
    model.config.layer_types = ["full_attention", "linear_attention", "full_attention"]
    assert not PrefixReader(model).shares


# --- batches ----------------------------------------------------------------------------------------------------------


@law
@given(st.lists(st.integers(1, 60), max_size=40), st.integers(0, 50), st.integers(1, 500))
def test_batches_are_a_partition_within_the_budget(lengths: list[int], prefix: int, budget: int) -> None:
    found = list(batches(lengths, prefix, budget))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert sum(max(lengths[i] for i in batch) - lengths[j] for j in batch) <= MAX_PADDING
        assert len(batch) == 1 or (prefix + max(lengths[i] for i in batch)) * len(batch) <= budget
    for longer, shorter in pairwise(found):
        assert min(lengths[i] for i in longer) >= max(lengths[i] for i in shorter)
        longest, following = max(lengths[i] for i in longer), max(lengths[i] for i in shorter)
        padded = sum(longest - lengths[i] for i in longer) + longest - following
        full = (prefix + longest) * (len(longer) + 1) > budget
        assert full or padded > MAX_PADDING, "a batch that had room was closed"


def test_the_budget_of_the_reader_counts_the_prefix(readers: Mapping[str, PrefixReader]) -> None:
    reader = readers["llama"]
    assert reader.budget == BATCH_TOKENS * (32 if torch.cuda.is_available() else 1)
    reader.budget, before = 3 * (len(HEADER) + 4), reader.budget
    try:
        sizes = [len(batch) for batch, _ in reader.read(HEADER, [linear_tree([1, 2, 3, 4])] * 7)]
    finally:
        reader.budget = before
    assert sizes == [3, 3, 1]


def test_a_batch_is_halved_until_it_fits(readers: Mapping[str, PrefixReader], monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for two rows: nothing is lost, nothing comes twice, and the numbers stay."""
    plain, tried = Prefix.read, []

    def read(self: Prefix, rows: Sequence[Tree]) -> Tensor:
        tried.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError
        return plain(self, rows)

    monkeypatch.setattr(Prefix, "read", read)
    check(readers["gemma3"], HEADER, [FORK, *(linear_tree(range(n)) for n in range(1, 7))])
    assert max(tried) == 7
    assert tried[-1] <= 2


def test_a_row_that_never_fits_ends_the_reading(
    readers: Mapping[str, PrefixReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Prefix, rows: Sequence[Tree]) -> Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Prefix, "read", read)
    with pytest.raises(torch.OutOfMemoryError):
        list(readers["llama"].read(HEADER, [FORK, FORK]))


# --- common prefix ----------------------------------------------------------------------------------------------------

few = st.lists(st.integers(0, 2), max_size=6)


@law
@given(st.lists(few, min_size=1, max_size=5))
def test_common_prefix(sequences: list[list[int]]) -> None:
    length = common_prefix(sequences)
    assert len({tuple(sequence[:length]) for sequence in sequences}) == 1
    assert all(len(sequence) >= length for sequence in sequences)
    longer = {tuple(sequence[: length + 1]) for sequence in sequences}
    assert len(longer) > 1 or min(map(len, sequences)) == length


def test_common_prefix_of_all_the_same() -> None:
    assert common_prefix([[1, 2], [1, 2]]) == 2
    assert common_prefix(iter([(4, 5, 6)])) == 3
