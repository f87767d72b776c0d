"""The bundled starter corpus: a folder that travels with the package."""

from collections.abc import Mapping
from importlib.resources import files

from spillover.errors import SpilloverError
from spillover.sources.folder import Folder


class Starter(Folder):
    """Items of every task that ships in twenty languages; questions of the sentiment task in en, zh, de, es, sw."""

    def __init__(self, argument: str, columns: Mapping[str, str]) -> None:
        """Open the corpus, which takes neither an argument nor a column map."""
        if argument or columns:
            found = argument or dict(columns)
            raise SpilloverError(f"source 'starter': found {found!r}, expected nothing beside the name")
        super().__init__(str(files("spillover").joinpath("data", "starter")), {})
