"""A finished run on the Hugging Face hub: adapter, card, tables and page, in one commit.

The token comes from `HF_TOKEN` in the environment and is written nowhere. Knows what a run folder holds, and leaves
sending it to `huggingface_hub`.
"""

import json
import os
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.export.card import HUB_ID, card, finished

TOKEN = "HF_TOKEN"
"""The variable of the environment that holds the token."""

SENT = ("adapter/*.safetensors", "report/index.html", "report/tables/*")
"""Files of a run folder that go as they are: the adapter's to the top, where PEFT looks for them, the rest as here."""


def contents(run: Path) -> dict[str, bytes]:
    """Return what of a finished run goes to the hub: path in the repository → content.

    The adapter names its base as the experiment does, not the folder of this machine that it was loaded from.
    """
    experiment = finished(run)
    adapter = json.loads((run / "adapter/adapter_config.json").read_text(encoding="utf-8"))
    adapter["base_model_name_or_path"] = experiment.model.name
    made = {
        "README.md": card(run, experiment, merged=False),
        "adapter_config.json": json.dumps(adapter, indent=1),
    }
    kept = sorted(path for pattern in SENT for path in run.glob(pattern))
    sent = {str(path.relative_to(run)).removeprefix("adapter/"): path.read_bytes() for path in kept}
    return {name: text.encode("utf-8") for name, text in made.items()} | sent


def check_repository(name: str) -> None:
    """Refuse what is no repository's name."""
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
