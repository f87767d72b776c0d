"""Where things are that tests read: the checkout, published data, the package's own source."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import spillover

ROOT = Path(__file__).parents[2]
"""The checkout."""

PUBLISHED = ROOT.parent / "shared" / "data" / "llm-multilingual-learner"
"""The published data, where they are at hand; tests that read them are skipped elsewhere."""


@cache
def package_sources() -> Mapping[str, str]:
    """Return dotted module name → its text, for every module of the package; read once for all tests."""
    root = Path(spillover.__file__).parent
    paths = {".".join(path.relative_to(root).with_suffix("").parts): path for path in sorted(root.rglob("*.py"))}
    texts = {name.removesuffix("__init__").rstrip("."): path.read_text("utf-8") for name, path in paths.items()}
    return MappingProxyType(texts)
