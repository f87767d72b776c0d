"""Models as people have them, and as nobody would: one sentence or a model, no traceback, and no code of theirs."""

import ast
import io
import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer

import spillover
from calls import Call
from spillover.errors import SpilloverError, one_line
from spillover.models.load import load
from spillover.models.locate import fingerprint, locate
from spillover.models.token_counts import tokenizer as open_tokenizer
from spillover.translate.nllb import Nllb

pytestmark = pytest.mark.usefixtures("one_thread")

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
SETTINGS = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
values = st.sampled_from([None, True, -1, 0, 1, 2, 7, 999, 0.5, "", "llama", "no", [], [1], {}, {"a": 1}])


@pytest.fixture
def copy(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model's folder to spoil."""
    return Path(shutil.copytree(tiny("llama"), tmp_path / "copy"))


def spoiled(folder: Path, place: Path, changes: dict[str, Any]) -> Path:
    """Return a copy of a model in which some files are gone, cut, of other content, or have other values."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    for name, (kind, detail) in changes.items():
        path = place / name
        content = path.read_bytes()
        if kind == "gone":
            path.unlink()
        elif kind == "cut":
            path.write_bytes(content[: int(detail * len(content))])
        elif kind == "bytes":
            path.write_bytes(detail)
        elif name.endswith(".json"):
            table = json.loads(content)
            keys = sorted(table)
            path.write_text(json.dumps(table | {keys[at % len(keys)]: value for at, value in detail}))
        else:
            tensors = load_file(path)
            names = sorted(tensors)
            for at, _ in detail:
                tensors[names[at % len(names)]] = torch.zeros(1 + at % 3, 2)
            save_file(tensors, path, {"format": "pt"})
    return place


changes = st.dictionaries(
    st.sampled_from(FILES),
    st.one_of(
        st.tuples(st.just("gone"), st.none()),
        st.tuples(st.just("cut"), st.floats(0, 1)),
        st.tuples(
            st.just("bytes"), st.sampled_from([b"", b"{}", b"[]", b"null", b"1", b"{", b"\xff\xfe", b"\x80\x04K\x01."])
        ),
        st.tuples(st.just("values"), st.lists(st.tuples(st.integers(0, 40), values), min_size=1, max_size=3)),
    ),
    min_size=1,
    max_size=2,
)


@SETTINGS
@given(changes)
@example({"tokenizer_config.json": ("bytes", b"[]")})
@example({"config.json": ("bytes", b"[]")})
@example({"generation_config.json": ("bytes", b"{")})
def test_a_model_of_anything_loads_or_is_one_sentence(
    tiny: Callable[[str], Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = str(spoiled(tiny("llama"), tmp_path / "spoiled", changes))
    for use in (lambda name: load(name, "float32"), lambda name: open_tokenizer(name)(["a"]), Nllb):
        try:
            use(folder)
        except SpilloverError as error:
            assert "\n" not in one_line(str(error))
            assert str(error).startswith(("model.", "translate.model"))
            assert len(str(error)) < 1000


# One sentence that says what to do


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def as_an_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/base"}))


def as_an_adapter_alone(folder: Path) -> None:
    as_an_adapter(folder)
    (folder / "config.json").unlink()


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def with_added_tokens(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["sehr", "gut"])
    tokenizer.save_pretrained(folder)


def with_an_end_of_its_own(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"eos_token": "<end>"})
    tokenizer.save_pretrained(folder)


def as_a_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def cut(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:60])

    return spoil


def of_another_width(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 2 * config["intermediate_size"]}))


def without_vocabulary(folder: Path) -> None:
    table = json.loads((folder / "tokenizer.json").read_text())
    table["model"] |= {"vocab": {}, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (as_a_pointer, "model.safetensors of .* is a pointer of Git LFS, .*`git lfs pull`"),
        (cut("model.safetensors"), "model.safetensors of .* is cut off or not safetensors: .*copy the file again"),
        (cut("config.json"), "config.json of .* is empty, cut off or not JSON"),
        (of_another_width, r"do not fit its config.json: 'model.layers.0.mlp.down_proj.weight' has the shape \("),
        (without_vocabulary, "makes no tokens of 'One plain sentence.'; its tokenizer.json holds 2 tokens"),
        (as_an_adapter, "is a PEFT adapter of 'owner/base', expected a model"),
        (as_an_adapter_alone, "is a PEFT adapter of 'owner/base', expected a model"),
        (pickled, r"its weights are pytorch_model.bin, .* convert it with: python -c"),
        (without_weights, "model.safetensors"),
        (with_added_tokens, "knows 2 tokens that the model has no row for, the first 'sehr' with id 800"),
        (with_an_end_of_its_own, "knows 1 tokens that the model has no row for, the first '<end>' with id 800"),
    ],
)
def test_what_is_no_model_to_use_says_what_it_is(
    copy: Path, call: Call, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(copy)
    with pytest.raises(SpilloverError, match=f"model.name: .*{said}"):
        load(str(copy), "float32")


def test_special_tokens_beyond_the_embedding_do_no_harm(copy: Path) -> None:
    """Some models have one for images, which no text becomes."""
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(copy)
    assert len(AutoTokenizer.from_pretrained(copy)) == 801
    load(str(copy), "float32")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"num_hidden_layers": 2}, "has 9 weights that LlamaForCausalLM does not use, such as 'model.layers.2."),
        ({}, ""),
    ],
)
def test_weights_that_the_network_does_not_use_are_mentioned(
    change: dict[str, object], expected: str, copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | change))
    load(str(copy), "float32")
    said = capfd.readouterr().err
    assert expected in said
    assert bool(expected) == ("does not use" in said)


def test_the_command_that_is_named_converts_pickled_weights(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_file(copy / "model.safetensors")
    pickled(copy)
    with pytest.raises(SpilloverError) as error:
        locate(str(copy))
    _, _, code, *arguments = shlex.split(str(error.value).partition("convert it with: ")[2])
    monkeypatch.setattr(sys, "argv", ["-c", *arguments])
    exec(code, {})
    assert load(str(copy), "float32")
    assert before.keys() == load_file(copy / "model.safetensors").keys()


def test_a_name_may_begin_at_home(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(copy.parent))
    assert locate("~/copy") == locate("$HOME/copy") == copy


def test_a_tokenizers_own_padding_and_truncation_count_for_nothing(copy: Path) -> None:
    table = json.loads((copy / "tokenizer.json").read_text())
    table["padding"] = {"strategy": {"Fixed": 6}, "direction": "Right", "pad_to_multiple_of": None} | {
        "pad_id": 1, "pad_type_id": 0, "pad_token": "</s>"
    }  # fmt: skip
    table["truncation"] = {"direction": "Right", "max_length": 6, "strategy": "LongestFirst", "stride": 0}
    (copy / "tokenizer.json").write_text(json.dumps(table))
    texts = ["a", "a b c d e f g h i j k l"]
    plain = AutoTokenizer.from_pretrained(copy)
    assert [len(ids) for ids in open_tokenizer(str(copy))(texts)] == [len(plain(text)["input_ids"]) for text in texts]


# Code of a model's folder

CODE = """
from pathlib import Path
Path({place!r}).write_text("ran")
from transformers import PreTrainedConfig
class MyConfig(PreTrainedConfig):
    model_type = "mine"
"""


def with_code(folder: Path, place: Path, name: str) -> None:
    """Let a file of the folder name Python code beside it, which would write a file."""
    (folder / "code_of_mine.py").write_text(CODE.format(place=str(place)))
    path = folder / name
    table = json.loads(path.read_text())
    if name == "config.json":
        classes = {"AutoConfig": "code_of_mine.MyConfig", "AutoModelForCausalLM": "code_of_mine.MyConfig"}
        table |= {"model_type": "mine", "auto_map": classes}
    else:
        table |= {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["code_of_mine.MyConfig", None]}}
    path.write_text(json.dumps(table))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("command", ["prompts", "tune"])
def test_no_code_of_a_models_folder_is_run(
    copy: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, name: str, command: str
) -> None:
    """Whoever types `y` would have allowed it."""
    with_code(copy, tmp_path / "ran", name)
    mine = tmp_path / "mine.toml"
    mine.write_text(f'[model]\nname = "{copy}"\n[questions]\nlimit = 8\n[translate]\nto = ["de"]\n')
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))
    monkeypatch.chdir(tmp_path)
    ended = call(command, mine, *(["--scores"] if command == "prompts" else []))
    assert not (tmp_path / "ran").exists()
    assert ended.status == 2
    assert "Traceback" not in ended.err
    assert "brings its own Python code, which spillover never runs" in " ".join(ended.err.split())
    assert fingerprint(copy)


def allowing(source: str) -> list[int]:
    """Return the lines of calls that open something of a user's by an Auto class and do not forbid its code."""
    return [
        call.lineno
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "from_pretrained"
        and ast.unparse(call.func.value).startswith("Auto")
        and "trust_remote_code=False" not in map(ast.unparse, call.keywords)
    ]


def test_every_way_in_forbids_code() -> None:
    for path in Path(spillover.__file__).parent.rglob("*.py"):
        assert not allowing(path.read_text("utf-8")), path
    assert allowing("AutoConfig.from_pretrained(folder)") == [1]


def test_fails_if_code_is_allowed(copy: Path, tmp_path: Path) -> None:
    with_code(copy, tmp_path / "ran", "config.json")
    AutoConfig.from_pretrained(copy, trust_remote_code=True)
    assert (tmp_path / "ran").exists()


def test_no_code_of_a_translation_models_folder_is_run(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_code(copy, tmp_path / "ran", "tokenizer_config.json")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))
    with pytest.raises(SpilloverError, match=r"translate\.model: cannot load"):
        Nllb(str(copy))
    assert not (tmp_path / "ran").exists()
