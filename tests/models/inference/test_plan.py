"""What sequences share: everything is read once and in its own context, and sharing is found where it pays."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.models.inference import plan as module
from spillover.models.inference.plan import PlanGroup, plan
from spillover.models.inference.trees import common_prefix

SETUP = 32
SHOTS = tuple(range(500))


def planned(sequences: Sequence[Sequence[int]], scored: int = 1) -> list[PlanGroup]:
    """Plan sequences of which the last `scored` states are wanted."""
    return plan(sequences, [len(tokens) - scored for tokens in sequences], SETUP)


def texts(groups: Sequence[PlanGroup]) -> dict[int, list[tuple[int, ...]]]:
    """Return what stands, for each sequence, on the way from the first token to its end: walked from the end up."""
    found: dict[int, list[tuple[int, ...]]] = {}
    for group in groups:
        for row in group.rows:
            assert all(parent < place for place, parent in enumerate(row.tree.parents))
            for index, path in row.paths.items():
                walked, node = [], path[-1]
                while node >= 0:
                    walked.append(node)
                    node = row.tree.parents[node]
                assert tuple(walked[::-1]) == path
                found.setdefault(index, []).append(group.prefix + tuple(row.tree.tokens[node] for node in path))
    return found


def tokens_read(groups: Sequence[PlanGroup]) -> int:
    return sum(len(group.prefix) + sum(len(row.tree.tokens) for row in group.rows) for group in groups)


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=9), st.integers(1, 9)), min_size=1),
    st.integers(0, 20),
)
def test_every_sequence_is_read_once_as_it_is(asked: list[tuple[list[int], int]], setup: int) -> None:
    sequences = [tokens for tokens, _ in asked]
    limits = [max(0, len(tokens) - scored) for tokens, scored in asked]
    groups = plan(sequences, limits, setup)
    assert texts(groups) == {index: [tuple(tokens)] for index, tokens in enumerate(sequences)}
    for group in groups:
        for row in group.rows:
            assert all(len(group.prefix) <= limits[index] for index in row.paths), "a wanted state is in the prefix"
            branches = list(zip(row.tree.parents, row.tree.tokens, strict=True))
            assert len(set(branches)) == len(branches), "a row reads something twice"


def test_nothing_asked_is_nothing_read() -> None:
    assert plan([], [], SETUP) == []


def test_fixed_shots_are_encoded_once() -> None:
    groups = planned([(*SHOTS, 1000 + item, *range(20)) for item in range(30)])
    assert [group.prefix for group in groups] == [SHOTS]
    assert len(groups[0].rows) == 30


def test_each_subject_has_a_prefix_of_its_own() -> None:
    """MMLU: all subjects are asked at once, begin with the same words, and differ in their shots."""
    sequences = [(7, 8, subject, *SHOTS, item, *range(30)) for subject in (100, 200, 300) for item in range(600, 620)]
    groups = planned(sequences)
    assert sorted(group.prefix for group in groups) == [(7, 8, subject, *SHOTS) for subject in (100, 200, 300)]
    assert all(len(group.rows) == 20 for group in groups)


def test_choices_of_a_question_and_questions_of_a_passage_share_a_row() -> None:
    passage = range(100, 200)
    sequences = [(*passage, question, *choice) for question in (1, 2) for choice in ((5, 6), (5, 7, 8), (9,))]
    (group,) = planned(sequences)
    assert len(group.rows) == 1
    assert tokens_read([group]) == len(passage) + 2 * (1 + len({5, 6, 7, 8, 9}))


def test_a_shared_beginning_that_is_wanted_stays_in_the_row() -> None:
    """XNLI: no context, so the premise that three choices share is scored itself."""
    premise = range(100, 140)
    (group,) = planned([(0, *premise, word, 9) for word in (1, 2, 3)], scored=43)
    assert group.prefix == ()
    assert tokens_read([group]) == 1 + 40 + 3 * 2


def test_what_shares_nothing_makes_one_batch() -> None:
    (group,) = planned([(item, *range(30)) for item in range(50)])
    assert group.prefix == ()
    assert len(group.rows) == 50


def test_a_row_does_not_grow_without_bound() -> None:
    """Two hundred items that share three words are rows of their own: in one, each would look at all the others."""
    (group,) = planned([(1, 2, 3, 1000 + item, *range(20)) for item in range(200)])
    assert max(len(row.tree.tokens) for row in group.rows) < 60


def test_one_prefix_more_must_pay() -> None:
    """A prefix of ten tokens for two rows saves ten; a call of the network costs more."""
    sequences = [(*range(10), item, *range(100)) for item in (200, 300)]
    assert len(plan(sequences, [105, 105], setup=1000)[0].prefix) == 0
    assert len(plan(sequences, [105, 105], setup=0)[0].prefix) == 10


def test_texts_that_grow_word_by_word() -> None:
    sequences = [tuple(range(end)) for end in range(1, 1500)]
    groups = planned(sequences)
    assert sorted(texts(groups)) == list(range(len(sequences)))


def test_fails_for_a_lost_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "common_prefix", lambda sequences: common_prefix(sequences) + 1)
    with pytest.raises((AssertionError, IndexError)):
        assert texts(planned([(1, 2, 3, 4), (1, 2, 5, 6)])) == {0: [(1, 2, 3, 4)], 1: [(1, 2, 5, 6)]}
