"""Scores against a naive loop: one sequence at a time, no cache, a full log-softmax; and twins that must fail."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from spillover.errors import SpilloverError
from spillover.models.inference import probe
from spillover.models.inference.encode import encode
from spillover.models.inference.prefix import Prefix, PrefixReader
from spillover.models.inference.queries import plan_queries
from spillover.models.inference.trees import Tree
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.scoring.score import score, whole_choices
from spillover.records import Prompt
from spillover.sources import open_source
from spillover.tasks import open_task

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("llama", "qwen2", "mistral", "gemma3", "gpt_neox")
WINDOW = 16
"""Of the tiny models that have one; every header here but `SHORT` is longer."""
EXEMPLARS = (
    "Review: The room was clean and the staff were kind.\nFeeling: good\n\n",
    "Review: Der Zug kam zwei Stunden zu spät.\nFeeling: bad\n\n",
)
SHORT = ("Good or bad?\n",)
"""So short that its first token is within every model's sight."""
REVIEWS = ("Ok", "ไม่ดีเลย", "这家餐厅的汤很好喝，服务员也很热情。" * 3, "I waited. " * 9, "Nie 😀 działa")


@pytest.fixture(scope="module")
def readers(tiny: Callable[[str], Path]) -> dict[str, PrefixReader]:
    return {kind: PrefixReader(load(str(tiny(kind)), "float32")) for kind in KINDS}


@pytest.fixture(params=KINDS)
def reader(request: pytest.FixtureRequest, readers: Mapping[str, PrefixReader]) -> PrefixReader:
    return readers[request.param]


@pytest.fixture
def llama(readers: Mapping[str, PrefixReader]) -> PrefixReader:
    return readers["llama"]


def asking(labels: Sequence[str], exemplars: tuple[str, ...] = EXEMPLARS) -> list[Prompt]:
    return [
        Prompt(exemplars, f"Review: {review}\nFeeling:", tuple(f" {label}\n\n" for label in labels))
        for review in REVIEWS
    ]


def prompts() -> list[Prompt]:
    """Bodies from a word to beyond the window; labels of 4 to 11 tokens, some that begin alike."""
    latin, thai = asking(("good", "bad", "good enough")), asking(("เชิงบวก", "เชิงลบ", "เป็นกลาง"))
    return [(latin, thai)[index % 2][index] for index in range(len(REVIEWS))]


def naive_steps(model: Model, prompt: Prompt) -> list[list[tuple[int, Tensor]]]:
    """For each choice (token, log-softmax before it) from where the first choice departs from the prompt's tokens."""
    text = model.apply_chat_template(prompt.header + prompt.body)
    asked = model.tokenize([text])[0]
    whole = [model.tokenize([text + model.format_answer(choice)])[0] for choice in prompt.choices]
    start = min(
        next((i for i, (a, b) in enumerate(zip(asked, ids, strict=False)) if a != b), len(asked)) for ids in whole
    )
    steps = []
    for ids in whole:
        with torch.inference_mode():
            sequence, kept = torch.tensor([ids], device=model.device), len(ids) - start + 1
            logits = model.network(sequence, use_cache=False, logits_to_keep=kept).logits[0]
        rows = torch.log_softmax(logits.double(), dim=-1)
        steps.append(list(zip(ids[start:], rows, strict=False)))  # the last row follows the last token
    return steps


def naive(model: Model, prompt: Prompt) -> list[float]:
    return [sum(row[token].item() for token, row in steps) for steps in naive_steps(model, prompt)]


def assert_close(found: Sequence[Sequence[float]], expected: Sequence[Sequence[float]]) -> None:
    for values, wanted in zip(found, expected, strict=True):
        assert values == pytest.approx(wanted, abs=1e-4, rel=0)


def check(reader: PrefixReader, asked: Sequence[Prompt]) -> None:
    assert_close(score(reader, asked).choices, [naive(reader.model, prompt) for prompt in asked])


def test_equals_the_naive_loop(reader: PrefixReader) -> None:
    assert reader.shares
    assert len(reader.model.tokenize(["".join(EXEMPLARS)])[0]) > WINDOW
    check(reader, prompts())


def test_normalized_scores_are_means_over_the_tokens_scored(llama: PrefixReader) -> None:
    asked = [replace(prompt, choices=(" the", " a.", " bad.", " positive")) for prompt in asking(())]
    expected = [
        [math.fsum(row[token].item() for token, row in steps) / len(steps) for steps in naive_steps(llama.model, p)]
        for p in asked
    ]
    assert_close(score(llama, asked).logprobs_per_token, expected)
    assert score(llama, asked, "constrained").logprobs_per_token == [()] * len(asked)


def test_labels_of_one_to_six_tokens(reader: PrefixReader) -> None:
    choices = (" the", " a.", " bad.", " bad,", " good", " 🙂", " positive")
    asked = [replace(prompt, choices=choices) for prompt in asking(())]
    assert [len(steps) for steps in naive_steps(reader.model, asked[0])] == [1, 2, 3, 3, 4, 5, 6]
    check(reader, asked)


def test_bodies_of_one_token(reader: PrefixReader) -> None:
    asked = [Prompt(EXEMPLARS, body, (" good\n", " bad\n", "!\n")) for body in ("?", ":", "a", "b")]
    assert {len(reader.model.tokenize([prompt.body])[0]) for prompt in asked} == {1}
    check(reader, asked)


def test_a_label_that_merges_with_the_end_of_the_prompt(reader: PrefixReader) -> None:
    """`: ` and `good` are one token for one label and not for the other; both are scored over the same span."""
    asked = [Prompt(EXEMPLARS, f"Review: {text}\nFeeling: ", ("good\n\n", "好\n\n")) for text in ("Fine", "Awful food")]
    alone = reader.model.tokenize([asked[0].header + asked[0].body])[0]
    merged, apart = naive_steps(reader.model, asked[0])
    blank = alone[-1]
    assert merged[0][0] != blank == apart[0][0], "the blank belongs to the prompt in one of them only"
    check(reader, asked)


def test_what_a_few_items_share_is_read_once(reader: PrefixReader) -> None:
    """Three hypotheses a premise, as in SNLI, not in order: a row a premise, and the same numbers."""
    hypotheses = ("Nobody is here.", "Someone sings.", "ไม่มีใครอยู่")
    asked = [
        Prompt(EXEMPLARS, f"Premise: {premise * 3}\nHypothesis: {hypothesis}\nAnswer:", (" yes\n\n", " no\n\n"))
        for hypothesis in hypotheses
        for premise in ("A choir sings in a church. ", "这家餐厅的汤很好喝。")
    ]
    queries = [query for item in encode(reader.model, asked, "error") for query in whole_choices(item)]
    (group,) = plan_queries(reader, queries)
    assert [sorted({number // 2 for number in row.paths}) for row in group.rows] in (
        [[0, 2, 4], [1, 3, 5]],
        [[1, 3, 5], [0, 2, 4]],
    )
    check(reader, asked)


def test_prompts_that_share_nothing(reader: PrefixReader) -> None:
    asked = [Prompt((), "Abc:", (" x\n", " yz\n")), Prompt((), "ด:", (" x\n", " yz\n"))]
    check(reader, asked)


def test_an_empty_prompt_begins_as_texts_begin(llama: PrefixReader) -> None:
    """This tokenizer adds no token for the beginning by itself; then the choices follow it, as in the harness."""
    choices = (" x", " y z")
    model, begin = llama.model, llama.model.tokenizer.bos_token_id
    expected = []
    for ids in model.tokenize(list(choices)):
        with torch.inference_mode():
            logits = model.network(torch.tensor([[begin, *ids]]), use_cache=False).logits[0]
        rows = torch.log_softmax(logits.double(), dim=-1)
        expected.append(sum(row[token].item() for token, row in zip(ids, rows, strict=False)))
    assert_close(score(llama, [Prompt((), "", choices)]).choices, [expected])


def test_eager_attention(tiny: Callable[[str], Path]) -> None:
    """Its masks are numbers to add, not booleans."""
    for kind in ("llama", "gemma3"):
        model = load(str(tiny(kind)), "float32")
        model.network.set_attn_implementation("eager")
        reader = PrefixReader(model)
        assert reader.shares
        check(reader, prompts())


def test_in_a_chat(tiny: Callable[[str], Path]) -> None:
    plain = load(str(tiny("llama")), "float32")
    plain.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    model = Model(network=plain.network, tokenizer=plain.tokenizer, chat=True)
    check(PrefixReader(model), prompts())


scripts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
emoji = st.text(st.sampled_from("😀👩‍🚀🇩🇪👍🏽❤️ ไทย हिन्दी"), min_size=1, max_size=8)
texts = scripts | emoji


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(KINDS),
    header=st.sampled_from((EXEMPLARS, SHORT, ())) | st.tuples(texts),
    bodies=st.lists(texts, min_size=1, max_size=3),
    end=st.sampled_from((":", ": ", "")),
    labels=st.lists(texts, min_size=2, max_size=3, unique=True),
)
def test_any_text_in_any_script(
    readers: Mapping[str, PrefixReader],
    kind: str,
    header: tuple[str, ...],
    bodies: list[str],
    end: str,
    labels: list[str],
) -> None:
    start = "" if header else "Q"  # of a choice that merges with its one-token prompt nothing is left to read
    choices = tuple(f" {label}\n\n" for label in labels)
    check(readers[kind], [Prompt(header, f"{start}\n{body}{end}", choices) for body in bodies])


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(order=st.lists(st.integers(0, len(REVIEWS) - 1), min_size=1, max_size=9), budget=st.integers(1, 2000))
def test_budget_order_duplicates_and_company_change_nothing(
    readers: Mapping[str, PrefixReader], order: list[int], budget: int
) -> None:
    for reader in readers.values():
        one_by_one = [score(reader, [prompt]).choices[0] for prompt in prompts()]
        before, reader.budget = reader.budget, budget
        try:
            assert_close(score(reader, [prompts()[i] for i in order]).choices, [one_by_one[i] for i in order])
        finally:
            reader.budget = before


def test_every_item_is_reported_as_done(llama: PrefixReader) -> None:
    done: list[int] = []
    llama.budget, before = 400, llama.budget
    try:
        score(llama, prompts(), advance=done.append)
    finally:
        llama.budget = before
    assert sum(done) == len(prompts())
    assert len(done) > 1


# --- models whose state cannot be shared, and other architectures -----------------------------------------------------


def random_model(config: object, tokenizer: PreTrainedTokenizerFast) -> Model:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return Model(network=AutoModelForCausalLM.from_config(config).eval(), tokenizer=tokenizer, chat=False)


def test_without_sharing_the_same_numbers(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "shares", False)
    check(reader, prompts())


@pytest.mark.parametrize("kind", ["mamba", "lfm2", "bloom"])
def test_a_model_that_cannot_share_is_found_and_scored(
    kind: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recurrent, hybrid, and one that takes no explicit mask."""
    from transformers import BloomConfig, Lfm2Config, MambaConfig

    size, three = len(tokenizer), ["conv", "full_attention", "conv"]
    config = {
        "mamba": MambaConfig(vocab_size=size, hidden_size=16, state_size=4, num_hidden_layers=2, initializer_range=0.5),
        "lfm2": Lfm2Config(
            vocab_size=size,
            hidden_size=32,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_hidden_layers=3,
            layer_types=three,
            block_ff_dim=48,
            initializer_range=0.5,
        ),
        "bloom": BloomConfig(vocab_size=size, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.5),
    }[kind]
    said: list[str] = []
    monkeypatch.setattr(probe, "notify", said.append)
    reader = PrefixReader(random_model(config, tokenizer))
    assert not reader.shares
    assert len(said) == 1
    assert "cannot be shared" in said[0]
    check(reader, prompts())


@pytest.mark.parametrize(
    "kind",
    [
        "gemma2",
        "cohere",
        "granite",
        "phi",
        "gpt2",
        "mpt",
        "gpt_neo",
    ],
)
def test_other_architectures(kind: str, tokenizer: PreTrainedTokenizerFast) -> None:
    """Capped, scaled and biased logits, absolute positions, ALiBi over a mask, a window under another name."""
    from transformers import CohereConfig, Gemma2Config, GPT2Config, GPTNeoConfig, GraniteConfig, MptConfig, PhiConfig

    size = {"vocab_size": len(tokenizer), "initializer_range": 0.5}
    shape = size | {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    local = [[["global", "local"], 1]]
    make = {
        "gemma2": lambda: Gemma2Config(
            **shape, num_key_value_heads=2, head_dim=8, sliding_window=WINDOW, final_logit_softcapping=5.0
        ),
        "cohere": lambda: CohereConfig(**shape, logit_scale=0.3),
        "granite": lambda: GraniteConfig(**shape, logits_scaling=3.0),
        "phi": lambda: PhiConfig(**shape),
        "gpt2": lambda: GPT2Config(**size, n_embd=32, n_layer=3, n_head=4),
        "mpt": lambda: MptConfig(**size, d_model=32, n_layers=2, n_heads=4),
        "gpt_neo": lambda: GPTNeoConfig(
            **size, hidden_size=32, num_layers=2, num_heads=4, attention_types=local, window_size=WINDOW
        ),
    }[kind]
    model = random_model(make(), tokenizer)
    if (bias := model.unembedding.bias) is not None:
        torch.nn.init.normal_(bias)
    check(PrefixReader(model), prompts())


# --- the twins: each of these faults must be caught by `check` -------------------------------------------------------


def assert_caught(reader: PrefixReader, asked: Sequence[Prompt]) -> None:
    with pytest.raises(AssertionError):
        check(reader, asked)


@pytest.mark.parametrize("kept", [slice(1, None), slice(-1), slice(0)], ids=["first", "last", "all"])
def test_fails_for_a_prefix_that_lost_tokens(
    reader: PrefixReader, kept: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asking(("good", "bad"), SHORT)
    check(reader, asked)
    plain = Prefix.__init__
    monkeypatch.setattr(
        Prefix, "__init__", lambda self, model, tokens, *rest: plain(self, model, list(tokens)[kept], *rest)
    )
    assert_caught(reader, asked)


def test_fails_for_another_prefix_as_long(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Prefix.__init__
    monkeypatch.setattr(
        Prefix, "__init__", lambda self, model, tokens, *rest: plain(self, model, tokens[:1] * len(tokens), *rest)
    )
    assert_caught(reader, prompts())


@pytest.mark.parametrize("first", [0, 2], ids=["all", "from-the-third"])
def test_fails_for_shifted_positions(reader: PrefixReader, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = reader.model.backbone
    forward = backbone.forward

    def late(*args: object, position_ids: Tensor | None = None, **kwargs: object) -> object:
        if position_ids is not None:
            position_ids = position_ids + (torch.arange(position_ids.shape[1], device=position_ids.device) >= first)
        return forward(*args, position_ids=position_ids, **kwargs)

    plain = Prefix.read

    def shifted(self: Prefix, trees: Sequence[Tree]) -> Tensor:
        with pytest.MonkeyPatch.context() as patched:  # the naive loop goes through the same forward
            patched.setattr(backbone, "forward", late)
            return plain(self, trees)

    monkeypatch.setattr(Prefix, "read", shifted)
    assert_caught(reader, prompts())


@pytest.mark.parametrize("kind", ["mistral", "gemma3"])
@pytest.mark.parametrize("off", [-1, 1])
def test_fails_for_a_window_off_by_one(
    readers: Mapping[str, PrefixReader], kind: str, off: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Prefix.masks

    def wrong(self: Prefix, sees: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(self._model.config, "sliding_window", WINDOW + off)
            return plain(self, sees, positions)

    monkeypatch.setattr(Prefix, "masks", wrong)
    assert_caught(readers[kind], prompts())


def test_fails_for_labels_that_see_one_another(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Prefix.masks

    def leaky(self: Prefix, sees: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
        return plain(self, torch.ones_like(sees).tril(), positions)

    monkeypatch.setattr(Prefix, "masks", leaky)
    assert_caught(reader, prompts())
    check(reader, [replace(prompt, choices=(" a", " b")) for prompt in prompts()])  # no inner tokens, nothing to leak


# --- modes ------------------------------------------------------------------------------------------------------------


def naive_decoded(model: Model, prompt: Prompt) -> int:
    """Greedy decoding restricted to the choices: at each step the likeliest token that some living choice has there."""
    steps = naive_steps(model, prompt)
    alive, depth = list(range(len(steps))), 0
    while len(alive) > 1:
        best = max({steps[k][depth][0] for k in alive}, key=lambda token: steps[alive[0]][depth][1][token].item())
        alive, depth = [k for k in alive if steps[k][depth][0] == best], depth + 1
    return alive[0]


def naive_shares(steps: Sequence[Sequence[tuple[int, Tensor]]], depth: int = 0) -> list[float]:
    """Score 0 for the decoded choice; for another one log of its share among the tokens that were possible there."""
    if len(steps) == 1:
        return [0.0]
    log_p = {path[depth][0]: path[depth][1][path[depth][0]] for path in steps}
    share = dict(zip(log_p, torch.log_softmax(torch.stack(list(log_p.values())), dim=0).tolist(), strict=True))
    best = max(share, key=lambda token: share[token])
    deeper = iter(naive_shares([path for path in steps if path[depth][0] == best], depth + 1))
    return [next(deeper) if path[depth][0] == best else share[path[depth][0]] for path in steps]


def test_constrained_is_greedy_decoding_over_the_choices(reader: PrefixReader) -> None:
    asked = prompts()
    found = score(reader, asked, "constrained").choices
    for prompt, values in zip(asked, found, strict=True):
        assert values.index(max(values)) == naive_decoded(reader.model, prompt)
        assert max(values) == 0
        assert sorted(values)[-2] < 0
    assert_close(found, [naive_shares(naive_steps(reader.model, prompt)) for prompt in asked])


def naive_beginnings(model: Model, prompt: Prompt) -> list[float]:
    """The other way round: of every word of the vocabulary, does it begin the choice?"""
    words = {token: model.tokenizer.decode([token]) for token in range(len(model.tokenizer))}
    before = naive_steps(model, prompt)[0][0][1].exp()
    masses = [
        sum(before[token].item() for token, word in words.items() if word.strip() and choice.rstrip().startswith(word))
        for choice in prompt.choices
    ]
    return [math.log(mass) for mass in masses]


def test_first_token_is_the_mass_on_beginnings(reader: PrefixReader) -> None:
    asked = asking(("good", "bad", "good enough"))
    found = score(reader, asked, "first-token").choices
    assert_close(found, [naive_beginnings(reader.model, prompt) for prompt in asked])
    assert all(good == pytest.approx(enough) for good, _, enough in found), "what begins alike shares its mass"


def test_first_token_of_prompts_with_choices_of_their_own(llama: PrefixReader) -> None:
    first, second = asking(("a", "b"))[0], asking(("c", "d"))[1]
    found = score(llama, [first, second], "first-token").choices
    assert_close(found, [naive_beginnings(llama.model, prompt) for prompt in (first, second)])


@pytest.mark.parametrize("order", [1, -1])
def test_first_token_of_prompts_whose_ends_merge_with_a_choice(llama: PrefixReader, order: int) -> None:
    """`s` and a beginning of `positive` are one token, so after `Q: s` no token of its own begins this choice."""
    merging, plain = (Prompt((), body, ("positive", "negative")) for body in ("Q: s", "Q: ab"))
    assert score(llama, [plain], "first-token").choices
    with pytest.raises(SpilloverError, match="no single token spells a beginning of 'positive'"):
        score(llama, [merging, plain][::order], "first-token")


def test_first_token_of_choices_that_no_token_begins(llama: PrefixReader) -> None:
    """The blank before a Thai word is a token of its own here: a score would be the log of nothing."""
    with pytest.raises(SpilloverError, match="no single token spells a beginning of ' เชิงบวก"):
        score(llama, asking(("เชิงบวก", "เชิงลบ")), "first-token")


# --- what does not fit ------------------------------------------------------------------------------------------------


@pytest.fixture
def context(llama: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda tokens: monkeypatch.setattr(llama.model.config, "max_position_embeddings", tokens)


def longest(model: Model, prompt: Prompt) -> int:
    return max(map(len, model.tokenize([prompt.header + prompt.body + choice for choice in prompt.choices])))


def test_the_oldest_exemplars_go_first(llama: PrefixReader, context: Callable[[int], None]) -> None:
    """No more than must: the items lose none, one and two, and each is scored as if it had never had them."""
    exemplars = ("old " * 9, "older " * 9, "new " * 9)
    asked = [Prompt(exemplars, body, (" a\n", " bbb\n")) for body in ("one:", "two " * 9 + ":", "three " * 18 + ":")]
    cut = [replace(prompt, exemplars=exemplars[drop:]) for drop, prompt in enumerate(asked)]
    fits = longest(llama.model, cut[2])
    assert longest(llama.model, cut[0]) <= fits < min(longest(llama.model, p) for p in (asked[1], asked[2]))
    assert longest(llama.model, cut[1]) <= fits < longest(llama.model, replace(asked[2], exemplars=exemplars[1:]))
    expected = [naive(llama.model, prompt) for prompt in cut]
    context(fits)
    found = score(llama, asked)
    assert found.dropped == 0 + 1 + 2
    assert_close(found.choices, expected)


def test_what_just_fits_is_left_alone(llama: PrefixReader, context: Callable[[int], None]) -> None:
    asked = prompts()
    most = max(longest(llama.model, prompt) for prompt in asked)
    context(most)
    assert score(llama, asked, overflow="error").dropped == 0
    context(most - 1)
    with pytest.raises(SpilloverError, match=f"prompt 2 has {most} tokens .* context is {most - 1}") as error:
        score(llama, asked, overflow="error")
    assert "\n" not in str(error.value)


def test_an_item_that_never_fits_is_refused(llama: PrefixReader, context: Callable[[int], None]) -> None:
    context(8)
    with pytest.raises(SpilloverError, match="prompt 0 has"):
        score(llama, prompts())


def test_scores_that_are_no_numbers_name_the_item(tiny: Callable[[str], Path]) -> None:
    """A weight that one item alone meets, in the middle of a batch, spoils that item alone."""
    model = load(str(tiny("llama")), "float32")
    bodies = [model.tokenize([prompt.body])[0] for prompt in prompts()]
    (spoilt, *_) = set(bodies[3]).difference(*(bodies[:3] + bodies[4:]))
    reader = PrefixReader(model)
    with torch.no_grad():
        model.backbone.embed_tokens.weight[spoilt] = math.nan
    with pytest.raises(SpilloverError, match="item 3"):
        score(reader, prompts())
    score(reader, prompts()[:3] + prompts()[4:])


def test_streaming_over_positions_and_vocabulary_is_exact(llama: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = score(llama, prompts()).choices
    monkeypatch.setattr("spillover.models.inference.unembed.POSITION_BLOCK", 3)
    monkeypatch.setattr("spillover.models.network.head.VOCABULARY_BLOCK", 97)
    assert_close(score(llama, prompts()).choices, expected)


# --- the real model ---------------------------------------------------------------------------------------------------


def test_gemma_beyond_its_window(gemma: Model) -> None:
    task, source = open_task("sentiment"), open_source("starter", {}, "test")
    asked = [task.prompt(item, "native") for item in source.items(task, "th")[:2]]
    asked = [replace(prompt, exemplars=prompt.exemplars * 6) for prompt in asked]
    assert len(gemma.tokenize([asked[0].header])[0]) > gemma.config.sliding_window
    reader = PrefixReader(gemma)
    assert reader.shares
    check(reader, asked)


def test_gemma_reads_every_language(gemma: Model) -> None:
    """What the GGUF's tokenizer reads it can write again, letter for letter."""
    task, source = open_task("sentiment"), open_source("starter", {}, "test")
    languages = source.item_languages(task)
    assert len(languages) == 20
    for language in languages:
        written = [item.fields[0] for item in source.items(task, language)]
        read = gemma.tokenize(written)
        assert gemma.tokenizer.batch_decode(read, skip_special_tokens=True) == written
        assert all(gemma.tokenizer.unk_token_id not in ids for ids in read)


def test_gemma_in_bf16_keeps_what_float32_is_sure_of(gemma: Model) -> None:
    """At least 99% of the choices whose margin exceeds 0.05 nats stay; without one left, the test says nothing."""
    task, source = open_task("sentiment"), open_source("starter", {}, "test")
    asked = [task.prompt(item) for language in ("en", "hi", "sw") for item in source.items(task, language)[:10]]
    half = load("gemma-3-270m", "bfloat16")
    kept, sure = 0, 0
    for start in range(0, len(asked), 10):
        exact, rounded = (score(PrefixReader(model), asked[start : start + 10]).choices for model in (gemma, half))
        for one, other in zip(exact, rounded, strict=True):
            if abs(one[0] - one[1]) > 0.05:
                sure += 1
                kept += (one[0] > one[1]) == (other[0] > other[1])
    assert sure >= 20
    assert kept >= 0.99 * sure
