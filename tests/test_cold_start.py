"""A command that reads no weights starts without the libraries that take seconds to import."""

import json
import subprocess
import sys
from pathlib import Path

from places import ROOT

HEAVY = ("torch", "transformers", "peft", "altair", "datasets", "pandas", "scipy.stats", "statsmodels")
"""Modules that take from a third of a second to three seconds each."""

CODE = f"""
import json, sys
from spillover.cli import main
try:
    main()
finally:
    print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""


def heavy_modules(folder: Path, *arguments: str) -> list[str]:
    """Run the command line in a process of its own; return the heavy modules that it imported."""
    command = [sys.executable, "-c", CODE, *arguments, "--runs", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    modules: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return modules


def test_a_dry_run_of_the_demo_imports_nothing_heavy(tmp_path: Path) -> None:
    """The first one stores questions and pairs; pyarrow imports pandas to write them."""
    demo = str(ROOT / "examples" / "demo.toml")
    assert heavy_modules(tmp_path, "run", demo, "--dry-run") in ([], ["pandas"])
    assert heavy_modules(tmp_path, "run", demo, "--dry-run") == []


def test_a_finished_run_imports_no_torch(tmp_path: Path) -> None:
    """It computes the statistics again, and reads the rest. The first command, which tunes and scores, is the twin."""
    smaller = "questions.limit=40", "tune.epochs=1", "evaluate.limit=40", "analyze.limit=4"
    command = "run", str(ROOT / "examples" / "organism.toml"), *(f"--set={change}" for change in smaller)
    assert {"torch", "transformers", "altair"} <= set(heavy_modules(tmp_path, *command))
    assert set(heavy_modules(tmp_path, *command)) <= {"pandas", "scipy.stats"}


def test_what_a_dry_run_imports_is_seen(tmp_path: Path) -> None:
    """The twin: a lens of the user's own is imported, and all that its module imports."""
    lens = 'analyze.lenses=["pandas:DataFrame"]'
    assert "pandas" in heavy_modules(tmp_path, "run", str(ROOT / "examples" / "demo.toml"), "--dry-run", "--set", lens)


def test_a_worker_of_a_sweep_starts_without_the_statistics() -> None:
    """They load slowly: a worker loads them with its first task, and a stand-in for its work never."""
    code = "import sys, spillover.sweep.worker; sys.exit(bool({'torch', 'scipy.stats', 'pandas'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
