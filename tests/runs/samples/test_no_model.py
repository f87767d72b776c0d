"""Results of other tools are compared without a model: nothing of torch is imported."""

import subprocess
import sys

import pytest

from places import ROOT

CODE = """
import sys
from spillover.cli import main
sys.argv = ["spillover", *sys.argv[1:]]
main()
heavy = {"torch", "transformers", "lm_eval", "datasets"} & sys.modules.keys()
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


@pytest.mark.parametrize("page", [False, True])
def test_two_files_are_compared_without_torch(page: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = ROOT / "examples" / "samples"
    name = ["--name", "both", "--runs", str(tmp_path_factory.mktemp("runs"))] if page else []
    command = [sys.executable, "-c", CODE, "compare", str(folder / "base.jsonl"), str(folder / "tuned.jsonl"), *name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sentiment: inconclusive over 8 languages" in " ".join(done.stdout.split())
