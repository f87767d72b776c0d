"""Greedy translations against a loop without batch, padding or cache."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sacrebleu
import torch

from spillover.models.inference import rows
from spillover.models.inference.masks import attention_masks
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.tuning.translations import chrf, translate
from spillover.records import Example

pytestmark = pytest.mark.usefixtures("one_thread")

EXAMPLES = [
    Example(str(place), "de", source, target)
    for place, (source, target) in enumerate(
        (
            ("Der Film war gut.\n", "The film was good."),
            ("Nein.\n", "No."),
            ("Ein langer, langer Satz über nichts und wieder nichts, wie man so sagt.\n", "A long, long sentence."),
        )
    )
]


def naive(model: Model, example: Example, room: int) -> str:
    """Read everything again for every token."""
    ids = model.tokenize([example.source])[0]
    begin = len(ids)
    while len(ids) - begin < room and (len(ids) == begin or ids[-1] != model.tokenizer.eos_token_id):
        with torch.inference_mode():
            ids.append(int(model.network(torch.tensor([ids], device=model.device)).logits[0, -1].argmax()))
    return str(model.tokenizer.decode(ids[begin:], skip_special_tokens=True)).strip()


@pytest.mark.parametrize("kind", ["llama", "mistral"])
@pytest.mark.parametrize("places", [1, 64])
def test_translations_are_those_of_the_naive_loop(
    tiny: Callable[[str], Path], kind: str, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_ROWS", places)
    model = load(str(tiny(kind)), "float32")
    room = 2 * max(map(len, model.tokenize([example.target for example in EXAMPLES])))
    found = translate(PrefixReader(model), EXAMPLES)
    assert found == [naive(model, example, room) for example in EXAMPLES]
    assert all(found)


def test_what_other_rows_have_changes_them(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin that must fail: short rows see as many places as the longest."""
    model = load(str(tiny("llama")), "float32")
    expected, plain = translate(PrefixReader(model), EXAMPLES), attention_masks

    def seen(model: Model, full: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor, first: int) -> object:
        return plain(model, full | (len(full) > 2), queries, keys, first)

    monkeypatch.setattr(rows, "attention_masks", seen)
    assert translate(PrefixReader(model), EXAMPLES) != expected


def test_nothing_to_translate_is_nothing(tiny: Callable[[str], Path]) -> None:
    assert translate(PrefixReader(load(str(tiny("llama")), "float32")), []) == []


def test_chrf_is_sacrebleus_and_ignores_the_closing_line() -> None:
    wrote, wanted = ["The film was well.", "No."], ["The film was good.\n", "No.\n"]
    assert chrf(wrote, wanted) == sacrebleu.CHRF().corpus_score(wrote, [["The film was good.", "No."]]).score
    assert chrf(["No."], ["No.\n"]) == 100
    assert chrf(["xyz"], ["No.\n"]) == 0
