"""A finished run on the Hugging Face hub: adapter, card, tables and page, in one commit.

The token comes from `HF_TOKEN` in the environment and is written nowhere.
"""

import json
import os
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.export.card import HUB_ID, card, load_finished

TOKEN = "HF_TOKEN"
"""The environment variable with the token."""

SENT = ("adapter/*.safetensors", "report/index.html", "report/tables/*")
"""Files of a run folder that are uploaded unchanged. The adapter's go to the top, where PEFT looks for them."""


def contents(run: Path) -> dict[str, bytes]:
    """Return the files of a finished run for the hub: path in the repository → content.

    An adapter names its base model as the experiment does, not by its folder on this machine. Fully tuned weights have
    no such file: their card says how they are put into the base.
    """
    experiment = load_finished(run)
    made = {"README.md": card(run, experiment, merged=False)}
    config = run / "adapter/adapter_config.json"
    if config.is_file():
        adapter = json.loads(config.read_text(encoding="utf-8"))
        adapter["base_model_name_or_path"] = experiment.model.name
        made["adapter_config.json"] = json.dumps(adapter, indent=1)
    unchanged = sorted(path for pattern in SENT for path in run.glob(pattern))
    sent = {str(path.relative_to(run)).removeprefix("adapter/"): path.read_bytes() for path in unchanged}
    return {name: text.encode("utf-8") for name, text in made.items()} | sent


def check_repository(name: str) -> None:
    """Refuse a text that is not a repository's name."""
    if not HUB_ID.fullmatch(name):
        raise SpilloverError(f"export hub: found {name!r}, expected a repository of the hub, OWNER/NAME")


def upload(files: dict[str, bytes], name: str, private: bool) -> str:
    """Commit files to a model repository of the hub, made where there is none; return the commit's address.

    Raises:
        SpilloverError: there is no token, or the hub refuses it, the name or the files.
    """
    check_repository(name)
    token = os.environ.get(TOKEN)
    if not token:
        raise SpilloverError(f"export hub: found no {TOKEN} in the environment, expected a token that may write")
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=token)
    try:
        api.create_repo(name, private=private, exist_ok=True)
        commit = api.create_commit(
            name,
            [CommitOperationAdd(path, content) for path, content in files.items()],
            commit_message="Adapter, card, tables and page of a spillover run",
        )
    except Exception as error:  # the client, the network below it and the hub raise nearly everything
        reason = " ".join((str(error) or type(error).__name__).split()).replace(token, "***")
        raise SpilloverError(f"export hub: cannot upload to {name}: {reason}") from error
    return str(commit.commit_url)
