"""The language in a task's name."""

import pytest

from spillover.sources.task_names import named_languages

NAMES = {
    ("xnli_de", "xnli_sw"): {"xnli_de": ("xnli_{language}", "de"), "xnli_sw": ("xnli_{language}", "sw")},
    ("belebele_deu_Latn", "belebele_zho_Hans"): {
        "belebele_deu_Latn": ("belebele_{language}", "deu_Latn"),
        "belebele_zho_Hans": ("belebele_{language}", "zho_Hans"),
    },
    ("mmlu_prox_lite_de_law",): {"mmlu_prox_lite_de_law": ("mmlu_prox_lite_{language}_law", "de")},
    ("is_it_de", "is_it_sw"): {"is_it_de": ("is_it_{language}", "de"), "is_it_sw": ("is_it_{language}", "sw")},
    ("xnli_de", "xnli_ur"): {"xnli_de": ("xnli_{language}", "de"), "xnli_ur": ("xnli_{language}", "ur")},
    ("xnli_ur",): {},
    ("gsm8k", "arc_easy"): {},
    ("sw",): {"sw": ("{language}", "sw")},
}


@pytest.mark.parametrize("names", NAMES)
def test_the_part_that_says_a_language(names: tuple[str, ...]) -> None:
    assert named_languages(names) == NAMES[names]
