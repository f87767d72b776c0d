"""The identity of a model: what is remembered says the same as the tokenizer, and nothing stale is believed."""

import json
import shutil
from pathlib import Path

import pytest

from spillover.experiment import ModelConfig
from spillover.models import identity
from spillover.models.identity import Identity, identify
from spillover.models.load import resolve_dtype, without_weights
from spillover.models.locate import fingerprint
from spillover.utils.precision import auto_means

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}<assistant>"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache that is empty, and a process that remembers nothing."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(identity, "user_cache_path", lambda name: folder / name)
    forget(monkeypatch)
    return folder


@pytest.fixture
def model(tokenizer_folder: Path, tmp_path: Path) -> ModelConfig:
    folder = shutil.copytree(tokenizer_folder, tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    return ModelConfig(name=str(folder))


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on as another process would: only what is in the user's cache is known."""
    monkeypatch.setattr(identity, "KNOWN", {})


def remembered(model: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> Identity:
    """Return the identity as a process says it that may not load the tokenizer."""
    forget(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("spillover.models.load.without_weights", _refuse)
        return identify(model)


def _refuse(*arguments: object) -> None:
    raise AssertionError("the tokenizer was loaded")


def test_what_auto_stands_for_is_remembered_too(
    model: ModelConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on asks for the precision that it began with."""
    first = identify(model)
    with auto_means(first.dtype):
        assert remembered(model, monkeypatch) == first
    with auto_means("float16"), pytest.raises(AssertionError, match="the tokenizer was loaded"):
        remembered(model, monkeypatch)


@pytest.mark.parametrize("template", ["none", "chat"])
@pytest.mark.parametrize("dtype", ["auto", "float16"])
def test_what_is_remembered_is_what_the_tokenizer_says(
    template: str, dtype: str, model: ModelConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = model.model_copy(update={"template": template, "dtype": dtype})
    reader = without_weights(chosen.name, chosen.template, chosen.chat_style)
    content = fingerprint(Path(chosen.name))
    expected = Identity(content, resolve_dtype(dtype), reader.prompt_key, tuple(reader.tokenization.control))
    assert identify(chosen) == expected
    assert remembered(chosen, monkeypatch) == expected
    texts = ["plain", "it ends </s> here"]
    assert expected.spelled(texts) == [token for token in ["</s>"] if token in reader.tokenization.control]


def test_each_choice_and_each_content_has_its_own(
    model: ModelConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify(model)
    for change in ({"template": "chat"}, {"dtype": "float16"}, {"template": "chat", "system": "Be kind."}):
        with pytest.raises(AssertionError, match="was loaded"):
            remembered(model.model_copy(update=change), monkeypatch)
    (Path(model.name) / "chat_template.jinja").write_text(CHAT.replace("<end>", "<stop>"), encoding="utf-8")
    with pytest.raises(AssertionError, match="was loaded"):
        remembered(model, monkeypatch)


@pytest.mark.parametrize("facts", ["package_digest", "libraries", "machine"])
def test_another_version_or_machine_reads_again(
    facts: str, model: ModelConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify(model)
    monkeypatch.setattr(identity, facts, lambda: "another")
    with pytest.raises(AssertionError, match="was loaded"):
        remembered(model, monkeypatch)


def test_a_file_that_was_cut_off_is_read_again(
    model: ModelConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = identify(model)
    files = list(cache.glob("spillover/identities/*.json"))
    for content in ("", '["float32"', "[]", json.dumps({"dtype": "float32"})):
        for file in files:
            file.write_text(content, encoding="utf-8")
        forget(monkeypatch)
        assert identify(model) == first
        assert all(json.loads(file.read_text(encoding="utf-8"))[0] == first.dtype for file in files)


def test_a_cache_that_cannot_be_written_costs_time_alone(
    model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("no folder", encoding="utf-8")
    monkeypatch.setattr(identity, "user_cache_path", lambda name: occupied / name)
    forget(monkeypatch)
    assert identify(model).fingerprint == fingerprint(Path(model.name))
