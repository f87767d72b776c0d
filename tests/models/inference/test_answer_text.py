"""Texts of answers against decoding the whole sequence, for tokenizers of three kinds; and where stop strings cut."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from spillover.models.inference.answer_text import AnswerText, find_stop

law = settings(max_examples=200, deadline=None, derandomize=True)

TEXTS = [
    "Die Zahl ist acht.\nFrage: wie viele?\n",
    "答案：八。问题：多少？",
    "คำตอบคือแปด",
    "The answer is 8 .",
    "Ответ — 8",
] * 3
SPECIAL = ["<s>", "</s>", "<unk>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def of_bytes() -> PreTrainedTokenizerFast:
    """GPT-2's kind: the bytes of a character may be in two tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")


def of_pieces() -> PreTrainedTokenizerFast:
    """Llama's kind: SentencePiece with a blank before a text, and bytes for characters that it lacks."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=[*SPECIAL, *BYTES], limit_alphabet=60)
    core.train_from_iterator(TEXTS, trainer)
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    content = json.loads(core.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in SPECIAL]
    core = Tokenizer.from_str(json.dumps(content))  # whose bytes are no special tokens
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def of_words() -> PreTrainedTokenizerFast:
    """BERT's kind: pieces inside a word are marked, blanks are not kept."""
    core = Tokenizer(models.WordPiece(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    core.decoder = decoders.WordPiece(cleanup=False)
    core.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL))
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS = {"bytes": of_bytes(), "pieces": of_pieces(), "words": of_words()}


def whole(kind: str, prompt: Sequence[int], answer: Sequence[int]) -> str:
    """Decode all, and take away what the prompt is decoded to; the answer alone where the prompt changes its text."""
    decode = TOKENIZERS[kind].decode
    before, both = (decode(list(ids), skip_special_tokens=True) for ids in (prompt, [*prompt, *answer]))
    return both[len(before) :] if both.startswith(before) else decode(list(answer), skip_special_tokens=True)


@law
@given(kind=st.sampled_from(["bytes", "pieces", "words"]), data=st.data())
def test_a_text_is_what_the_whole_sequence_has_more(kind: str, data: st.DataObject) -> None:
    """For prompts that are texts, and any tokens after them."""
    tokenizer = TOKENIZERS[kind]
    prompt = tokenizer("".join(data.draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4))))["input_ids"]
    answer = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=12))
    decode = AnswerText(tokenizer, prompt)
    assert decode(answer) == whole(kind, prompt, answer)


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@pytest.mark.parametrize("answer", [" eight", "eight", " 八。", "八：\n\n", " แปด ", "\n", "🙂 ok", "שמונה"])
def test_what_was_tokenized_is_read_again(kind: str, answer: str) -> None:
    """Blanks at its beginning too, and characters of which the tokenizer has only the bytes."""
    tokenizer = TOKENIZERS[kind]
    prompt = tokenizer("Frage: wie viele?\nAntwort: 8.\n")["input_ids"]
    both = tokenizer("Frage: wie viele?\nAntwort: 8.\n" + answer)["input_ids"]
    assert both[: len(prompt)] == prompt
    assert AnswerText(tokenizer, prompt)(both[len(prompt) :]) == answer


def test_fails_for_tokens_decoded_alone() -> None:
    """SentencePiece drops the blank that begins a sequence."""
    tokenizer = TOKENIZERS["pieces"]
    prompt = tokenizer("Die Zahl ist")["input_ids"]
    answer = tokenizer("Die Zahl ist acht")["input_ids"][len(prompt) :]
    assert AnswerText(tokenizer, prompt)(answer) == " acht"
    assert tokenizer.decode(answer) == "acht"


def test_special_tokens_are_no_text() -> None:
    tokenizer = TOKENIZERS["bytes"]
    decode = AnswerText(tokenizer, tokenizer("Frage")["input_ids"])
    assert decode([*tokenizer("acht")["input_ids"], tokenizer.eos_token_id, *tokenizer("!")["input_ids"]]) == "acht!"


@pytest.mark.parametrize("prompt", [[], [0]])
def test_a_prompt_without_text(prompt: list[int]) -> None:
    tokenizer = TOKENIZERS["bytes"]
    assert AnswerText(tokenizer, prompt)(tokenizer(" acht")["input_ids"]) == " acht"


# --- stop strings -----------------------------------------------------------------------------------------------------

CUTS = [
    ("8\n\nQuestion", ["\n\n"], "8"),
    ("8\n\nQuestion", ["\n", "\n\n"], "8"),
    ("8 apples. Q", [".", " apples."], "8"),
    ("答案：八", ["："], "答案"),
    ("答案:八", ["："], None),
    ("ตอบ 8 คำถาม", ["คำถาม"], "ตอบ 8 "),
    ("eight", ["nine"], None),
    ("abc", ["bcd", "c"], "ab"),
    ("abcd", ["bcd", "c"], "ab"),
    ("Frage", ["Frage"], ""),
    ("8", [], None),
]


@pytest.mark.parametrize(("text", "stop", "expected"), CUTS)
def test_a_text_is_cut_before_its_stop(text: str, stop: list[str], expected: str | None) -> None:
    at = find_stop(text, stop)
    assert (None if at is None else text[:at]) == expected


@law
@given(
    text=st.text("ab：\n", max_size=20),
    stop=st.lists(st.text("ab：\n", min_size=1, max_size=3), max_size=3),
    more=st.text("ab：\n", max_size=5),
)
def test_a_cut_does_not_depend_on_what_was_written_at_once(text: str, stop: list[str], more: str) -> None:
    """The naive way: after every character, does the text end with a stop string?"""
    cuts = (
        min(end - len(string) for string in ends)
        for end in range(1, len(text) + 1)
        if (ends := [string for string in stop if text[:end].endswith(string)])
    )
    expected = next(cuts, None)
    assert find_stop(text, stop) == expected
    if expected is not None:
        assert find_stop(text + more, stop) == expected
