"""Export: the merged model is the tuned one, plain transformers loads it, and its card says what the run found."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from calls import Call
from spillover.experiment import load_experiment

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),  # as `load` does for users
]


@pytest.fixture
def exported(call: Call, run: Path, folder: Path) -> Path:
    if not (folder / "model").is_dir():
        ended = call("export", "model", run, folder / "model")
        assert (ended.status, ended.out.strip()) == (0, str(folder / "model")), ended.err
    return folder / "model"


def test_the_merged_model_is_the_base_with_its_adapter(exported: Path, run: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(load_experiment(run / "experiment.toml").model.name)
    tokenizer = AutoTokenizer.from_pretrained(exported)
    ids = torch.tensor([tokenizer("Guten Tag, wie geht es dir?")["input_ids"]])
    with torch.inference_mode():
        before = base(ids).logits.clone()
        expected = PeftModel.from_pretrained(base, run / "adapter")(ids).logits
        found = AutoModelForCausalLM.from_pretrained(exported)(ids).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert (before - expected).abs().max() > 0.1, "an adapter that changes nothing would prove nothing"


def test_the_folder_is_a_whole_model(exported: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert not [name for name in names if "adapter" in name or name.endswith(".bin")]
    assert [path.name for path in exported.parent.glob(".model*")] == [], "no scratch folder is left"


def test_the_card_tells_mixture_gains_license_and_provenance(exported: Path, run: Path) -> None:
    card = (exported / "README.md").read_text("utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["language"] == ["en", "de"]
    assert "base_model" not in head, "a folder of this machine is no id of a hub"
    assert "tuned on de=>en: translating questions, without their answers, from German into English" in card
    assert "(frame: task-frame)" in card
    assert (run / "report" / "tables" / "gains.md").read_text("utf-8").strip() in card
    history = json.loads((run / "adapter" / "history.json").read_text("utf-8"))
    assert f"{history['examples']} examples, {history['target_tokens']} target tokens" in card
    assert "**Questions that the evaluation asks too were allowed in tuning**" in card
    assert ": not recorded here, look it up before you share a result.\n" in card
    for name, value in json.loads((run / "provenance.json").read_text("utf-8")).items():
        assert f"- {name}: {value}\n" in card
    assert (run / "experiment.toml").read_text("utf-8").strip() in card


def test_the_report_of_an_allowed_overlap_is_marked(run: Path) -> None:
    page = (run / "report" / "index.html").read_text("utf-8")
    assert "<strong>Leakage.</strong> 1 of 8 questions tuned on are in the evaluation set" in page
    assert "(frame: task-frame)" in page


def test_a_run_that_was_only_tuned_is_exported_and_its_card_says_that_nothing_was_measured(
    call: Call, run: Path, folder: Path, exported: Path
) -> None:
    """After `run`, `tune` in another run folder finds the adapter made."""
    from safetensors.torch import load_file

    tuned = run.parent / "only-tuned"
    ended = call("tune", folder / "small.toml", "--runs", run.parent, "--name", tuned.name)
    assert ended.status == 0, ended.err
    assert {path.name for path in tuned.iterdir()} >= {"README.md", "experiment.toml", "adapter"}
    assert call("export", "model", tuned, folder / "only-tuned").status == 0
    card = (folder / "only-tuned" / "README.md").read_text("utf-8")
    assert "**This model was not measured.**" in card
    assert f"- adapter: {(tuned / 'adapter').resolve().name}" in card
    assert "was not measured" not in (exported / "README.md").read_text("utf-8"), "the broken twin"
    both = (load_file(place / "model.safetensors") for place in (exported, folder / "only-tuned"))
    first, second = both
    assert all((first[name] == second[name]).all() for name in first)


def test_the_model_has_the_precision_of_the_run_where_auto_would_be_another(
    call: Call, run: Path, folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    for name, kept in (("begun-elsewhere", "float16"), ("begun-here", "")):
        copy = run.parent / name
        shutil.copytree(run, copy, symlinks=True)
        experiment = (copy / "experiment.toml").read_text("utf-8").replace('dtype = "float32"', 'dtype = "auto"')
        (copy / "experiment.toml").write_text(experiment, encoding="utf-8")
        (copy / "precision.txt").write_text(kept, encoding="utf-8")
        assert call("export", "model", copy, tmp_path / name).status == 0
    half, other = (load_file(tmp_path / name / "model.safetensors") for name in ("begun-elsewhere", "begun-here"))
    assert {str(weights.dtype) for weights in half.values()} == {"torch.float16"}
    assert "torch.float16" not in {str(weights.dtype) for weights in other.values()}, "no processor's own choice"
    assert json.loads((tmp_path / "begun-elsewhere" / "config.json").read_text("utf-8"))["dtype"] == "float16"


def test_the_figures_of_another_adapter_are_not_this_ones(call: Call, run: Path, folder: Path) -> None:
    again = run.parent / "again"
    shutil.copytree(run, again, symlinks=True)
    ended = call("tune", folder / "small.toml", "--runs", run.parent, "--name", "again", "--set", "seed=1")
    assert ended.status == 0, ended.err
    ended = call("export", "hub", again, "owner/name", "--dry-run")
    assert (ended.status, "a page about another adapter" in ended.err) == (2, True)


def test_a_folder_that_is_there_is_left_alone(call: Call, run: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    ended = call("export", "model", run, tmp_path / "kept")
    assert ended.status == 2
    assert (
        ended.err
        == f"spillover: {tmp_path / 'kept'}: found something there, expected the name of a folder that does not exist\n"
    )
    assert list((tmp_path / "kept").iterdir()) == []


def test_what_is_no_finished_run_is_refused(call: Call, tmp_path: Path) -> None:
    ended = call("export", "model", tmp_path, tmp_path / "model")
    assert ended.status == 2
    assert "found no experiment.toml, expected the folder of a run that `spillover tune` finished" in ended.err
    assert not (tmp_path / "model").exists()


def test_a_full_disk_leaves_nothing(call: Call, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spillover.models import merge as module

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "merge", full)
    ended = call("export", "model", run, tmp_path / "model")
    assert (ended.status, "cannot write the model: No space left on device" in ended.err) == (2, True)
    assert list(tmp_path.iterdir()) == []
