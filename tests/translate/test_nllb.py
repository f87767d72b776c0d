"""Translation models converted for CTranslate2: tiny random ones of NLLB's, M2M100's, MADLAD's and OPUS's shape."""

import json
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import pytest

from quiz import quiz, texts_of
from spillover.errors import SpilloverError
from spillover.translate import open_translator
from spillover.translate.nllb import MODEL_FAMILIES, Nllb
from spillover.translate.nllb import madlad as open_madlad
from tiny_translators import m2m100, madlad, multilingual_opus, nllb_shaped, opus


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of NLLB's shape."""
    return nllb_shaped(tmp_path_factory.mktemp("nllb"))


def test_a_model_is_converted_once_and_translates(translator: Path, capfd: pytest.CaptureFixture[str]) -> None:
    texts = ["A house.", "", "Two lines\n\n of text"]
    first = Nllb(str(translator))
    assert "converting" in capfd.readouterr().err
    found = first.translate(texts, "en", "es")
    assert [text.count("\n") for text in found] == [0, 0, 2]
    assert found[1] == ""
    assert not any(tag in text for text in found for tag in ("spa_Latn", "eng_Latn", "</s>", "▁"))
    again = Nllb(str(translator))
    assert "converting" not in capfd.readouterr().err
    assert (again.translate(texts, "en", "es"), again.version) == (found, first.version)
    assert found != first.translate(texts, "en", "de"), "the target's tag is read"


def test_a_line_longer_than_the_model_reads_is_cut_and_said_so(
    translator: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(Nllb(str(translator)).translate(["a" * 200, "b"], "en", "es")) == 2
    assert "are cut to the 64 that it reads" in " ".join(capfd.readouterr().err.split())


def test_madlad_has_its_own_name_and_default(tmp_path: Path) -> None:
    folder = str(madlad(tmp_path))
    found = texts_of(open_translator(lambda code: [], "madlad", folder).translate(quiz("ab ca"), "de"))
    assert found == Nllb(folder).translate(["ab ca"], "en", "de")
    assert signature(open_madlad).parameters["model"].default == "google/madlad400-3b-mt"


class Echo:
    """In CTranslate2's place: gives back what it is given; remembers it."""

    def translate_batch(self, tokens: Sequence[list[str]], target_prefix: list[list[str]], **options: object):
        self.tokens, self.prefix = tokens, target_prefix
        plain = [[token for token in row if token not in ("</s>", "eng_Latn", "swh_Latn")] for row in tokens]
        return [SimpleNamespace(hypotheses=[[*prefix, *row]]) for prefix, row in zip(target_prefix, plain, strict=True)]


def test_languages_are_told_as_nllb_is_told(translator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, echo = Nllb(str(translator)), Echo()
    monkeypatch.setattr("ctranslate2.Translator", lambda *arguments, **options: echo)
    texts = ["A house.", "Two lines\n of text"]
    assert engine.translate(texts, "sw", "zh") == ["A house.", "Two lines\nof text"], "and its tag is taken off again"
    assert {row[0] for row in echo.tokens} == {"swh_Latn"}
    assert echo.prefix == [["zho_Hans"]] * 3


def test_questions_are_translated_and_kept_under_the_weights(translator: Path, tmp_path: Path) -> None:
    found = open_translator(lambda code: [], "nllb", str(translator)).translate(quiz("a", "b", "a"), "es")
    assert texts_of(found)[0] == texts_of(found)[2]
    assert texts_of(found)[:1] == Nllb(str(translator)).translate(["a"], "en", "es")


def test_a_language_that_the_model_lacks_is_named_with_the_others(
    translator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Nllb(str(translator))
    whole = engine.tokenizer.convert_tokens_to_ids
    monkeypatch.setattr(engine.tokenizer, "convert_tokens_to_ids", lambda t: 3 if t == "tha_Thai" else whole(t))
    with pytest.raises(SpilloverError, match=r"lacks language 'th'; choose from en, zh, de"):
        engine.translate(["a"], "en", "th")
    assert len(engine.translate(["a"], "en", "de")) == 1


def test_every_family_names_every_language() -> None:
    from spillover.languages import get_language

    told = {kind: family.token.format(family.codes(get_language("de"))[0]) for kind, family in MODEL_FAMILIES.items()}
    assert told == {
        "NllbTokenizer": "deu_Latn",
        "M2M100Tokenizer": "__de__",
        "T5Tokenizer": "<2de>",
        "MarianTokenizer": ">>de<<",
    }


MULTILINGUAL = {
    "m2m100": (m2m100, ["__en__"], ["__de__"]),
    "madlad": (madlad, ["<2de>"], []),
    "opus": (multilingual_opus, [">>deu<<"], []),
}
"""Shape → what writes it, what its source then begins with in a translation into German, and its target."""


@pytest.mark.parametrize("shape", MULTILINGUAL)
def test_each_shape_is_converted_and_told_the_language_as_it_learned_to_be(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    torch.manual_seed(0)
    write, begins, prefix = MULTILINGUAL[shape]
    engine = Nllb(str(write(tmp_path)))
    texts = ["ab ca\n\nbb aa", "", "cb"]
    found = engine.translate(texts, "en", "de")
    assert [text.count("\n") for text in found] == [2, 0, 0]
    assert found[1] == ""
    assert engine.version.split()[0] == "int8"
    assert found == Nllb(str(tmp_path / "model")).translate(texts, "en", "de"), "the conversion is kept"
    for token in (*begins, *prefix):
        names = json.loads((engine.folder / "shared_vocabulary.json").read_text("utf-8"))
        assert names.index(token) == engine.tokenizer.convert_tokens_to_ids(token), "converted, it is the same token"
    echo = Echo()
    monkeypatch.setattr("ctranslate2.Translator", lambda *arguments, **options: echo)
    Nllb(str(tmp_path / "model")).translate(["ab ca"], "en", "de")
    (tokens,) = echo.tokens
    assert [token for token in tokens if token != "▁"][:1] == begins
    assert tokens[-1] == "</s>"
    assert echo.prefix == [prefix]
    if shape != "m2m100":  # whose vocabulary has a token for every language of its list
        with pytest.raises(SpilloverError, match=r"lacks language 'th'; choose from de, es"):
            engine.translate(["a"], "en", "th")


def test_a_model_of_one_direction_takes_only_that(tmp_path: Path) -> None:
    engine = Nllb(str(opus(tmp_path)))
    assert len(engine.translate(["ab ca", "bb"], "en", "de")) == 2
    for source, target in (("en", "es"), ("de", "en")):
        with pytest.raises(SpilloverError, match=rf"translates en→de, found {source}→{target}"):
            engine.translate(["a"], source, target)


def test_what_is_no_translation_model_is_refused(tmp_path: Path, tokenizer_folder: Path) -> None:
    with pytest.raises(SpilloverError, match=r"is no translation model: found a .*; .*choose from NllbTokenizer"):
        Nllb(str(tokenizer_folder))
    with pytest.raises(SpilloverError, match="expected a folder or a model of the hub"):
        Nllb("no such model!")


def test_a_failed_conversion_leaves_nothing(translator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, folder: str, **options: object) -> None:
        Path(folder).mkdir()
        (Path(folder) / "model.bin").write_bytes(b"half")
        raise RuntimeError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("ctranslate2.converters.TransformersConverter.convert", fail)
        with pytest.raises(SpilloverError, match=r"cannot convert .*: no space left"):
            Nllb(str(translator))
    assert len(Nllb(str(translator)).translate(["a"], "en", "es")) == 1
