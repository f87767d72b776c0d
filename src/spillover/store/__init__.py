"""Run folders, and the only package that touches them.

An artifact, the result of a stage, lives under `runs/.stages/<kind>-<digest of its inputs>`. Run folders link to it, so
experiments share what they agree on. An artifact is written to a folder of another name, its marker last, and then
renamed: a folder without a marker does not exist. The marker holds the SHA-256 of each file, so a damaged artifact is
noticed and made anew.
"""

from spillover.store.formats import (
    Arrays,
    read_arm,
    read_arrays,
    read_layer,
    read_layers,
    read_predictions,
    read_records,
    write_arrays,
    write_predictions,
    write_records,
)
from spillover.store.keys import digest
from spillover.store.mirror import address_of, open_runs
from spillover.store.run import MissingArtifactError, Store, artifacts_under, pull_all_runs
from spillover.store.stages import Artifact, check_whole
from spillover.store.writing import new_folder, write_files, write_folder
from spillover.utils.marker import write_text

__all__ = [
    "Arrays",
    "Artifact",
    "MissingArtifactError",
    "Store",
    "address_of",
    "artifacts_under",
    "check_whole",
    "digest",
    "new_folder",
    "open_runs",
    "pull_all_runs",
    "read_arm",
    "read_arrays",
    "read_layer",
    "read_layers",
    "read_predictions",
    "read_records",
    "write_arrays",
    "write_files",
    "write_folder",
    "write_predictions",
    "write_records",
    "write_text",
]
