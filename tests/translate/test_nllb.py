"""Translation models converted for CTranslate2: tiny random ones of NLLB's, M2M100's, MADLAD's and OPUS's shape."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from faults import asked, texts_of
from spillover.errors import SpilloverError
from spillover.translate import nllb, open_translator
from spillover.translate.nllb import MODEL_FAMILIES, Nllb

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'\""
SIZE = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 64}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of NLLB's shape that knows letters and FLORES tags."""
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("nllb")
    vocabulary = {piece: number for number, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS])}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[], src_lang="eng_Latn")
    model = M2M100ForConditionalGeneration(M2M100Config(vocab_size=len(tokenizer), init_std=0.5, **SIZE, **HEADS))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_is_converted_once_and_translates(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    texts = ["A house.", "", "Two lines\n\n of text"]
    first = Nllb(str(tiny))
    assert "converting" in capfd.readouterr().err
    found = first.translate(texts, "en", "es")
    assert [text.count("\n") for text in found] == [0, 0, 2]
    assert found[1] == ""
    assert not any(tag in text for text in found for tag in ("spa_Latn", "eng_Latn", "</s>", "▁"))
    again = Nllb(str(tiny))
    assert "converting" not in capfd.readouterr().err
    assert (again.translate(texts, "en", "es"), again.version) == (found, first.version)
    assert found != first.translate(texts, "en", "de"), "the target's tag is read"


def test_a_line_longer_than_the_model_reads_is_cut_and_said_so(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert len(Nllb(str(tiny)).translate(["a" * 200, "b"], "en", "es")) == 2
    assert "are cut to the 64 that it reads" in " ".join(capfd.readouterr().err.split())


class Echo:
    """In CTranslate2's place: gives back what it is given; remembers it."""

    def translate_batch(self, tokens: Sequence[list[str]], target_prefix: list[list[str]], **options: object):
        self.tokens, self.prefix = tokens, target_prefix
        plain = [[token for token in row if token not in ("</s>", "eng_Latn", "swh_Latn")] for row in tokens]
        return [SimpleNamespace(hypotheses=[[*prefix, *row]]) for prefix, row in zip(target_prefix, plain, strict=True)]


def test_languages_are_told_as_nllb_is_told(tiny: Path) -> None:
    engine, echo = Nllb(str(tiny)), Echo()
    engine._translator = echo
    texts = ["A house.", "Two lines\n of text"]
    assert engine.translate(texts, "sw", "zh") == ["A house.", "Two lines\nof text"], "and its tag is taken off again"
    assert {row[0] for row in echo.tokens} == {"swh_Latn"}
    assert echo.prefix == [["zho_Hans"]] * 3


def test_questions_are_translated_and_kept_under_the_weights(tiny: Path, tmp_path: Path) -> None:
    found = open_translator(lambda code: [], "nllb", str(tiny)).translate(asked("a", "b", "a"), "es")
    assert texts_of(found)[0] == texts_of(found)[2]
    assert texts_of(found)[:1] == Nllb(str(tiny)).translate(["a"], "en", "es")


def test_a_language_that_the_model_lacks_is_named_with_the_others(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Nllb(str(tiny))
    whole = engine._tokenizer.convert_tokens_to_ids
    monkeypatch.setattr(engine._tokenizer, "convert_tokens_to_ids", lambda t: 3 if t == "tha_Thai" else whole(t))
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


def pieces(place: Path) -> list[str]:
    """Train a sentencepiece model of some letters, write it to `place`, and return its pieces."""
    import sentencepiece

    text = place.with_suffix(".txt")
    text.write_text("\n".join(f"{a}{b} {c}{a}" for a in LETTERS for b in LETTERS[:9] for c in LETTERS[:3]), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(place.with_suffix("")), vocab_size=120, minloglevel=2
    )
    place.with_suffix(".model").rename(place)
    model = sentencepiece.SentencePieceProcessor(model_file=str(place))
    return [model.id_to_piece(id) for id in range(3, len(model))]


def opus(folder: Path, tokens: Sequence[str] = ()) -> Path:
    """A model of OPUS's shape, English into German; with `tokens`, into what they say."""
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    names = ["</s>", "<unk>", *tokens, *pieces(folder / "source.spm"), "<pad>"]
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    (folder / "vocab.json").write_text(json.dumps({name: id for id, name in enumerate(names)}), encoding="utf-8")
    files = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    tokenizer = MarianTokenizer(*files, **({} if tokens else {"source_lang": "en", "target_lang": "de"}))
    ids = {"pad_token_id": len(names) - 1, "decoder_start_token_id": len(names) - 1, "eos_token_id": 0}
    config = MarianConfig(vocab_size=len(names), init_std=0.5, **SIZE, **HEADS, **ids, forced_eos_token_id=0)
    MarianMTModel(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


def multilingual_opus(folder: Path) -> Path:
    return opus(folder, (">>deu<<", ">>spa<<"))


def m2m100(folder: Path) -> Path:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    told = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]  # as the published models list them
    names = ["<s>", "<pad>", "</s>", "<unk>", *pieces(folder / "sentencepiece.bpe.model")]
    (folder / "vocab.json").write_text(json.dumps({name: id for id, name in enumerate(names)}), encoding="utf-8")
    files = [str(folder / name) for name in ("vocab.json", "sentencepiece.bpe.model")]
    tokenizer = M2M100Tokenizer(*files, additional_special_tokens=told)
    size = len(tokenizer) + tokenizer.num_madeup_words
    M2M100ForConditionalGeneration(M2M100Config(vocab_size=size, init_std=0.5, **SIZE, **HEADS)).save_pretrained(
        folder / "model"
    )
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


def madlad(folder: Path) -> Path:
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    known = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    tokenizer = T5Tokenizer(vocab=known, extra_ids=0)
    tokenizer.add_tokens(["<2de>", "<2es>"])
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
    gated = {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0, "tie_word_embeddings": False}
    T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **shape, **gated)).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


MULTILINGUAL = {
    "m2m100": (m2m100, ["__en__"], ["__de__"]),
    "madlad": (madlad, ["<2de>"], []),
    "opus": (multilingual_opus, [">>deu<<"], []),
}
"""Shape → what writes it, what its source then begins with in a translation into German, and its target."""


@pytest.mark.parametrize("shape", MULTILINGUAL)
def test_each_shape_is_converted_and_told_the_language_as_it_learned_to_be(shape: str, tmp_path: Path) -> None:
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
        names = json.loads((engine._converted / "shared_vocabulary.json").read_text("utf-8"))
        assert names.index(token) == engine._tokenizer.convert_tokens_to_ids(token), "converted, it is the same token"
    engine._translator = echo = Echo()
    engine.translate(["ab ca"], "en", "de")
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


def test_a_failed_conversion_leaves_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, folder: str, **options: object) -> None:
        Path(folder).mkdir()
        (Path(folder) / "model.bin").write_bytes(b"half")
        raise RuntimeError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(nllb.ctranslate2.converters.TransformersConverter, "convert", fail)
        with pytest.raises(SpilloverError, match=r"cannot convert .*: no space left"):
            Nllb(str(tiny))
    assert len(Nllb(str(tiny)).translate(["a"], "en", "es")) == 1
