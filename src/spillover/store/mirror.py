"""A folder of runs at an address, and its copy on this machine.

Everything is made in the copy, and pushed to the address when it is whole; what another machine pushed is pulled before
it would be made again. So a run goes on from the address alone.

    <address>/.stages/<artifact>/<16 digits of a file's SHA-256>/<file>
    <address>/.stages/<artifact>/complete.json      last: without it the artifact does not exist
    <address>/<run>/manifest.json                   the run's files with their SHA-256, and its links
    <address>/<run>/<file>

No machine locks another out. Two machines may make one artifact at the same time. They write different files unless the
content is the same, and whose marker comes last wins, so the artifact is whole in any case.
"""

import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platformdirs import user_cache_path

from spillover.errors import UnreachableError
from spillover.records import ADDRESS_FILE
from spillover.store.locks import acquire
from spillover.store.remote import Remote
from spillover.store.stages import Artifact
from spillover.store.writing import replace_link, safe_join, writing
from spillover.utils.digests import sha256_of
from spillover.utils.marker import MARKER, is_complete, write_marker, write_text
from spillover.utils.progress import notify

STAGES = ".stages"
"""Folder of the artifacts in a folder of runs."""

MANIFEST = "manifest.json"
"""File at the address that lists what a run consists of."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a run folder consists of."""

    files: dict[str, str] = field(default_factory=dict)
    """Path of a file of the run itself → its SHA-256."""
    links: dict[str, str] = field(default_factory=dict)
    """Path of a link → the artifact that it leads to, or the file in the artifact."""


def open_runs(address: str) -> Path:
    """Return the folder on this machine that holds a copy of the runs at an address; make it if it is missing.

    It is in the user's cache and may be removed: a later command pulls again what it needs.
    """
    address = address.rstrip("/")
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", address).strip("-.")[-60:]
    runs = user_cache_path("spillover") / "runs" / f"{readable}-{sha256(address.encode()).hexdigest()[:8]}"
    with writing(runs, "the copy of the runs"):
        runs.mkdir(parents=True, exist_ok=True)
        with acquire(runs / ADDRESS_FILE):
            write_text(runs / ADDRESS_FILE, address)
    return runs


def address_of(runs: Path) -> str:
    """Return the address that a folder of runs is a copy of; empty if it is no copy."""
    file = runs / ADDRESS_FILE
    return file.read_text(encoding="utf-8") if file.exists() else ""


def open_mirror(runs: Path) -> "Mirror | None":
    """Return what keeps a folder of runs and its address the same; None if the folder is no copy."""
    address = address_of(runs)
    return _open_mirror(runs, address) if address else None


@cache
def _open_mirror(runs: Path, address: str) -> "Mirror":
    return Mirror(runs, Remote(address))


class Mirror:
    """A folder of runs on this machine, and the address that it is a copy of. The caller holds the locks."""

    def __init__(self, runs: Path, remote: Remote) -> None:
        """Nothing is read yet."""
        self.runs, self.remote = runs, remote

    def pull_artifact(self, path: Path) -> bool:
        """Bring an artifact here, if the address has it whole; return whether it does.

        Raises:
            UnreachableError: the address cannot be reached.
        """
        place = f"{STAGES}/{path.name}"
        marker = self._marker(path)
        if not marker:
            return False
        sums, _ = marker.pop("files"), marker.pop("changed", None)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
            folder = Path(scratch) / path.name
            folder.mkdir()
            whole = all(
                self.remote.get(f"{place}/{digest[:16]}/{file}", safe_join(folder, file))
                for file, digest in sums.items()
            )
            write_marker(folder, **marker)
            if not whole or Artifact(folder).marker["files"] != sums:
                notify(f"{self.remote.address}/{place}: damaged; making {path.name} again")
                self.remote.remove(f"{place}/{MARKER}")
                return False
            shutil.rmtree(path, ignore_errors=True)
            folder.rename(path)
        return True

    def push_artifact(self, path: Path) -> None:
        """Copy a finished artifact to the address, its marker last, unless the address has it."""
        place = f"{STAGES}/{path.name}"
        if self._marker(path):
            return
        for file, digest in Artifact(path).marker["files"].items():
            self.remote.put(path / file, f"{place}/{digest[:16]}/{file}")
        self.remote.put(path / MARKER, f"{place}/{MARKER}")

    def push_run(self, name: str, written: Collection[str], links: Mapping[str, str]) -> None:
        """Copy files and folders of a run folder to the address, in their order, so that the last is there last.

        Args:
            name: the run's path in the folder of runs.
            written: files and folders of the run folder. All others stay at the address as they are.
            links: links that the run made.
        """
        folder, before = self.runs / name, self.manifest(name)
        files = {file: sha256_of(folder / file) for top in written for file in _files(folder, top)}
        others = {file: digest for file, digest in before.files.items() if file.partition("/")[0] not in written}
        manifest = Manifest({**others, **files}, {**before.links, **links})
        self.remote.write(f"{name}/{MANIFEST}", json.dumps(asdict(manifest), indent=1).encode())
        for file in files:
            self.remote.put(folder / file, f"{name}/{file}")
        for file in before.files.keys() - manifest.files.keys():
            self.remote.remove(f"{name}/{file}")

    def pull_run(self, name: str, folders: Iterable[str] | None = (), last: str = "") -> None:
        """Bring a run here: its files, and the artifacts that some of its folders lead to.

        Args:
            name: the run's path in the folder of runs.
            folders: first parts of links, such as `predictions`, whose artifacts are needed. None: of all links.
            last: the file to write last, which says that the others are here.

        Raises:
            UnreachableError: the address cannot be reached, or the run changed meanwhile.
        """
        manifest, folder = self.manifest(name), self.runs / name
        chosen = None if folders is None else set(folders)
        for link, target in manifest.links.items():
            if chosen is None or link.partition("/")[0] in chosen:
                self._pull_link(safe_join(folder, link), target)
        for top in {file.partition("/")[0] for file in manifest.files if "/" in file}:
            for file in _files(folder, top):
                if file not in manifest.files:
                    (folder / file).unlink()
        for file in sorted(manifest.files, key=lambda file: file == last):
            self._pull_file(name, file, manifest.files[file])

    def holds(self, kinds: Collection[str]) -> bool:
        """Return whether the address has an artifact of one of these kinds as a whole. Nothing is brought here."""
        return any(self.remote.find(f"{STAGES}/{kind}-*/{MARKER}") for kind in kinds)

    def run_names(self) -> list[str]:
        """Return the paths of all runs at the address, those of grids among them."""
        files = [*self.remote.find(f"*/{MANIFEST}"), *self.remote.find(f"*/*/{MANIFEST}")]
        return sorted(file.removesuffix(f"/{MANIFEST}") for file in files)

    def manifest(self, name: str) -> Manifest:
        """Return what a run consists of at the address; an empty manifest if it is not there."""
        table = _object(self.remote.read(f"{name}/{MANIFEST}"))
        return Manifest(table.get("files", {}), table.get("links", {}))

    def _marker(self, path: Path) -> dict[str, Any]:
        """Return the marker that an artifact has at the address; an empty one if it is not there as a whole."""
        marker = _object(self.remote.read(f"{STAGES}/{path.name}/{MARKER}"))
        return marker if isinstance(marker.get("files"), dict) else {}

    def _pull_link(self, place: Path, target: str) -> None:
        artifact = safe_join(self.runs / STAGES, target.partition("/")[0])
        artifact.parent.mkdir(parents=True, exist_ok=True)
        with acquire(artifact):
            if is_complete(artifact) or self.pull_artifact(artifact):
                replace_link(place, self.runs / STAGES / target)

    def _pull_file(self, name: str, file: str, digest: str) -> None:
        place = safe_join(self.runs / name, file)
        if place.is_file() and sha256_of(place) == digest:
            return
        fresh = place.with_name(f".{place.name}.new")
        if self.remote.get(f"{name}/{file}", fresh):
            if sha256_of(fresh) != digest:
                fresh.unlink()
                raise UnreachableError(
                    f"--runs: {self.remote.address}/{name}/{file}: found other content than {MANIFEST} lists; another "
                    "machine is writing it, so run the same command again"
                )
            fresh.replace(place)


def _files(folder: Path, top: str) -> list[str]:
    """Return a file, or the files of a folder with its marker last, as paths from `folder`. Links are left out."""
    paths = [folder / top, *sorted((folder / top).rglob("*"), key=lambda path: path.name == MARKER)]
    return [path.relative_to(folder).as_posix() for path in paths if path.is_file() and not path.is_symlink()]


def _object(text: bytes | None) -> dict[str, Any]:
    """Return a JSON object; an empty one if there is none, or only a part of it."""
    try:
        table = json.loads(text or b"{}")
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}
