"""Answers against transformers' `generate`, one prompt at a time, with stops looked for after every token."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from families import build
from spillover.errors import SpilloverError
from spillover.models.inference import greedy
from spillover.models.inference import rows as rows_module
from spillover.models.inference.answer_text import find_stop
from spillover.models.inference.greedy import Stopped, Written
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.token_choice import TokenChoice
from spillover.models.model import Model
from spillover.models.scoring import generate as module
from spillover.models.scoring.generate import Generated, generate
from spillover.records import Prompt
from spillover.sources import open_source
from spillover.tasks import open_task

pytestmark = pytest.mark.usefixtures("one_thread")

LIMIT = 24
SHOTS = ("Question: two and two?\nAnswer: four\n\n", "Question: How many?\nAnswer: eight\n\n")
BODIES = ("Question: 3?\nAnswer:", "问题：多少？\n答案：", "คำถาม: กี่คน\nคำตอบ:", "Question: 3 and 4?\nAnswer: ")
PROMPTS = [Prompt(SHOTS, body, ()) for body in BODIES]


def model_of(kind: str, tokenizer: PreTrainedTokenizerFast, **more: object) -> Model:
    network = build(kind, len(tokenizer), **more)
    network.generation_config = GenerationConfig(eos_token_id=1)
    return Model(network, tokenizer, chat=False)


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> Model:
    return model_of("llama", tokenizer)


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_ROWS", 2)
    monkeypatch.setattr(greedy, "PREFIX_COST", 0)


def naive(model: Model, prompt: Prompt, limit: int, stop: Sequence[str], dropped: int = 0) -> Generated:
    """Let transformers write all, then read it token by token; text and stop from whole sequences."""
    ids = model.tokenize([model.apply_chat_template("".join(prompt.exemplars[dropped:]) + prompt.body)])[0]
    before, tensor = model.tokenizer.decode(ids, skip_special_tokens=True), torch.tensor([ids])
    options = {"max_new_tokens": limit, "do_sample": False, "pad_token_id": 0, "use_cache": True}
    written = model.network.generate(tensor, attention_mask=torch.ones_like(tensor), **options)[0].tolist()
    eos, text = model.network.generation_config.eos_token_id, ""
    for end in range(len(ids) + 1, len(written) + 1):
        tokens = end - len(ids)
        if written[end - 1] in (eos if isinstance(eos, list) else [eos]):
            return Generated(text, tokens, True, dropped)
        text = model.tokenizer.decode(written[:end], skip_special_tokens=True).removeprefix(before)
        cuts = [text.index(string) for string in stop if string in text]
        if cuts:
            return Generated(text[: min(cuts)], tokens, True, dropped)
    return Generated(text, len(written) - len(ids), False, dropped)


def check(model: Model, prompts: Sequence[Prompt], limit: int, stop: Sequence[str] = ()) -> list[Generated]:
    answers = generate(PrefixReader(model), prompts, limit, stop)
    assert answers == [naive(model, prompt, limit, stop) for prompt in prompts]
    return answers


def test_a_model_that_never_stops_costs_the_limit(model: Model) -> None:
    model.network.generation_config = GenerationConfig(eos_token_id=None)
    assert {(answer.tokens, answer.ended) for answer in check(model, PROMPTS, LIMIT)} == {(LIMIT, False)}


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "bloom"])
def test_every_stop_that_the_text_has(kind: str, tokenizer: PreTrainedTokenizerFast) -> None:
    """Each stretch of one to three characters of an answer, wherever it lies in the tokens that spell it."""
    model = model_of(kind, tokenizer)
    model.network.generation_config.no_repeat_ngram_size = 2  # else it writes the same letter all the time
    text = naive(model, PROMPTS[1], LIMIT, ()).text
    stretches = sorted({text[at : at + 1 + at % 3] for at in range(0, len(text), 3)} - {""})
    assert len(stretches) > 5
    for stop in stretches[:10]:
        answers = check(model, PROMPTS, LIMIT, [stop, "never written"])
        assert answers[1].ended
        assert stop not in answers[1].text


@pytest.mark.parametrize("kind", ["llama", "bloom"])
@pytest.mark.parametrize("several", [True, False])
def test_stop_strings_of_the_generation_configuration_end_an_answer(
    kind: str, several: bool, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = model_of(kind, tokenizer)
    model.network.generation_config.no_repeat_ngram_size = 2
    stop = naive(model, PROMPTS[1], LIMIT, ()).text[4:6]
    expected = [naive(model, prompt, LIMIT, [stop]) for prompt in PROMPTS]
    assert expected[1].ended
    model.network.generation_config.stop_strings = [stop, "never written"] if several else stop
    assert generate(PrefixReader(model), PROMPTS, LIMIT) == expected


@pytest.mark.parametrize("stop", ["：", "\n\n", "คำถาม", "é", "🙂"])
def test_a_stop_whose_characters_are_split_among_tokens(
    model: Model, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model writes a text byte by byte; each byte is a token, and so no token has the stop's characters."""
    spelling = model.tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(f"八 ok{stop}more")
    tokens = [model.tokenizer.convert_tokens_to_ids(char) for piece, _ in spelling for char in piece]
    steps = iter(tokens)
    monkeypatch.setattr(TokenChoice, "__call__", lambda self, hidden, *rest: [next(steps)] * len(hidden))
    (answer,) = generate(PrefixReader(model), PROMPTS[:1], 60, [stop])
    assert answer == Generated("八 ok", len("八 ok".encode() + stop.encode()), True, 0)


def test_fails_for_a_stop_cut_late(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    text = naive(model, PROMPTS[0], LIMIT, ()).text
    plain = find_stop
    check(model, PROMPTS, LIMIT, [text[4:6]])

    def late(text: str, stop: Sequence[str]) -> int | None:
        at = plain(text, stop)
        return None if at is None else at + 1

    monkeypatch.setattr(module, "find_stop", late)
    with pytest.raises(AssertionError):
        check(model, PROMPTS, LIMIT, [text[4:6]])


def test_fails_for_a_stop_noticed_a_token_late(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    text, plain = naive(model, PROMPTS[0], LIMIT, ()).text, greedy.write

    def late(reader: PrefixReader, asked: Any, limit: int, stopped: Stopped, *rest: Any) -> list[Written]:  # noqa: ANN401
        return plain(reader, asked, limit, lambda number, ids: len(ids) > 1 and stopped(number, ids[:-1]), *rest)

    monkeypatch.setattr(module, "write", late)
    with pytest.raises(AssertionError):
        check(model, PROMPTS, LIMIT, [text[4:6]])


def test_a_stop_that_is_a_special_token_is_that_token(model: Model) -> None:
    """It is written as a token, and decoded to nothing."""
    model.network.generation_config = GenerationConfig(eos_token_id=None)
    reader = PrefixReader(model)
    plain = generate(reader, PROMPTS, LIMIT)
    with torch.no_grad():
        model.network.lm_head.weight[1] *= 3
    expected = [naive(model, prompt, LIMIT, ()) for prompt in PROMPTS]
    model.network.generation_config = GenerationConfig(eos_token_id=1)
    ended = [naive(model, prompt, LIMIT, ()) for prompt in PROMPTS]
    assert ended != expected
    model.network.generation_config = GenerationConfig(eos_token_id=None)
    assert generate(reader, PROMPTS, LIMIT, ["</s>"]) == ended
    assert generate(reader, PROMPTS, LIMIT, ["<s"]) == expected
    assert plain != expected


# --- contexts and chats -----------------------------------------------------------------------------------------------


def test_what_does_not_fit_with_its_answer_loses_exemplars(tokenizer: PreTrainedTokenizerFast) -> None:
    lengths = [len(ids) for ids in tokenizer([prompt.header + prompt.body for prompt in PROMPTS])["input_ids"]]
    model = model_of("opt", tokenizer, max_position_embeddings=max(lengths) + LIMIT - 1)
    reader = PrefixReader(model)
    answers = generate(reader, PROMPTS, LIMIT)
    assert [answer.dropped for answer in answers] == [int(length == max(lengths)) for length in lengths]
    assert answers == [naive(model, p, LIMIT, (), answer.dropped) for p, answer in zip(PROMPTS, answers, strict=True)]
    with pytest.raises(SpilloverError, match=f"0 exemplars, {LIMIT} more are to be written, the model's context is"):
        generate(reader, PROMPTS, LIMIT, overflow="error")
    with pytest.raises(SpilloverError, match="without 2 exemplars, 9999 more are to be written"):
        generate(reader, PROMPTS, 9999)


TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_in_a_chat_the_prompt_is_wrapped_and_the_end_of_the_turn_ends_it(tokenizer: PreTrainedTokenizerFast) -> None:
    """Although the generation configuration does not have that token."""
    chatting = PreTrainedTokenizerFast(
        tokenizer_object=type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str()),
        bos_token="<s>",
        eos_token="</s>",
    )
    chatting.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>", "<|end|>"]})
    chatting.chat_template = TEMPLATE
    model = replace(model_of("llama", chatting), chat=True)
    end = chatting.convert_tokens_to_ids("<|end|>")
    with torch.no_grad():
        model.network.lm_head.weight[end] *= 3
    answers = generate(PrefixReader(model), PROMPTS, LIMIT)
    assert any(answer.ended for answer in answers)
    model.network.generation_config = GenerationConfig(eos_token_id=[1, end])
    assert answers == [naive(model, prompt, LIMIT, ()) for prompt in PROMPTS]


@pytest.mark.parametrize(("limit", "stop"), [(0, ["\n"]), (5, ["\n", ""])])
def test_a_limit_or_a_stop_without_anything_is_refused(model: Model, limit: int, stop: list[str]) -> None:
    with pytest.raises(SpilloverError, match="expected at least one token and no empty string"):
        generate(PrefixReader(model), PROMPTS, limit, stop)


def test_no_prompts_no_answers(model: Model) -> None:
    assert generate(PrefixReader(model), [], LIMIT) == []


# --- the real model ---------------------------------------------------------------------------------------------------


def test_gemma_writes_what_transformers_writes_alone(gemma: Model) -> None:
    task, source = open_task("sentiment"), open_source("starter", {}, "test")
    prompts = [
        Prompt(task.prompt(item).exemplars[:2], item.fields[0], ())
        for language in ("en", "zh", "th")
        for item in source.items(task, language)[:2]
    ]
    assert all(answer.tokens > 1 for answer in check(gemma, prompts, 12, ["\n\n", "。"]))
