"""Where a label begins, what a cell shares, and label tries: laws over token ids, with a tokenizer of a few words."""

import re
from collections.abc import Sequence
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from spillover.errors import SpilloverError
from spillover.models.inference.encode import (
    Encoded,
    LabelTree,
    cut_at_divergence,
    encode,
    first_token_ids,
    label_tree,
    shared_prefix,
)
from spillover.models.model import Model
from spillover.records import Prompt

law = settings(max_examples=60, deadline=None, derandomize=True)
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


class Words:
    """A model's tokenizer: the longest of its few words that comes next, else a character."""

    def __init__(self, *words: str, context: int = 1000) -> None:
        self.context, self.calls = context, 0
        self._next = re.compile("|".join([*map(re.escape, sorted(words, key=len, reverse=True)), "."]), re.DOTALL)

    def render(self, prompt: Prompt, dropped: int = 0) -> str:
        return "".join(prompt.exemplars[dropped:]) + prompt.body

    def format_answer(self, text: str) -> str:
        return text

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        self.calls += 1
        return [[token(word) for word in self._next.findall(text)] for text in texts]


def model_of(*words: str, context: int = 1000) -> Any:  # noqa: ANN401 - encoding needs no more of a `Model`
    return Words(*words, context=context)


def token(word: str) -> int:
    return int.from_bytes(word.encode())


def words(ids: Sequence[int]) -> list[str]:
    return [id.to_bytes((id.bit_length() + 7) // 8).decode() for id in ids]


def ask(body: str, *choices: str, exemplars: tuple[str, ...] = ()) -> Prompt:
    return Prompt(exemplars, body, choices)


# --- encode -----------------------------------------------------------------------------------------------------------


def test_a_cell_is_tokenized_in_one_call() -> None:
    model = model_of()
    found = encode(model, [ask("ab:", "x", "yz", exemplars=("E",)), ask("c:", "x", "yz", exemplars=("E",))], "error")
    assert model.calls == 1
    assert [words(item.prompt) for item in found] == [list("Eab:"), list("Ec:")]
    assert [[words(choice) for choice in item.choices] for item in found] == [
        [list("Eab:x"), list("Eab:yz")],
        [list("Ec:x"), list("Ec:yz")],
    ]
    assert [item.dropped for item in found] == [0, 0]


def test_the_boundary_moves_back_for_all_where_one_label_merges() -> None:
    """`: ` + `good` is `:`, ` good`; `: ` + `好` is `:`, ` `, `好`."""
    for choices in (("good", "好"), ("好", "good")):
        (item,) = encode(model_of(" good"), [ask("Q: ", *choices)], "error")
        assert item.boundary == 2
        assert {"".join(words(choice[item.boundary :])) for choice in item.choices} == {" good", " 好"}


def test_a_token_that_straddles_header_and_body_stays_whole() -> None:
    found = encode(model_of("\nRe"), [ask(f"Re{x}:", " a", " b", exemplars=("E\n",)) for x in "12"], "error")
    assert words(found[0].prompt) == ["E", "\nRe", "1", ":"]
    assert shared_prefix(found) == 2


@law
@given(
    st.lists(st.integers(1, 9), max_size=4), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(12, 40)
)
def test_exemplars_are_dropped_oldest_first_and_no_more_than_must(
    lengths: list[int], bodies: list[int], context: int
) -> None:
    exemplars = tuple(str(place) * length for place, length in enumerate(lengths))
    asked = [ask("b" * body + ":", "x", "yy", exemplars=exemplars) for body in bodies]
    for body, item in zip(bodies, encode(model_of(context=context), asked, "drop-exemplars"), strict=True):
        room = context - (body + 1 + 2)
        fitting = [drop for drop in range(len(lengths) + 1) if sum(lengths[drop:]) <= room]
        assert item.dropped == min(fitting)
        assert "".join(words(item.prompt)) == "".join(exemplars[item.dropped :]) + "b" * body + ":"


def test_what_does_not_fit_is_refused_in_one_sentence() -> None:
    asked = [ask("b:", "x", "yy", exemplars=("E",)), ask("bbbb:", "x", "yy", exemplars=("E",))]
    assert [item.dropped for item in encode(model_of(context=7), asked, "drop-exemplars")] == [0, 1]
    with pytest.raises(SpilloverError, match=r"prompt 1 has 8 tokens .* context is 7") as error:
        encode(model_of(context=7), asked, "error")
    assert "\n" not in str(error.value)
    with pytest.raises(SpilloverError, match="prompt 1 has 7 tokens without 1 exemplars"):
        encode(model_of(context=6), asked, "drop-exemplars")


# --- what is shared ---------------------------------------------------------------------------------------------------

few = st.integers(0, 2)
ids = st.lists(few, max_size=5).map(tuple)
label = st.lists(few, max_size=4).map(lambda inner: (*inner, 9))
"""It ends in a delimiter, so none is a prefix of another."""


@st.composite
def items(draw: st.DrawFn) -> Encoded:
    """A prompt that begins with 7, and choices that may have merged with its end."""
    prompt = (7, *draw(ids))
    kept = draw(st.integers(1, len(prompt)))
    labels = draw(st.lists(label, min_size=2, max_size=4, unique=True))
    return Encoded(prompt, tuple(prompt[:kept] + label for label in labels), 0)


@law
@given(st.lists(items(), min_size=1, max_size=4))
def test_the_shared_prefix_is_the_longest_that_leaves_each_item_a_token(cell: list[Encoded]) -> None:
    def possible(length: int) -> bool:
        begins = {choice[:length] for item in cell for choice in item.choices}
        return len(begins) == 1 and all(length < item.boundary for item in cell)

    assert shared_prefix(cell) == max(length for length in range(20) if possible(length))


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(SpilloverError, match="empty: expected at least one token before the label"):
        shared_prefix([Encoded((), ((1,), (2,)), 0)])


# --- tries ------------------------------------------------------------------------------------------------------------


def way(found: LabelTree, node: int) -> tuple[int, ...]:
    """The tokens from the row's first to this one."""
    tokens: tuple[int, ...] = ()
    while node >= 0:
        tokens, node = (found.tree.tokens[node], *tokens), found.tree.parents[node]
    return tokens


def check(item: Encoded, prefix: int, found: LabelTree) -> None:
    for choice, path in zip(item.choices, found.paths, strict=True):
        assert tuple(edge.token for edge in path) == choice[item.boundary :]
        for depth, edge in enumerate(path):
            assert way(found, edge.node) == choice[prefix : item.boundary + depth]
    inner = {choice[prefix:end] for choice in item.choices for end in range(item.boundary + 1, len(choice))}
    assert len(found.tree.tokens) == item.boundary - prefix + len(inner), "each shared token is read once, no last one"
    assert all(parent < node for node, parent in enumerate(found.tree.parents))


@law
@given(items(), st.data())
def test_a_path_spells_its_choice(item: Encoded, data: st.DataObject) -> None:
    prefix = data.draw(st.integers(0, item.boundary - 1))
    check(item, prefix, label_tree(item, prefix))


def test_a_path_through_a_wrong_parent_is_caught() -> None:
    item = Encoded((7,), ((7, 1, 2, 9), (7, 1, 3, 9), (7, 4, 9)), 0)
    found = label_tree(item, 0)
    check(item, 0, found)
    tokens, parents = found.tree.tokens, found.tree.parents
    for wrong in ((-1, 0, 1, 2, 0), (-1, 0, 1, 1, 1), (-1, 0, 0, 1, 0)):
        assert wrong != parents
        with pytest.raises(AssertionError):
            check(item, 0, LabelTree(type(found.tree)(tokens, wrong), found.paths))


def test_labels_of_one_token_add_nothing_to_the_row() -> None:
    found = label_tree(Encoded((7, 8), ((7, 8, 1), (7, 8, 2)), 0), 1)
    assert found.tree.tokens == (8,)
    assert [[(edge.node, edge.token) for edge in path] for path in found.paths] == [[(0, 1)], [(0, 2)]]


# --- first tokens -----------------------------------------------------------------------------------------------------


def test_starts_are_the_single_tokens_that_spell_a_beginning() -> None:
    """` goo` takes two tokens; a blank by itself begins no word; the delimiter is no part of one."""
    model = model_of(" g", " go", " good", " good\n", " b")
    found = first_token_ids(model, ask("Q:", " good\n\n", " bad\n\n", " 好\n\n"))
    assert [set(words(tokens)) for tokens in found] == [{" g", " go", " good"}, {" b"}, set()]


@law
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5).map(lambda c: (7, *c, 9)), min_size=1, max_size=6))
def test_choices_are_cut_where_they_are_first_cut(choices: list[tuple[int, ...]]) -> None:
    """The shortest beginning that no different choice has; equal choices are cut alike, the boundary stays."""
    encoded = Encoded((7,), tuple(choices), 0)
    found = cut_at_divergence(encoded)
    assert found.boundary == encoded.boundary
    for whole, cut in zip(choices, found.choices, strict=True):
        others = {other for other in choices if other != whole}
        assert whole[: len(cut)] == cut
        assert all(other[: len(cut)] != cut for other in others)
        assert not others or any(other[: len(cut) - 1] == cut[:-1] for other in others)


# --- chat templates and BOS -------------------------------------------------------------------------------------------


def with_bos(tokenizer: PreTrainedTokenizerFast, chat: bool) -> Model:
    """A model whose tokenizer puts a BOS before every text, and whose chat template writes one too."""
    from tokenizers.processors import TemplateProcessing

    own = deepcopy(tokenizer)
    own.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", own.bos_token_id)]
    )
    own.chat_template = TEMPLATE
    config = SimpleNamespace(max_position_embeddings=1000)
    network = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config))
    return Model(network=network, tokenizer=own, chat=chat)


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        (False, "<s>Q: good or bad? good\n\n"),
        (True, "<s><user>Q: good or bad?<end>\n<assistant>good<end>\n"),
    ],
)
def test_a_prompt_as_the_model_sees_it(tokenizer: PreTrainedTokenizerFast, chat: bool, said: str) -> None:
    """In a chat the answer ends its turn where it would else end with a blank line; there is one BOS either way."""
    model = with_bos(tokenizer, chat)
    (item,) = encode(model, [ask("good or bad?", " good\n\n", " bad\n\n", exemplars=("Q: ",))], "error")
    assert model.tokenizer.decode(item.choices[0]) == said
    assert item.prompt.count(model.tokenizer.bos_token_id) == 1
    assert item.boundary == len(item.prompt)


def test_a_template_that_ends_a_turn_with_nothing_gets_the_end_of_text(tokenizer: PreTrainedTokenizerFast) -> None:
    model = with_bos(tokenizer, chat=True)
    model.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert model.format_answer(" good\n\n") == "good</s>"
