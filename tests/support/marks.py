"""Which tests need more than this process and a second: by the fixtures they use and the place they stand in."""

from pathlib import Path

import pytest

FIXTURES = {
    "model": {"tiny", "tokenizer", "tokenizer_folder", "one_thread", "gemma"},
    "process": {"ray_on_loopback"},
    "browser": {"browser"},
    "network": {"server", "hub"},
    "slow": {"identified"},
}
"""Marker → fixtures; a test that uses one of them, through others too, has the marker."""

PLACES = {
    "model": ("harness", "models", "translate/test_nllb.py", "test_api.py"),
    "process": (
        "cli/test_help.py",
        "cli/test_refusals.py",
        "runs/samples/test_no_model.py",
        "runs/test_read.py",
        "stages/test_quality.py",
        "store/test_store.py",
        "sweep/test_executors.py",
        "sweep/test_sweep_cli.py",
        "test_cold_start.py",
        "test_examples.py",
        "test_faults.py",
        "test_fuzz.py",
        "test_killed.py",
        "test_languages.py",
        "test_serve.py",
        "translate/test_apertium.py",
        "translate/test_engine.py",
    ),
    "network": ("test_serve.py", "translate/test_chat.py"),
    "slow": (
        "analysis/statistics/test_bands.py",
        "analysis/statistics/test_estimate.py",
        "analysis/statistics/test_gains.py",
        "analysis/statistics/test_gates.py",
        "analysis/statistics/test_transfer.py",
        "lint",
        "report/figures/test_geometry.py",
        "report/tables/test_prompts.py",
        "report/test_answers.py",
        "report/test_arms.py",
        "report/test_drawing.py",
        "report/test_grid.py",
        "report/test_run.py",
        "report/test_second_reader.py",
        "sources/test_paper.py",
    ),
}
"""Marker → folders and modules of `tests/` whose tests all have it. Slow are simulations, reports and whole corpora."""


def mark(item: pytest.Item) -> None:
    """Give a test its markers."""
    fixtures = set(getattr(item, "fixturenames", ()))
    place = item.path.relative_to(Path(__file__).parents[1])
    ancestors = {path.as_posix() for path in (place, *place.parents)}
    for name in FIXTURES | PLACES:
        if fixtures & FIXTURES.get(name, set()) or ancestors.intersection(PLACES.get(name, ())):
            item.add_marker(name)
