"""Where things are that tests read beside the package."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The checkout."""

PUBLISHED = ROOT.parent / "shared" / "data" / "llm-multilingual-learner"
"""The published data, where they are at hand; tests that read them are skipped elsewhere."""
