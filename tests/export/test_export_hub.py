"""A run on a hub: a local server that speaks as much of the hub's API as `huggingface_hub` asks for."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml

from calls import Call, Ended
from serving import reply, serving
from spillover.experiment import load_experiment
from spillover.export.hub import contents

pytestmark = pytest.mark.usefixtures("one_thread")
TOKEN = "hf_never_to_be_seen"
REPOSITORY = "me/gemma-zh-de"


@dataclass
class Hub:
    """What the server was told."""

    address: str = ""
    refuses: bool = False
    created: list[dict[str, object]] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    committed: dict[str, bytes] = field(default_factory=dict)
    tokens: list[str | None] = field(default_factory=list)

    def answer(self, path: str, body: bytes) -> dict[str, object]:
        """Answer as the hub documents it: make, ask what is large, store what is, commit."""
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return {"url": f"{self.address}/{REPOSITORY}"}
        if path.endswith("/preupload/main"):
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in files}
            return {"files": [{"path": name, "uploadMode": modes[name], "shouldIgnore": False} for name in files]}
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            href = f"{self.address}/store/"
            return {"objects": [o | {"actions": {"upload": {"href": href + o["oid"]}}} for o in objects]}
        if path.endswith("/commit/main"):
            for line in map(json.loads, body.decode().splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    self.committed[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    self.committed[value["path"]] = self.stored[value["oid"]]
            return {"commitUrl": f"{self.address}/{REPOSITORY}/commit/abc", "commitOid": "abc", "success": True}
        return {"errors": [], "warnings": []}


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.command == "PUT":
            made.stored[handler.path.removeprefix("/store/")] = body
            reply(handler, 200, {})
            return
        if handler.command == "GET":  # the client asks for public lists without a token; this hub has none
            handler.send_error(404)
            return
        made.tokens.append(handler.headers["Authorization"])
        if made.refuses:
            reply(handler, 401, {}, headers={"X-Error-Message": f"no, {TOKEN}"})
        else:
            reply(handler, 200, made.answer(handler.path, body))

    with serving(answer) as made.address:
        yield made


def export(hub: Hub, run: Path, *options: str, token: str = TOKEN) -> Ended:
    """Run the command in a process of its own: the hub's address is read where its client is imported."""
    asked = ["export", "hub", str(run), REPOSITORY, *options]
    own = {"HF_ENDPOINT": hub.address, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(run.parent / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", "from spillover.cli import main; main()", *asked],
        env={name: value for name, value in (os.environ | own).items() if value},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_what_a_dry_run_shows_is_what_goes(hub: Hub, run: Path) -> None:
    shown = export(hub, run, "--dry-run", token="")
    assert (shown.status, hub.tokens) == (0, []), shown.err
    sent = export(hub, run, "--private")
    assert sent.status == 0, sent.err
    assert hub.committed == contents(run)
    *listed, address = sent.out.splitlines()
    assert listed == shown.out.splitlines()
    sizes = {line.split()[-1]: int(line.split()[0].replace(",", "")) for line in listed}
    assert sizes == {path: len(content) for path, content in hub.committed.items()}
    assert address == f"{hub.address}/{REPOSITORY}/commit/abc"
    assert [(made["organization"], made["name"], made.get("visibility")) for made in hub.created] == [
        ("me", "gemma-zh-de", "private")
    ]
    assert set(hub.tokens) == {f"Bearer {TOKEN}"}
    assert TOKEN not in sent.out + sent.err
    assert not any(TOKEN.encode() in content for content in hub.committed.values())


def test_adapter_card_tables_and_page_go_and_no_other_file(run: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    found = contents(run)
    tables = {f"report/tables/{path.name}" for path in (run / "report" / "tables").iterdir()}
    top = {"README.md", "adapter_config.json", "adapter_model.safetensors", "report/index.html"}
    assert set(found) == top | tables
    for path, content in found.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    name = load_experiment(run / "experiment.toml").model.name
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        here, there = (
            PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(name), folder)(ids).logits
            for folder in (run / "adapter", tmp_path)
        )
    assert torch.equal(here, there)


def test_the_card_is_the_adapters(run: Path) -> None:
    card = contents(run)["README.md"].decode()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["library_name"] == "peft"
    assert "This is the adapter alone." in card
    assert "PeftModel.from_pretrained" in card
    assert (run / "report" / "tables" / "gains.md").read_text("utf-8").strip() in card


def test_the_base_is_named_as_the_experiment_names_it(run: Path, tmp_path: Path) -> None:
    """Not as the folder of one machine, which the adapter was loaded from."""
    import shutil

    copied = shutil.copytree(run, tmp_path / "run")
    text = (copied / "experiment.toml").read_text("utf-8")
    name = load_experiment(run / "experiment.toml").model.name
    (copied / "experiment.toml").write_text(text.replace(name, "google/gemma-3-270m"), encoding="utf-8")
    found = contents(copied)
    assert json.loads(found["adapter_config.json"])["base_model_name_or_path"] == "google/gemma-3-270m"
    assert yaml.safe_load(found["README.md"].decode().split("---\n")[1])["base_model_relation"] == "adapter"
    assert not any(name.encode() in found[path] for path in ("README.md", "adapter_config.json"))


def test_a_refusal_is_one_sentence_without_the_token(hub: Hub, run: Path) -> None:
    hub.refuses = True
    ended = export(hub, run)
    assert ended.status == 2
    assert f"spillover: export hub: cannot upload to {REPOSITORY}: " in ended.err
    assert "401" in ended.err
    assert "***" in ended.err, "the server's reason is told, but for the token in it"
    assert len(ended.err.splitlines()) == 1
    assert TOKEN not in ended.out + ended.err


def test_without_a_token_nothing_is_sent(hub: Hub, run: Path) -> None:
    ended = export(hub, run, token="")
    assert (ended.status, hub.tokens) == (2, [])
    assert "found no HF_TOKEN in the environment, expected a token that may write" in ended.err


def test_a_name_that_is_no_repositorys_is_refused(call: Call, run: Path, tmp_path: Path) -> None:
    ended = call("export", "hub", run, "gemma", "--dry-run")
    assert (ended.status, "found 'gemma', expected a repository of the hub, OWNER/NAME" in ended.err) == (2, True)
    ended = call("export", "hub", tmp_path, REPOSITORY, "--dry-run")
    assert (ended.status, "found no experiment.toml, expected the folder of a run" in ended.err) == (2, True)
