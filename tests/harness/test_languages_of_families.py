"""Which language a family's task is in: any that is known here, in its own script, or in another that is asked for."""

from pathlib import Path

import pytest

from local_tasks import CONFIGS, copa, list_local_tasks_only, write_task
from spillover.errors import SpilloverError
from spillover.experiment import parse_experiment
from spillover.languages import languages, lookup
from spillover.sources.families import members, members_among
from spillover.stages.inputs import Inputs
from spillover.tasks import open_task

XCOPA = CONFIGS["tiny_xcopa"][1]
TAGS = ("eng_latn", "hin_deva", "hin_latn", "ben_latn", "yor_latn", "cmn_hant", "nag_latn", "por_latn_braz")
SEVERAL = ("spa_latn_mexi", "spa_latn_peru")
"""Spanish of two countries: nothing says which one is meant."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks that are named as Global PIQA's are: the code and the script in small letters, some with a country."""
    folder = tmp_path_factory.mktemp("piqa")
    for tag in (*TAGS, *SEVERAL):
        rows = [{**row, "premise": f"{tag} {row['premise']}"} for row in copa()]
        write_task(folder, f"small_piqa_{tag}", rows, XCOPA)
    return folder


@pytest.fixture(autouse=True)
def only_local(monkeypatch: pytest.MonkeyPatch) -> None:
    list_local_tasks_only(monkeypatch)


def inputs(folder: Path, wanted: object) -> Inputs:
    table = {
        "evaluate": {"tasks": [f"harness:{folder}/small_piqa_{{language}}"], "languages": wanted},
        "languages": {"nag": {"name": "Nagamese", "script": "Latin", "family": "Indo-Aryan", "tier": "low"}},
    }
    return Inputs(parse_experiment(table, "test"))


def test_each_script_is_a_member_of_its_own(folder: Path) -> None:
    assert members(f"{folder}/small_piqa_{{language}}") == {
        "en": "small_piqa_eng_latn",
        "hi": "small_piqa_hin_deva",
        "bn-Latn": "small_piqa_ben_latn",
        "hi-Latn": "small_piqa_hin_latn",
        "yo": "small_piqa_yor_latn",
        "zh-Hant": "small_piqa_cmn_hant",
        "pt": "small_piqa_por_latn_braz",
    }
    latin = members(f"{folder}/small_piqa_{{language}}_latn")
    assert {code: latin[code] for code in ("en", "hi-Latn")} == {
        "en": "small_piqa_eng_latn",
        "hi-Latn": "small_piqa_hin_latn",
    }
    assert {"hi", "bn"}.isdisjoint(latin), "a script after the placeholder is the member's"


def test_all_means_the_twenty_and_those_that_the_experiment_brings(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    task = open_task(f"harness:{folder}/small_piqa_{{language}}")
    assert inputs(folder, "all").item_languages(task) == ("en", "hi")
    assert "leaves out pt, yo, zh-Hant, bn-Latn, hi-Latn (5 in all)" in capfd.readouterr().err
    measured = inputs(folder, "all")
    with measured.experiment.registered():
        assert measured.item_languages(task) == ("en", "hi", "nag")
    assert inputs(folder, "available").item_languages(task) == ("en", "hi", "pt", "yo", "zh-Hant", "bn-Latn", "hi-Latn")


def test_another_script_is_measured_where_it_is_named(folder: Path) -> None:
    measured = inputs(folder, ["eng_Latn", "hin_latn"])
    task = open_task(f"harness:{folder}/small_piqa_{{language}}")
    assert measured.item_languages(task) == ("en", "hi-Latn")
    assert measured.items_in(task, "hi-Latn")[0].fields[0].startswith("hin_latn ")


def test_an_experiment_that_names_no_language_measures_the_twenty() -> None:
    """The digest of an experiment does not know of the other languages."""
    defaults = Inputs(parse_experiment({}, "test"))
    for task in defaults.tasks.values():
        assert defaults.item_languages(task) == tuple(languages())
    assert parse_experiment({}, "test").evaluate.model_dump(mode="json")["languages"] == "all"


def test_two_countries_of_one_language_are_never_taken_for_one(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    family = f"{folder}/small_piqa_{{language}}"
    members_among.cache_clear()
    assert "es" not in members(family)
    line = "leaves out 'es': found the tasks small_piqa_spa_latn_mexi, small_piqa_spa_latn_peru for one language"
    assert line in capfd.readouterr().err
    with pytest.raises(
        SpilloverError, match=r"small_piqa_spa_latn_peru .* small_piqa_\{language\}_mexi or small_piqa_"
    ):
        _ = inputs(folder, ["es"]).items
    assert members(f"{folder}/small_piqa_{{language}}_mexi") == {"es": "small_piqa_spa_latn_mexi"}


def test_a_country_is_read_from_its_first_letters_and_a_dialect_is_none() -> None:
    spellings = {"por_latn_braz": "pt", "spa_latn_mexi": "es", "fra_Latn_cana": "fr", "pt-Latn-port": "pt"}
    assert {text: lookup(text) for text in spellings} == spellings
    assert lookup("srp_cyrl_torl") is lookup("slv_latn_prle") is lookup("por_latn_xxxx") is None
    assert lookup("hin_latn_indi") == "hi-Latn", "the script still counts"
