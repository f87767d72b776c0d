"""What is read of held-out pairs, against a naive loop; and that they are the ones that were never learned."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from spillover.analysis.interpretability.alignment import cosines
from spillover.experiment import IN_DIGEST, TuneConfig
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.tuning import tune as tune_module
from spillover.models.tuning.contrastive import encode_pair
from spillover.models.tuning.held_out import HeldOut, alignments, nearly_learned, read, retrievals, target_losses
from spillover.models.tuning.loss import IGNORED, TokenizedExample, encode
from spillover.models.tuning.phases import Phase
from spillover.models.tuning.tune import tune
from spillover.records import Example, PartPlan, PhasePlan

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
WORDS = ("rot", "grün", "blau", "gelb", "alt")
PAIRS = [
    Example(f"{a}{b}", ("de", "nl")[place % 2], f"{a} und {b}\n", f"{b} and {a}" * (1 + place % 3))
    for place, a in enumerate(WORDS)
    for b in WORDS[:4]
]
SETTINGS = TuneConfig(rank=4, learning_rate=1e-2, epochs=1, batch=4, validation_share=0.25)


def naive(model: Model, row: TokenizedExample) -> float:
    """One example by itself, whole logits, no cache."""
    with torch.inference_mode():
        logits = model.network(torch.tensor([row.tokens], device=model.device)).logits[0].double()
    places = [place for place, label in enumerate(row.labels) if label != IGNORED]
    steps = torch.log_softmax(logits, dim=-1)[[place - 1 for place in places], [row.tokens[p] for p in places]]
    return -steps.mean().item()


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_losses_are_the_naive_ones(tiny: Callable[[str], Path], kind: str) -> None:
    """A twin that is a token late is seen."""
    model = load(str(tiny(kind)), "float32")
    rows = [encode(model, example) for example in PAIRS[:8]]
    expected = [naive(model, row) for row in rows]
    assert target_losses(PrefixReader(model), rows) == pytest.approx(expected, rel=1e-4)
    late = [TokenizedExample(row.example, row.tokens, (IGNORED, *row.labels[:-1])) for row in rows]
    assert target_losses(PrefixReader(model), late) != pytest.approx(expected, rel=1e-2)


def test_pairs_that_find_each_other_are_the_naive_ones(tiny: Callable[[str], Path]) -> None:
    model = load(str(tiny("llama")), "float32")
    rows = tuple(encode_pair(model, example) for example in PAIRS)
    held_out = HeldOut(compared=rows, depth=0.6)
    reading = read(PrefixReader(model), held_out)
    assert reading.translations == reading.losses == []
    found = retrievals(held_out, reading, reading)
    for code in ("de", "nl"):
        own = [place for place, row in enumerate(rows) if row.example.language == code]
        table = cosines(reading.states[:, own])[0, :, 1]  # first texts × second texts
        for number, place in enumerate(own):
            there, back = (np.argsort(-line)[0] == number for line in (table[number], table[:, number]))
            assert found[place].before == found[place].after == (int(there) + int(back)) / 2
    measured = {(row.language, row.metric): row for row in alignments(held_out, reading, reading)}
    assert {code for code, _ in measured} == {"de", "nl"}
    german = reading.states[:, [place for place, row in enumerate(rows) if row.example.language == "de"]]
    unit = german / np.linalg.norm(german, axis=2, keepdims=True)
    assert measured["de", "cosine"].before == pytest.approx((unit[0] * unit[1]).sum(axis=1).mean())
    assert measured["de", "cosine"].before == measured["de", "cosine"].after
    assert abs(measured["de", "cka"].before_chance) < 0.2, "no alignment by chance"


def test_what_is_read_was_never_learned_and_is_a_translation(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two phases, of which the first has a part without translations."""
    learned: set[Example] = set()
    begun = tune_module.learn_phase

    def learn_phase(model: Model, parts: object, phase: Phase, *rest: object) -> object:
        learned.update(row.example for row in phase.learned)
        return begun(model, parts, phase, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tune_module, "learn_phase", learn_phase)
    others = [Example(f"r{place}", "en", "", f"text {place}") for place in range(8)]
    later = [Example(row.id, row.language, row.source, row.target, stage=1) for row in PAIRS]
    plans = (
        PhasePlan((PartPlan("replay", 1, len(others)), PartPlan("question-translation", 1, len(PAIRS)))),
        PhasePlan((PartPlan("contrastive", 1, len(later)),), depth=0.6),
    )
    rows, few = [*others, *PAIRS, *later], SETTINGS.model_copy(update={"translations": 4})
    history = tune(load(str(tiny("llama")), "float32"), rows, few, 1, tmp_path, plans, [(False, True), (True,)])
    apart = len(PAIRS) // 4
    assert len(learned) == len(others) - 2 + 2 * (len(PAIRS) - apart)
    for found, own in ((history.translations, PAIRS), (history.retrievals, later)):
        assert {row.id for row in found} < {row.id for row in own if row not in learned}
        assert len(found) == few.translations < apart
    assert all(len(row.losses) == 2 for row in history.translations)


def test_the_number_of_pairs_read_leaves_old_adapters_valid() -> None:
    """Version 0.1.0 read 40 by default, and its digests say so; another number is another digest, as it was."""
    written = [TuneConfig(**keys).model_dump(context=IN_DIGEST)["translations"] for keys in ({}, {"translations": 4})]
    assert written == [40, 4]
    assert TuneConfig().model_dump()["translations"] == 200


def share_in_order(one: str, other: str) -> float:
    """Return the share of characters in the longest common subsequence, by the textbook's table."""
    row = [0] * (len(other) + 1)
    for letter in one:
        line = [0]
        for place, known in enumerate(other):
            line.append(row[place] + 1 if letter == known else max(row[place + 1], line[-1]))
        row = line
    return 2 * row[-1] / (len(one) + len(other))


def test_nearly_learned_is_the_naive_double_loop() -> None:
    """A pair in another language, or with only one text alike, does not count. Twins that forget either differ."""
    learned = [
        Example(f"{code}{place}", code, f"Bitte prüfen Sie die Rechnung {place} vom {word}.", f"Please check {word}.")
        for place, (code, word) in enumerate(
            [("de", "Montag im Mai"), ("de", "ersten Tag"), ("nl", "Montag im Juni"), ("de", "elften Tag des Jahres")]
        )
    ]
    held_out = [
        Example("a", "de", "Bitte prüfen Sie die Rechnung 9 vom Montag im Mai.", "Please check Montag im Mai."),
        Example("b", "de", "Bitte prüfen Sie die Rechnung 9 vom Montag im Juni.", "Please check Montag im Juni."),
        Example("c", "nl", "Bitte prüfen Sie die Rechnung 9 vom Montag im Mai.", "Please check Montag im Mai."),
        Example("d", "de", "Bitte prüfen Sie die Rechnung 1 vom ersten Tag.", "Please check Montag im Juni, at once."),
        Example("e", "sv", learned[0].source, learned[0].target),
        Example("f", "de", "BITTE prüfen  Sie die Rechnung 3 vom elften Tag des Jahres.", learned[3].target),
    ]

    def near(one: Example, other: Example, languages: bool = True, targets: bool = True) -> bool:
        texts = [(one.source, other.source), (one.target, other.target)][: 1 + targets]
        alike = all(share_in_order(a.casefold(), b.casefold()) >= 0.9 for a, b in texts)
        return alike and (one.language == other.language or not languages)

    expected = tuple(any(near(one, other) for other in learned) for one in held_out)
    assert nearly_learned(held_out, learned) == expected
    assert expected.count(True) in range(2, 5)
    assert expected != tuple(any(near(one, other, languages=False) for other in learned) for one in held_out)
    assert expected != tuple(any(near(one, other, targets=False) for other in learned) for one in held_out)
    assert nearly_learned(held_out, []) == (False,) * len(held_out)
    assert nearly_learned([], learned) == ()


def test_the_history_marks_pairs_that_are_nearly_learned(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    texts = [f"{a} {b} {c}" for a in WORDS[:4] for b in WORDS for c in ("heute", "morgen früh")]
    doubled = [
        Example(f"{text} {turn}", "de", f"{text} gesehen\n", f"{text} seen") for text in texts[:8] for turn in (0, 1)
    ]
    settings = SETTINGS.model_copy(update={"validation_share": 0.5})
    history = tune(load(str(tiny("llama")), "float32"), doubled, settings, 0, tmp_path)
    learned = {row.source for row in doubled} - {row.source for row in history.translations}
    marks = {row.nearly_learned for row in history.translations}
    assert marks <= {True, False} and len(history.translations) == 8
    held_out = [row.source for row in history.translations]
    for row in history.translations:
        if held_out.count(row.source) == 2 and not any(share_in_order(row.source, other) >= 0.9 for other in learned):
            assert row.nearly_learned is False
        if held_out.count(row.source) == 1:
            assert row.nearly_learned is True, "its double was learned"
