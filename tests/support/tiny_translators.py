"""Tiny random translation models of the shapes of NLLB, OPUS, M2M100 and MADLAD; nothing is downloaded.

Each function saves a model and its tokenizer under a folder and returns where. torch is imported when a model is made.
"""

import json
from collections.abc import Sequence
from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'\""
"""What they read and write."""
SIZE = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 64}


def nllb_shaped(folder: Path) -> Path:
    """Save a model of NLLB's shape, which knows letters and FLORES tags."""
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    torch.manual_seed(0)
    vocabulary = {piece: number for number, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS])}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[], src_lang="eng_Latn")
    model = M2M100ForConditionalGeneration(M2M100Config(vocab_size=len(tokenizer), init_std=0.5, **SIZE, **HEADS))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


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
    """Save a model of OPUS's shape, English into German; with `tokens`, into what they say."""
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
    """Save a model of OPUS's shape, English into German and Spanish."""
    return opus(folder, (">>deu<<", ">>spa<<"))


def m2m100(folder: Path) -> Path:
    """Save a model of M2M100's shape, which knows the languages that the published models list."""
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
    """Save a model of MADLAD's shape, into German and Spanish."""
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    known = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    tokenizer = T5Tokenizer(vocab=known, extra_ids=0)
    tokenizer.add_tokens(["<2de>", "<2es>"])
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
    gated = {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0, "tie_word_embeddings": False}
    T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **shape, **gated)).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"
