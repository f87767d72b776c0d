"""What tuning leaves beside the adapter comes back as it was, and no model is loaded for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from spillover.models.tuning.history import read_history, write_history
from spillover.records import Translation, Tuning

SHOWN = (Translation("1", "th", "ดี\n", "Good.\n", "", "Good"), Translation("2", "de", "„Gut“", "Good", "Gut", "Good"))
FULL = Tuning((2.5, 1.25), (2.0, 1.5), 30, 2, 412, (8.7, 47.9), SHOWN)
BARE = Tuning((2.5,), (), 30, 0, 412, (), ())


@pytest.mark.parametrize("tuning", [FULL, BARE])
def test_what_is_written_is_read(tuning: Tuning, tmp_path: Path) -> None:
    write_history(tmp_path, tuning)
    assert read_history(tmp_path) == tuning


def test_reading_it_imports_no_torch() -> None:
    code = "import sys, spillover.models.tuning.history; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
