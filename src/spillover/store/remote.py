"""Files at an address that fsspec knows: an object store such as `s3://bucket/prefix`, or another file system.

Knows nothing of runs and artifacts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from spillover.errors import UnreachableError, first_line


class Remote:
    """The files under an address. Nothing is remembered between two calls, because other machines write there too."""

    def __init__(self, address: str) -> None:
        """Open the address. Credentials and the endpoint come from the environment, as the file system's package says.

        Raises:
            UnreachableError: no installed package knows the address, or the package refuses it.
        """
        self.address = address
        with self._reaching():
            from fsspec.core import url_to_fs  # it imports the client of the object store, which takes a second

            self._files, self._root = url_to_fs(address, use_listings_cache=False)

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is none."""
        with self._reaching(), suppress(FileNotFoundError):
            content: bytes = self._files.cat_file(self._place(name))
            return content
        return None

    def read_many(self, names: list[str]) -> dict[str, bytes]:
        """Return name → content of those small files that exist. An object store is asked for many at a time."""
        places = {self._place(name): name for name in names}
        with self._reaching():
            contents = self._files.cat(list(places), on_error="return") if places else {}
            for answer in contents.values():
                if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError):
                    raise answer
        return {places[place]: answer for place, answer in contents.items() if isinstance(answer, bytes)}

    def find(self, pattern: str) -> list[str]:
        """Return the names that a pattern such as `*/manifest.json` matches, sorted."""
        with self._reaching(), suppress(FileNotFoundError):
            depth = len(PurePosixPath(pattern).parts)
            places = map(PurePosixPath, self._files.glob(self._place(pattern)))
            return sorted("/".join(place.parts[-depth:]) for place in places)
        return []

    def write(self, name: str, content: bytes) -> None:
        """Write a small file. On an object store it appears as a whole."""
        self._write(name, lambda place: self._files.pipe_file(place, content))

    def get(self, name: str, path: Path) -> bool:
        """Copy a file to a path of this machine; return whether there is such a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._reaching(), suppress(FileNotFoundError):
            self._files.get_file(self._place(name), str(path))
            return True
        path.unlink(missing_ok=True)
        return False

    def put(self, path: Path, name: str) -> None:
        """Copy a file of this machine to the address. The caller writes a file last that says that it is whole."""
        self._write(name, lambda place: self._files.put_file(str(path), place))

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        with self._reaching(), suppress(FileNotFoundError):
            self._files.rm_file(self._place(name))

    def _place(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _write(self, name: str, write: Callable[[str], object]) -> None:
        place = self._place(name)
        with self._reaching():
            try:
                write(place)
            except FileNotFoundError:
                if not place.startswith("/"):  # the bucket is missing; a mistyped one must not be made
                    raise
                self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
                write(place)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system has its own kinds of errors
            remedy = "; pip install 'spillover[s3]'" if isinstance(error, ImportError) else ""
            raise UnreachableError(
                f"--runs: cannot reach {self.address}: {first_line(error)}{remedy}; what is finished here stays, and "
                "the same command goes on"
            ) from error
