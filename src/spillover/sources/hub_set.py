"""One data set of the Hugging Face hub, or a folder laid out as one: its configurations, splits and rows.

This module knows `datasets`. It does not know what the columns mean.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from spillover.errors import SpilloverError, first_line
from spillover.sources.pinned_sets import cached_configurations, read_options
from spillover.sources.reach import obstacle, out_of_reach, without_waiting


class HubSet:
    """A data set, at its pinned commit if one is pinned."""

    def __init__(self, id: str, streaming: bool = False) -> None:
        """Name a set.

        Args:
            id: `owner/name`, or a folder.
            streaming: whether rows are read one by one, without keeping them.
        """
        self.id, self._streaming = id, streaming

    @property
    def is_local(self) -> bool:
        """Whether it is a folder on this machine."""
        return self.id.startswith((".", "/")) or Path(self.id).exists()

    def configurations(self) -> list[str]:
        """Return the names of its configurations; without a network of those in the cache, which `datasets` lacks."""
        cached = [] if self.is_local or not obstacle() else cached_configurations(self.id)
        return cached or list(self._call("get_dataset_config_names"))

    def splits(self, configuration: str) -> list[str]:
        """Return the names of the splits of a configuration."""
        return list(self._call("get_dataset_split_names", configuration))

    def rows(self, configuration: str, split: str) -> Any:  # noqa: ANN401 - as the library does
        """Return the rows of a split, as `datasets` has them."""
        return self._call("load_dataset", configuration, split=split, streaming=self._streaming)

    def unreadable(self, error: Exception) -> SpilloverError:
        """Return one sentence for whatever went wrong while it was read."""
        absent = isinstance(error, ConnectionError | FileNotFoundError)
        if absent and not self.is_local and obstacle():
            return out_of_reach(f"source 'hub:{self.id}'")
        return SpilloverError(f"source 'hub:{self.id}': cannot read it: {first_line(error)}")

    def _call(self, function: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401 - as the library does
        import datasets

        try:
            with nullcontext() if self.is_local else without_waiting():
                return getattr(datasets, function)(self.id, *arguments, **options, **read_options(self.id))
        except SpilloverError as error:
            raise SpilloverError(f"source 'hub:{self.id}': {error}") from error
        except Exception as error:  # the hub, the network and the builders raise nearly everything
            raise self.unreadable(error) from error
