"""Translation models on one's own machine, run by CTranslate2: NLLB, M2M100, MADLAD, OPUS.

A model of the hub or a local folder is converted once, to int8 on a CPU and float16 on a GPU, and kept in the user's
cache. Families differ in how they take the languages: each has a row in `MODEL_FAMILIES`.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ctranslate2
from filelock import FileLock
from platformdirs import user_cache_path

from spillover.errors import SpilloverError, did_you_mean
from spillover.languages import Language, get_language, known_languages
from spillover.translate.lines import by_line
from spillover.utils.digests import content_digest
from spillover.utils.hub import download
from spillover.utils.progress import notify

PATTERNS = ("*.json", "*.safetensors", "pytorch_model*.bin", "*.model", "*.spm")
"""Files of a model on the hub that the converter and the tokenizer may read."""
MADLAD = "google/madlad400-3b-mt"
"""The smallest of the models that were trained on MADLAD-400."""
WINDOW = 1024
"""Most tokens per line for a model without a fixed number of positions (T5)."""
DIGEST = "sha256"
"""File beside a converted model with the digest of its weights, which is part of the memory's key."""


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """How a family of models takes the languages."""

    codes: Callable[[Language], tuple[str, ...]]
    """A language's names in this family, the likeliest first."""
    token: str
    """The token that stands for a language, `{}` its name."""
    begins_source: bool
    """Whether the target's token stands before the source text; otherwise the translation begins with it."""


def _iso(row: Language) -> tuple[str, ...]:
    individual = row.nllb.partition("_")[0]  # such as nob, where the code of ISO 639-3 is a family's, nor
    return (row.code, row.iso639_3, individual, row.nllb)


MODEL_FAMILIES = {
    "NllbTokenizer": ModelFamily(lambda row: (row.nllb,), "{}", begins_source=False),
    "M2M100Tokenizer": ModelFamily(_iso, "__{}__", begins_source=False),
    "T5Tokenizer": ModelFamily(_iso, "<2{}>", begins_source=True),
    "MarianTokenizer": ModelFamily(_iso, ">>{}<<", begins_source=True),
}
"""Class of the tokenizer → its family: NLLB, M2M100, MADLAD, OPUS."""


class Nllb:
    """One converted model."""

    batch = 64
    """Texts handed over at once; CTranslate2 sorts their lines by length."""

    def __init__(self, model: str = "facebook/nllb-200-distilled-600M") -> None:
        """Open a model, converting it where that was not done before."""
        from transformers import AutoConfig, AutoTokenizer

        device, precision = ("cuda", "float16") if ctranslate2.get_cuda_device_count() else ("cpu", "int8")
        self._name, folder = model, _folder(model)
        with _loading(model):
            self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        kind = type(self.tokenizer).__name__.removesuffix("Fast")
        if kind not in MODEL_FAMILIES:
            raise SpilloverError(
                f"translate.model: {model!r} is no translation model: found a {kind}; "
                f"{did_you_mean(kind, MODEL_FAMILIES)}"
            )
        self._family = MODEL_FAMILIES[kind]
        with _loading(model):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        self._window = int(getattr(config, "max_position_embeddings", WINDOW))
        self.folder, self._device, self._precision = _converted(folder, precision), device, precision
        self.version = f"{precision} {(self.folder / DIGEST).read_text(encoding='utf-8')}"

    @cached_property
    def _translator(self) -> ctranslate2.Translator:
        """The model, loaded when there is something to translate."""
        return ctranslate2.Translator(str(self.folder), device=self._device, compute_type=self._precision)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate line by line, because these models know no line breaks."""
        return by_line(texts, lambda lines: self._lines(lines, source, target))

    def require(self, source: str, target: str) -> None:
        """Refuse a language that the model lacks."""
        self._token(source, target)

    def unknown_shares(self, texts: Sequence[str], language: str) -> list[float]:
        """Return the share of tokens in each text that the model does not know, in [0, 1]."""
        unknown = self.tokenizer.unk_token_id
        ids = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        return [row.count(unknown) / max(1, len(row)) for row in ids]

    def _lines(self, lines: Sequence[str], source: str, target: str) -> list[str]:
        """Translate lines; what is longer than the model reads is cut, and said so."""
        token = self._token(source, target)
        before = f"{token} " if token and self._family.begins_source else ""
        prefix = [token] if token and not self._family.begins_source else []
        inputs = [self.tokenizer.convert_ids_to_tokens(self.tokenizer(before + line).input_ids) for line in lines]
        longest = max(map(len, inputs), default=0)
        if longest > self._window:
            notify(f"{self._name}: lines of up to {longest} tokens are cut to the {self._window} that it reads")
        results = self._translator.translate_batch(
            inputs,
            target_prefix=[prefix] * len(inputs),
            max_batch_size=16,
            max_input_length=self._window,
            max_decoding_length=min(self._window, 2 * longest + 16),
        )
        ids = [self.tokenizer.convert_tokens_to_ids(result.hypotheses[0][len(prefix) :]) for result in results]
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def _token(self, source: str, target: str) -> str:
        """Return the target language's token and set the tokenizer's source; refuse a language that the model lacks."""
        names = {
            code: name
            for code, row in known_languages().items()
            for name in reversed(self._family.codes(row))
            if self._has(self._family.token.format(name))
        }
        if not names:
            return self._one_way(source, target)
        for code in (target,) if self._family.begins_source else (source, target):
            if code not in names:
                raise SpilloverError(
                    f"translate.model: {self._name!r} lacks language {code!r}; {did_you_mean(code, names)}"
                )
        if not self._family.begins_source:
            self.tokenizer.src_lang = names[source]
        return self._family.token.format(names[target])

    def _has(self, token: str) -> bool:
        """Whether the model has a token; only its tokenizer lists the languages of M2M100."""
        unknown = (None, self.tokenizer.unk_token_id)
        return bool(token) and self.tokenizer.convert_tokens_to_ids(token) not in unknown

    def _one_way(self, source: str, target: str) -> str:
        """Accept the direction of a model without tokens for languages; its tokenizer names the two."""
        pair = (getattr(self.tokenizer, "source_lang", None), getattr(self.tokenizer, "target_lang", None))
        for code, name in zip((source, target), pair, strict=True):
            if name not in (None, *_iso(get_language(code))):
                raise SpilloverError(
                    f"translate.model: {self._name!r} translates {pair[0]}→{pair[1]}, found {source}→{target}"
                )
        return ""


def madlad(model: str = MADLAD) -> Nllb:
    """Open MADLAD-400, or another of its sizes."""
    return Nllb(model)


@contextmanager
def _loading(model: str) -> Iterator[None]:
    """Turn any error of the library about a user's files into one sentence."""
    try:
        yield
    except Exception as error:  # it raises nothing narrower for files that are cut, mixed up or bring their own code
        reason = " ".join(str(error).split())
        raise SpilloverError(f"translate.model: cannot load {model!r}: {reason}") from error


def _folder(model: str) -> Path:
    """Return the folder of a model: the one named, or a download."""
    if Path(model).is_dir():
        return Path(model)
    return download(model, PATTERNS, "translate.model", "a folder or a model of the hub")


def _converted(folder: Path, precision: str) -> Path:
    """Return the model as CTranslate2 reads it, converting it where that was not done before."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    state = [(str(path.relative_to(folder)), content_digest(path)) for path in files]
    key = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
    place = user_cache_path("spillover") / "ctranslate2" / f"{key}-{precision}"
    partial = place.with_suffix(".partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):
            if not place.exists():
                notify(f"converting {folder} to {precision}, once")
                shutil.rmtree(partial, ignore_errors=True)
                converter = ctranslate2.converters.TransformersConverter(str(folder), trust_remote_code=False)
                converter.convert(str(partial), quantization=precision)
                with (partial / "model.bin").open("rb") as weights:
                    digest = hashlib.file_digest(weights, "sha256").hexdigest()[:16]
                (partial / DIGEST).write_text(digest, encoding="utf-8")
                partial.rename(place)
    except Exception as error:  # the converter raises whatever a file that is cut or mixed up makes it raise
        shutil.rmtree(partial, ignore_errors=True)
        raise SpilloverError(f"translate.model: cannot convert {folder} to {place}: {error}") from error
    return place
