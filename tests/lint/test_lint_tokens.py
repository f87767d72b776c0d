"""What the doctor says of tokens and templates, as a user meets it: through `lint`, with a tokenizer and no weights."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tomli_w
from tokenizers import Tokenizer, normalizers, processors

from calls import Call
from spillover.experiment import Experiment, parse_experiment
from spillover.lint import special_tokens
from spillover.lint.tokens import open_reads
from spillover.records import Prompt
from spillover.stages.arms import as_text, model_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TURN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
CHAT = TURN + "{% if add_generation_prompt %}<assistant>{% endif %}"
Lint = Callable[..., tuple[int, list[dict[str, object]]]]


@pytest.fixture
def model(tokenizer_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tokenizer_folder / name).read_bytes())
    (folder / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 2000}', encoding="utf-8")
    return folder


def write_task(path: Path, labels: tuple[str, str]) -> Path:
    row = {"fields": ["Text"], "answer": "Label", "labels": list(labels), "exemplars": [["Fine."], ["Bad."]]}
    table = {"name": "own", "fields": ["text"], "labels": list(labels), "agnostic": ["foo", "bar"]}
    path.write_text(tomli_w.dumps(table | {"exemplar_labels": list(labels), "rows": {"en": row}}), encoding="utf-8")
    return path


@pytest.fixture
def lint(model: Path, tmp_path: Path, call: Call) -> Lint:
    """Return a function: the texts of two items, the task's labels, further keys → status and what was found."""

    def ask(
        texts: tuple[str, ...] = ("It was fine.", "It was bad."),
        labels: tuple[str, str] = ("glad", "sad"),
        **changes: dict[str, object],
    ) -> tuple[int, list[dict[str, object]]]:
        task = write_task(tmp_path / "own.toml", labels)
        rows = [{"id": f"n{i}", "text": text, "label": labels[i % 2]} for i, text in enumerate(texts)]
        items = tmp_path / "data" / "own" / "items" / "en.json"
        items.parent.mkdir(parents=True, exist_ok=True)
        items.write_text(json.dumps(rows), encoding="utf-8")
        table = {
            "model": {"name": str(model)} | changes.get("model", {}),
            "evaluate": {"source": f"folder:{tmp_path / 'data'}", "tasks": [str(task)], "languages": ["en"]}
            | changes.get("evaluate", {}),
            "analyze": {"limit": 0} | changes.get("analyze", {}),
        }
        (tmp_path / "exp.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        ended = call("lint", tmp_path / "exp.toml", "--format", "json")
        return ended.status, [one for one in json.loads(ended.out) if one["check"] in ("tokens", "template", "length")]

    return ask


def test_an_item_longer_than_the_context_is_named(lint: Lint) -> None:
    """A long one that fits without its exemplars is none, unless exemplars must stay."""
    texts = ("It was fine.", "word " * 2100, "word " * 2200)
    status, (found,) = lint(texts)
    assert (status, found["check"], found["severity"], found["language"]) == (1, "length", "error", "en")
    assert "task 'own': item 'n1' has " in str(found["message"])
    assert "at most 2000, the model's context (2 items are longer)" in str(found["message"])
    long = "x" * 1970
    assert lint((long, "It was bad.")) == (0, [])
    status, (found,) = lint((long, "It was bad."), evaluate={"overflow": "error"})
    assert (status, found["check"]) == (1, "length")


def test_an_item_that_is_too_long_in_its_chat_alone_is_named(lint: Lint, model: Path) -> None:
    (model / "chat_template.jinja").write_text("rule " * 400 + CHAT, encoding="utf-8")
    status, (found,) = lint(("x" * 1900, "b"), model={"template": "chat"})
    assert (status, found["check"]) == (1, "length")


@pytest.mark.parametrize(
    ("template", "severity", "said"),
    [
        ("{% for m in messages %}{{ m.content", "error", "cannot be read"),
        ("{{ raise_exception('never') }}", "error", "never"),
        (None, "error", "has no chat template"),
        (CHAT.replace("m.content", "m.content | upper | trim"), "warning", "changes case"),
        (CHAT.replace("m.content", "m.content | replace('bad', '')"), "error", "changes the text"),
    ],
)
def test_a_template_is_tried_before_a_run(
    lint: Lint, model: Path, template: str | None, severity: str, said: str
) -> None:
    if template is not None:
        (model / "chat_template.jinja").write_text(template, encoding="utf-8")
    status, (found,) = lint(model={"template": "chat"})
    assert (status, found["check"], found["severity"]) == (int(severity == "error"), "template", severity)
    assert said in str(found["message"])


def drop_white_space(folder: Path) -> None:
    """Also case, as BERT's tokenizers do."""
    core = Tokenizer.from_file(str(folder / "tokenizer.json"))
    core.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Strip()])
    core.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    ("labels", "scoring", "severity", "said"),
    [
        (("Glad", "glad"), "exact", "error", "are the same tokens"),
        (("glad", "glad enough"), "exact", "warning", "begin with those of 'glad': it can never score lower"),
        (("glad", "glad enough"), "constrained", "error", "decoding cannot end there"),
        (("glad", "เชิงลบ"), "first-token", "error", "no single token spells a beginning of the label 'เชิงลบ'"),
    ],
)
def test_labels_that_tokens_do_not_tell_apart(
    lint: Lint, model: Path, labels: tuple[str, str], scoring: str, severity: str, said: str
) -> None:
    drop_white_space(model)
    status, (found,) = lint(labels=labels, evaluate={"scoring": scoring})
    assert (status, found["severity"], found["language"]) == (int(severity == "error"), severity, "en")
    assert said in str(found["message"]) and "task 'own'" in str(found["message"])
    if scoring == "exact":
        (model / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
        same = severity == "error"
        found_in_chat = lint(labels=labels, model={"template": "chat"})[1]
        assert len(found_in_chat) == int(same), "an end of turn tells a label from its continuation"


def test_texts_need_a_beginning_for_bits_per_byte_alone(lint: Lint, model: Path) -> None:
    config = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    config |= {"bos_token": None, "eos_token": None}
    (model / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    status, (found,) = lint()
    assert (status, found["severity"]) == (1, "error")
    assert "set analyze.forgetting = 0" in str(found["message"])
    assert lint(analyze={"texts": 0}) == (0, [])


# Keys of stages


def keyed(model: Path, **changes: object) -> Experiment:
    return parse_experiment({"model": {"name": str(model), "dtype": "float32"} | changes}, "test")


def test_keys_change_where_prompts_do_and_nowhere_else(model: Path) -> None:
    plain = model_key(keyed(model))
    assert len(plain) == 4, "files, precision, quantization, template: as ever"
    (model / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    assert len(model_key(keyed(model, template="chat"))) == 4
    dated = CHAT + "{% if day is defined %}{{ day }}{% else %}{{ strftime_now('%d') }}{% endif %}"
    (model / "chat_template.jinja").write_text(dated.replace("<user>", "{{ day }}"), encoding="utf-8")
    first, second = (model_key(keyed(model, template="chat", template_arguments=a)) for a in ({}, {"day": "Monday"}))
    assert first != second
    assert any("Monday" in part for part in second) and any("26" in part for part in first[4:])


def test_stages_of_texts_that_spell_special_tokens_are_new(model: Path) -> None:
    assert as_text(keyed(model), ["It was fine.", "a < /s>"]) == []
    assert as_text(keyed(model), ["It was fine.", "a</s>"]) == ["</s>"]


def begin_texts(folder: Path, beginning: str) -> None:
    core = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = [("<s>", core.token_to_id("<s>"))]
    core.post_processor = processors.TemplateProcessing(single=f"{beginning}$A", special_tokens=special)
    core.save(str(folder / "tokenizer.json"))


def declare(folder: Path, **keys: object) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | keys), encoding="utf-8")


BOS_CHAT = "{{ bos_token }}" + CHAT
BEGINNINGS: dict[str, tuple[str, object, str, str, str]] = {
    "none, and none declared": ("", None, "", "", ""),
    "one": ("<s> ", None, "", "", ""),
    "one, declared": ("<s> ", True, "", "", ""),
    "none, declared": ("", True, "", "warning", "prompts begin without '<s>', .* the tokenizer does not write it"),
    "two": ("<s> <s> ", None, "", "error", "the tokenizer begins a prompt with '<s>' twice, expected once"),
    "the chat's own": ("<s> ", None, BOS_CHAT, "", ""),
    "the chat's own, though texts have none": ("", False, BOS_CHAT, "", ""),
    "none in the chat": ("<s> ", None, CHAT, "warning", "without '<s>', .* the chat template does not write it"),
    "none in the chat, none declared": ("<s> ", False, CHAT, "", ""),
    "two in the chat": ("<s> ", None, "{{ bos_token }}" + BOS_CHAT, "error", "the chat template begins a prompt with"),
}
"""What the tokenizer puts before texts, `add_bos_token`, the chat template → severity and message."""


@pytest.mark.parametrize("case", BEGINNINGS)
def test_one_beginning_by_the_tokenizers_own_account(lint: Lint, model: Path, case: str) -> None:
    beginning, declared, template, severity, said = BEGINNINGS[case]
    begin_texts(model, beginning)
    if declared is not None:
        declare(model, add_bos_token=declared)
    if template:
        (model / "chat_template.jinja").write_text(template, encoding="utf-8")
    status, defects = lint(model={"template": "chat" if template else "none"})
    assert status == int(severity == "error")
    assert [(defect["check"], defect["severity"]) for defect in defects] == ([("tokens", severity)] if severity else [])
    assert all(re.search(said, str(defect["message"])) for defect in defects)


@pytest.mark.parametrize(("template", "severity"), [("chat", "error"), ("none", "warning")])
def test_a_template_laid_twice(lint: Lint, model: Path, template: str, severity: str) -> None:
    (model / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    once = ("It was fine.", "It was bad.", "One <user> wrote it.", "Nobody was there.")
    assert lint(once, model={"template": template}) == (0, []), "somebody may write about the mark"
    status, (defect,) = lint(tuple(f"<user>{text}</s><assistant>" for text in once), model={"template": template})
    assert (status, defect["check"], defect["severity"]) == (int(severity == "error"), "template", severity)
    assert "own': texts in en hold '<user>', which the model's chat template writes" in str(defect["message"])


def test_a_token_that_texts_spell(lint: Lint) -> None:
    assert lint(("It was <s> fine.", "It was bad.", "Nobody came.")) == (0, [])
    status, (defect,) = lint(("<s>It was fine.", "<s>It was bad.", "Nobody came."))
    assert (status, defect["severity"], defect["language"]) == (0, "warning", "en")
    assert "texts in en spell '<s>', which is read as these characters" in str(defect["message"])


def endings(model: Path, *bodies: str, choices: tuple[str, ...], **changes: object) -> list[str]:
    special = open_reads(keyed(model, **changes)).special
    assert special is not None
    prompts = {f"l{number}": [Prompt((), body, choices)] for number, body in enumerate(bodies)}
    return [defect.message for defect in special_tokens.endings(special, prompts, "task 'own'")]


def test_a_prompt_that_ends_in_a_blank(model: Path) -> None:
    choices = (" good", " bad")
    assert endings(model, "Feeling:", "Feeling:\n", choices=choices) == []
    (message,) = endings(model, "Feeling:", "Feeling: ", "感觉：\u3000", choices=choices)
    assert message.startswith("task 'own': prompts end in a blank in l1, l2, expected none")
    (message,) = endings(model, "Feeling: ", choices=())
    assert "blank" in message, "answers in words too"
    (model / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    assert endings(model, "Feeling: ", choices=choices, template="chat") == [], "there the user's turn ends"


def test_labels_that_merge_with_the_end_of_the_prompt(model: Path, tokenizer: "PreTrainedTokenizerFast") -> None:
    """By an oracle: the tokens of a prompt are no beginning of the tokens of the prompt with a label."""
    words = [word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 1][:20]
    assert len(words) == 20
    merged = 0
    for word in words:
        body, choices = f"It was: {word[:-1]}", (f"{word[-1]} it", " bad")
        asked = tokenizer(body)["input_ids"]
        wholes = [tokenizer(body + choice)["input_ids"] for choice in choices]
        expected = any(whole[: len(asked)] != asked for whole in wholes)
        messages = endings(model, body, choices=choices)
        assert bool(messages) == expected
        assert all("a label merges with the end of the prompt in l0: scores also count" in text for text in messages)
        merged += expected
    assert merged
