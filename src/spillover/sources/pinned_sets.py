"""Data sets of the hub at the commits that a lock pins, read with `datasets`.

Without a network `datasets` reads the newest copy in its cache, of whichever commit it is. So the copies of each pinned
commit are in a folder of their own, below the cache of `datasets`. Files that are named by their address on the hub are
read from a snapshot of the commit.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spillover.errors import SpilloverError
from spillover.utils.hub import dataset_revision, dataset_snapshot, is_pinning

FOLDER = "pinned"
"""Folder of the copies of pinned commits, below the cache of `datasets`. In it is a folder per commit."""

_BRANCH = r"refs/(?:convert|pr)/[^/]+|[^/]+"
ADDRESS = re.compile(
    rf"(?:hf://datasets/([\w.-]+/[\w.-]+)(?:@({_BRANCH}))?"
    rf"|https://huggingface\.co/datasets/([\w.-]+/[\w.-]+)/resolve/({_BRANCH}))/(?P<path>.+)"
)
"""Address of a file of a data set on the hub, or of several with `*` in it."""


def read_options(id: str, branch: str | None = None) -> dict[str, str]:
    """Return the options with which a function of `datasets` reads a data set at its pinned commit; none if none is.

    Args:
        id: what the function gets: a data set of the hub, a folder, or the name of a file format.
        branch: the branch or tag that the caller names itself.
    """
    commit = dataset_revision(id, branch) if _is_on_hub(id) else None
    return {"revision": commit, "cache_dir": str(_cache() / FOLDER / commit)} if commit else {}


def cached_configurations(id: str) -> list[str]:
    """Return the configurations of a data set that are in the cache, at its pinned commit if one is pinned."""
    from datasets.naming import camelcase_to_snakecase

    owner, slash, name = id.rpartition("/")
    folder = f"{owner}{'___' if slash else ''}{camelcase_to_snakecase(name)}"
    copies = Path(read_options(id).get("cache_dir", _cache())).glob(f"{folder}/*/*/*/dataset_info.json")
    return sorted({json.loads(path.read_text(encoding="utf-8"))["config_name"] for path in copies})


@contextmanager
def reading_pinned() -> Iterator[None]:
    """Let every call of `datasets.load_dataset` in the block read pinned commits, also those of other packages.

    Tasks of lm-evaluation-harness name their data sets in YAML files, or in code that calls `datasets` itself.

    Raises:
        SpilloverError: commits are to be pinned, and the block reads a file from an address that is not on the hub.
    """
    import datasets

    load = datasets.load_dataset

    def load_pinned(path: str, *arguments: object, **options: Any) -> object:  # noqa: ANN401 - as the library does
        files = {"data_files": pinned_files(options["data_files"])} if "data_files" in options else {}
        return load(path, *arguments, **{**options, **files, **read_options(path, options.get("revision"))})

    datasets.load_dataset = load_pinned
    try:
        yield
    finally:
        datasets.load_dataset = load


def pinned_files(files: Any) -> Any:  # noqa: ANN401 - a name, a list, or a table of them, as the library takes it
    """Return the files that `datasets` reads: if a commit is pinned, paths of its snapshot for addresses of the hub."""
    if isinstance(files, Mapping):
        return {split: pinned_files(each) for split, each in files.items()}
    return _pinned_file(files) if isinstance(files, str) else [pinned_files(each) for each in files]


def _pinned_file(file: str) -> str:
    match = ADDRESS.fullmatch(file)
    if match is None:
        if "://" in file and is_pinning():
            raise SpilloverError(
                f"data_files: found {file!r}, which is read from the network each time, expected files of the hub "
                "(hf://datasets/owner/name/…) or of this machine"
            )
        return file
    id, branch = next(filter(None, (match[1], match[3]))), match[2] or match[4]
    commit = dataset_revision(id, None if branch == "main" else branch)
    return f"{dataset_snapshot(id, commit, match['path'])}/{match['path']}" if commit else file


def _cache() -> Path:
    import datasets

    return Path(datasets.config.HF_DATASETS_CACHE)


def _is_on_hub(id: str) -> bool:
    """Return whether `datasets` looks for this on the hub: it is no folder here, no format of files, and no address."""
    import datasets.packaged_modules

    formats = Path(datasets.packaged_modules.__path__[0])
    local = id.startswith((".", "/", "~")) or Path(id).exists()
    return not local and "://" not in id and not (formats / id).is_dir()
