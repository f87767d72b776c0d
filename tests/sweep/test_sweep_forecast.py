"""The work of a sweep: what exists is not counted; neurons switched off, against naive loops over arms and cells."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import tomli_w

from spillover.analysis.interpretability.deactivation import DRAWS
from spillover.experiment import dump_experiment
from spillover.store import digest
from spillover.sweep.forecast import Work, forecast_sweep
from spillover.sweep.grid import Trial, load_grid
from spillover.sweep.plan import base_key

ITEMS, ANALYZED = 6, 4


def trials(folder: Path, seeds: Sequence[int], languages: Sequence[Sequence[str]], off: object) -> list[Trial]:
    table = {
        "seed": seeds,
        "model": {"name": "nobody/nothing"},
        "questions": {"limit": 8},
        "translate": {"to": ["de"]},
        "evaluate": {"tasks": ["sentiment"], "languages": languages, "limit": ITEMS},
        "analyze": {"limit": ANALYZED, "texts": 0, "deactivate": off},
    }
    (folder / "grid.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    return load_grid(folder / "grid.toml")


def deactivated(found: Sequence[Trial]) -> tuple[int, int, float] | None:
    """Return artifacts, requests and readings of the part; None without it."""
    works: Sequence[Work] = forecast_sweep(found).work
    return next(((w.artifacts, w.requests, w.units) for w in works if w.part == "deactivate"), None)


def naive(
    seeds: Sequence[int], sets: Sequence[Sequence[str]], off: Sequence[str], shared: bool = True
) -> tuple[int, int, int]:
    """Count what each experiment reads, the same reading once.

    All neurons on, then each language's neurons off, then as many random ones `DRAWS` times. The base model is the
    same for all seeds. Which neurons are a language's depends on the languages compared. not `shared`: a twin.
    """
    needed = [
        (arm, tuple(languages), code)
        for seed in seeds
        for languages in sets
        for arm in ("base", f"tuned {seed}")
        for code in languages
    ]
    readings = {cell: 1 + (1 + DRAWS) * len(set(off) & set(cell[1])) for cell in needed}
    different = list(readings) if shared else needed
    return len(different), len(needed), ANALYZED * sum(readings[cell] for cell in different)


GRIDS = {
    "two seeds share the base model": ((0, 1), [["en", "de", "th"]], ("de", "th")),
    "other languages are other neurons": ((0,), [["en", "de"], ["en", "de", "th"]], ("de", "th")),
    "both": ((0, 1, 2), [["en", "th"], ["en", "de", "th"]], ("th",)),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_deactivation_is_counted_as_naive_loops_count_it(grid: str, tmp_path: Path) -> None:
    seeds, sets, off = GRIDS[grid]
    languages: Sequence[Sequence[str]] = sets
    found = deactivated(trials(tmp_path, seeds, languages, list(off)))
    assert found == naive(seeds, sets, off)
    if len(seeds) > 1:
        assert found != naive(seeds, sets, off, shared=False), "the twin counts the base model once per seed"


def test_all_languages_is_each_of_them(tmp_path: Path) -> None:
    codes = ["en", "de", "th"]
    assert deactivated(trials(tmp_path, [0], [codes], "all")) == deactivated(trials(tmp_path, [0], [codes], [codes]))


def test_nothing_is_switched_off_without_being_asked_or_in_one_language(tmp_path: Path) -> None:
    assert deactivated(trials(tmp_path, [0], [["en", "de"]], [])) is None
    assert deactivated(trials(tmp_path, [0], [["de"]], "all")) is None


def left(found: Sequence[Trial], finished: Sequence[Trial], folder: Path) -> dict[str, tuple[int, float]]:
    """Return part → the artifacts that are missing, and the work."""
    return {work.part: (work.artifacts, work.units) for work in forecast_sweep(found, finished, folder).work}


def test_what_exists_is_not_counted(tmp_path: Path) -> None:
    """What a finished experiment shares, cells of the base model, and what a killed experiment has made."""
    first, second = trials(tmp_path, [0, 1], [["en", "de", "th"]], [])
    examples = 8 * first.experiment.tune.epochs
    whole = {"tune": (2, 2 * examples), "evaluate": (9, 9 * ITEMS), "analyze": (9, 9 * ANALYZED)}
    assert left([first, second], [], tmp_path) == whole
    half = {"tune": (1, examples), "evaluate": (3, 3 * ITEMS), "analyze": (3, 3 * ANALYZED)}
    assert left([second], [first], tmp_path) == half, "the base model is measured"
    own = tmp_path / second.name
    for link in ("predictions/tuned/sentiment/th.parquet", "traces/base/sentiment/en.safetensors", "adapter"):
        (own / link).mkdir(parents=True)
    assert left([first, second], [], tmp_path) == whole, "nothing says that these are of this experiment"
    (own / "experiment.toml").write_text(dump_experiment(second.experiment), encoding="utf-8")
    made = {"tune": (1, examples), "evaluate": (8, 8 * ITEMS), "analyze": (8, 8 * ANALYZED)}
    assert left([first, second], [], tmp_path) == made
    (other,) = trials(tmp_path, [1], [["en", "de"]], [])
    (own / "experiment.toml").write_text(dump_experiment(other.experiment), encoding="utf-8")
    assert left([first, second], [], tmp_path) == whole, "it was made with other keys"
    shared = tmp_path / f".base-{digest('base', base_key(first.experiment))}"
    (shared / "predictions/base/sentiment/de.parquet").mkdir(parents=True)
    assert left([first, second], [], tmp_path) == whole | {"evaluate": (8, 8 * ITEMS)}
