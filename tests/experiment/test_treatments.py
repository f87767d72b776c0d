"""What a mixture is meant to teach: so the manipulation check knows what to expect of it."""

import pytest

from spillover.experiment import parse_experiment
from spillover.experiment.treatments import TREATMENTS
from spillover.plugins import RECIPES

NOTHING = {"annotated-english", "annotated-multilingual", "annotated-pivot", "replay"}
CONTROLS = {"shuffled-pairs", "copy"}


def test_every_recipe_says_what_it_teaches() -> None:
    assert TREATMENTS.keys() == RECIPES.keys()
    assert {name for name, words in TREATMENTS.items() if not words.teaches} == NOTHING
    assert {name for name, words in TREATMENTS.items() if words.control} == CONTROLS


TRANSLATION = {"recipe": "question-translation"}
REPLAY = {"recipe": "replay", "source": "folder:x"}
WRONG = TRANSLATION | {"control": "shuffled-pairs"}


@pytest.mark.parametrize(
    ("phases", "teaches", "control"),
    [
        ([[TRANSLATION]], True, False),
        ([[TRANSLATION, REPLAY]], True, False),
        ([[WRONG, REPLAY]], True, True),
        ([[WRONG], [TRANSLATION]], True, False),
        ([[{"recipe": "contrastive"}]], True, False),
        ([[{"recipe": "contrastive", "control": "copy"}], [{"recipe": "annotated-english"}]], True, True),
        ([[REPLAY], [{"recipe": "annotated-english"}]], False, False),
        ([[{"recipe": "mine:recipe"}]], True, False),
    ],
)
def test_phases_teach_what_their_parts_do(phases: list[list[dict[str, str]]], teaches: bool, control: bool) -> None:
    table = {"mixture": {"phases": [{"parts": parts} for parts in phases]}}
    experiment = parse_experiment(table, "test")
    assert (experiment.teaches, experiment.is_control) == (teaches, control)
