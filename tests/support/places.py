"""Where things are that tests read: the checkout, published data, the package's own source."""

from pathlib import Path

import spillover

ROOT = Path(__file__).parents[2]
"""The checkout."""

PUBLISHED = ROOT.parent / "shared" / "data" / "llm-multilingual-learner"
"""The published data, where they are at hand; tests that read them are skipped elsewhere."""


def package_sources() -> dict[str, str]:
    """Return dotted module name → its text, for every module of the package."""
    root = Path(spillover.__file__).parent
    paths = {".".join(path.relative_to(root).with_suffix("").parts): path for path in sorted(root.rglob("*.py"))}
    return {name.removesuffix("__init__").rstrip("."): path.read_text("utf-8") for name, path in paths.items()}
