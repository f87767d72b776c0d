"""The table of licenses: every work that this package names is in it, and the page of the docs repeats it."""

from importlib.resources import files

import pytest

from places import ROOT
from spillover.models.locate import ALIASES, SHIPPED
from spillover.plugins import TRANSLATION_ENGINES
from spillover.sources.hub import PRESETS
from spillover.translate.prompts import PROMPTED_MODELS
from spillover.utils.licenses import LicenseRow, find_license, license_rows


def test_every_engine_model_and_source_that_ships_has_a_license() -> None:
    models = [row.model for row in PROMPTED_MODELS.values()]
    known = [*TRANSLATION_ENGINES, *models, *ALIASES, *SHIPPED, *PRESETS, "starter", "facebook/nllb-200-3.3B"]
    assert [name for name in known if find_license([name]) is None] == []
    assert find_license(["nobody/nothing"]) is None


def test_no_work_has_two_licenses() -> None:
    works = [work for row in license_rows() for work in row.works]
    assert len(set(works)) == len(works)


@pytest.mark.parametrize(
    "work", ["facebook/nllb-200-distilled-600M", "tower+", "Unbabel/wmt22-cometkiwi-da", "facebook/xnli"]
)
def test_what_must_not_be_sold_says_so(work: str) -> None:
    assert "non-commercial" in found(work).restriction


def test_a_license_that_forbids_what_this_package_does_says_so() -> None:
    assert "must not be used to improve another language model" in found("Unbabel/TowerInstruct-7B-v0.2").restriction
    assert not found("tencent/Hy-MT2-1.8B").restriction, "Apache-2.0 since 26 May 2026"


def test_models_with_terms_of_their_own_are_not_taken_for_their_family() -> None:
    assert find_license(["meta-llama/Llama-3.2-3B-Instruct"]) is not None
    assert find_license(["meta-llama/Llama-3.2-11B-Vision"]) is None, "not licensed in the European Union"


def found(work: str) -> LicenseRow:
    row = find_license([work])
    assert row is not None
    return row


def test_the_first_name_with_a_row_counts_and_case_does_not() -> None:
    assert find_license(["./folder", "seed-x"]) == found("SEED-X")
    assert find_license(["google/madlad400-7b-mt", "nllb"]) == found("madlad")


def test_the_page_repeats_the_table() -> None:
    lines = (ROOT / "docs" / "licenses.md").read_text(encoding="utf-8").splitlines()
    cells = [line for line in lines if line.startswith("| `")]
    expected = [
        f"| {', '.join(f'`{work}`' for work in row.works)} | {row.terms} | {row.restriction} | <{row.address}> |"
        for row in license_rows()
    ]
    assert cells == expected


def test_the_table_is_part_of_the_package() -> None:
    assert files("spillover").joinpath("data", "licenses.toml").is_file()
