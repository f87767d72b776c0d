"""Which tests need more than this process and a second: by the fixtures they use and the place they stand in."""

from pathlib import Path

import pytest

FIXTURES = {
    "model": {"tiny", "tokenizer", "tokenizer_folder", "one_thread", "gemma"},
    "process": {"ray_on_loopback"},
    "browser": {"browser"},
    "network": {"server", "hub"},
    "slow": {"identified", "tables_and_page"},
}
"""Marker → fixtures; a test that uses one of them, through others too, has the marker."""

PLACES = {
    "model": (
        "harness",
        "models",
        "stages/test_tune.py",
        "translate/test_nllb.py",
        "test_api.py",
        "test_gpu_benchmark.py",
    ),
    "process": (
        "cli/test_help.py",
        "cli/test_refusals.py",
        "runs/samples/test_no_model.py",
        "runs/test_read.py",
        "stages/test_quality.py",
        "store/test_store.py",
        "sweep/test_executors.py",
        "sweep/test_other_machine.py",
        "sweep/test_sweep_cli.py",
        "test_cold_start.py",
        "test_examples.py",
        "test_faults.py",
        "test_fuzz.py",
        "test_gpu_benchmark.py",
        "test_killed.py",
        "test_languages.py",
        "test_serve.py",
        "translate/test_apertium.py",
        "translate/test_engine.py",
        "utils/test_threads.py",
    ),
    "network": ("test_serve.py", "translate/test_chat.py", "translate/test_google.py"),
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
        "report/test_items_beside.py",
        "report/test_run.py",
        "report/test_second_reader.py",
        "sources/test_paper.py",
    ),
}
"""Marker → folders and modules of `tests/` whose tests all have it. Slow are simulations, reports and whole corpora."""


def mark(item: pytest.Item) -> None:
    """Give a test its markers."""
    fixtures = set(getattr(item, "fixturenames", ()))
    for name in markers_of(item.path) | {name for name, users in FIXTURES.items() if fixtures & users}:
        item.add_marker(name)


def markers_of(path: Path) -> set[str]:
    """Return the markers that all tests of a folder or module have by its place."""
    place = path.relative_to(Path(__file__).parents[1])
    ancestors = {ancestor.as_posix() for ancestor in (place, *place.parents)}
    return {name for name, places in PLACES.items() if ancestors.intersection(places)}


def is_fast(item: pytest.Item) -> bool:
    """Whether a test has no marker of these tables, neither by them nor by its decorator."""
    return not any(item.get_closest_marker(name) for name in FIXTURES | PLACES)
