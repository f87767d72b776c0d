"""What the doctor says of tokens and templates, as a user meets it: through `lint`, with a tokenizer and no weights."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from tokenizers import Tokenizer, normalizers

from calls import Call
from spillover.experiment import Experiment, parse_experiment
from spillover.stages.arms import as_text, model_key

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
