"""Run folders, and the only package that touches them.

A stage's results live under `runs/.stages/<kind>-<digest of its inputs>`, and a run folder links to them, so
experiments share what they agree on. A stage is written to a folder of another name, its marker last, and then
renamed: what has no marker does not exist. The marker holds the SHA-256 of each file, so a damaged stage is noticed and
made anew.

Knows files and records, but neither models nor what a stage means.
"""

from spillover.store.formats import (
    Arrays,
    read_arm,
    read_arrays,
    read_layers,
    read_predictions,
    read_records,
    write_arrays,
    write_predictions,
    write_records,
)
from spillover.store.keys import digest
from spillover.store.run import MissingArtifactError, Store, artifacts_under
from spillover.store.stages import Artifact, check_whole
from spillover.store.writing import write_files, write_folder
from spillover.utils.marker import write_text

__all__ = [
    "Arrays",
    "Artifact",
    "MissingArtifactError",
    "Store",
    "artifacts_under",
    "check_whole",
    "digest",
    "read_arm",
    "read_arrays",
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
