"""The work of a sweep with neurons switched off, against naive loops over experiments, arms and cells."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import tomli_w

from spillover.analysis.interpretability.deactivation import DRAWS
from spillover.sweep.forecast import Work, forecast_sweep
from spillover.sweep.grid import Trial, load_grid

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
