"""The licenses of what an experiment uses, and where a user is told them."""

from types import SimpleNamespace
from typing import Any

import pytest

from spillover.experiment import Experiment, parse_experiment
from spillover.records import License
from spillover.report.tables.cost import license_terms
from spillover.stages.licenses import licenses, tell_restriction, translator_license
from spillover.utils.licenses import NOT_RECORDED


def experiment(**sections: Any) -> Experiment:  # noqa: ANN401 - a table of TOML
    return parse_experiment(sections, "test")


def told(chosen: Experiment) -> dict[str, tuple[str, str]]:
    return {each.role: (each.work, each.terms) for each in licenses(chosen)}


def test_the_default_experiment_uses_a_model_and_the_starter_corpus() -> None:
    assert told(experiment()) == {
        "model": ("gemma-3-270m", "Gemma Terms of Use"),
        "questions": ("starter", "Apache-2.0"),
        "items": ("starter", "Apache-2.0"),
    }


def test_hub_sources_are_known_by_their_id_and_own_folders_are_left_out() -> None:
    chosen = experiment(questions={"source": "hub:facebook/xnli:en"}, evaluate={"source": "folder:here"})
    assert told(chosen)["questions"] == ("hub:facebook/xnli:en", "CC BY-NC 4.0")
    assert "items" not in told(chosen)


TRANSLATORS = {
    "parallel": ({"with": "parallel"}, None),
    "an engine's default": ({"with": "nllb"}, ("nllb", "CC BY-NC 4.0")),
    "another model": ({"with": "nllb", "model": "facebook/m2m100_418M"}, ("nllb facebook/m2m100_418M", "MIT")),
    "an unknown model": ({"with": "nllb", "model": "./mine"}, ("nllb ./mine", NOT_RECORDED)),
    "a family's model in a folder": ({"with": "tower+", "model": "./tower"}, ("tower+ ./tower", "CC BY-NC-SA 4.0")),
    "a user's own": ({"with": "my:Engine"}, ("my:Engine", NOT_RECORDED)),
}


@pytest.mark.parametrize("case", TRANSLATORS)
def test_a_translator_is_known_by_its_model_or_its_engine(case: str) -> None:
    section, expected = TRANSLATORS[case]
    found = translator_license(experiment(translate=section))
    assert (found and (found.work, found.terms)) == expected
    assert told(experiment(translate=section)).get("translator") == expected


def test_arms_with_other_models_count_and_nothing_tuned_has_no_questions() -> None:
    arms = {"small": {"model": "google/gemma-3-1b-pt"}, "large": {"model": "Qwen/Qwen3-8B"}}
    chosen = experiment(arms=arms, translate={"with": "nllb"})
    assert [(each.role, each.terms) for each in licenses(chosen)] == [
        ("model", "Gemma Terms of Use"),
        ("model", "Apache-2.0"),
        ("items", "Apache-2.0"),
    ]


def test_a_restriction_is_told_before_anything_is_translated(capfd: pytest.CaptureFixture[str]) -> None:
    tell_restriction(experiment(translate={"with": "madlad"}))
    assert capfd.readouterr().err == ""
    tell_restriction(experiment(translate={"with": "nllb"}))
    line = " ".join(capfd.readouterr().err.split())
    assert line.startswith("license of the translator nllb: CC BY-NC 4.0: non-commercial use only (https://")


def test_the_table_of_the_report_has_a_row_per_work() -> None:
    rows = (License("model", "m", "MIT", "", "https://a"), License("items", "i", "CC BY-NC 4.0", "no sale", ""))
    findings: Any = SimpleNamespace(licenses=rows)
    (table,) = license_terms(findings)
    assert table.rows == (("model", "m", "MIT", "", "https://a"), ("items", "i", "CC BY-NC 4.0", "no sale", ""))
    findings.licenses = ()
    assert license_terms(findings) == []
