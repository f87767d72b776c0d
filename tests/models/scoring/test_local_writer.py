"""Translation models in this process, against transformers' `generate` on the bytes of the model cards."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from quiz import quiz, texts_of
from spillover.errors import SpilloverError
from spillover.models.inference import resident
from spillover.models.inference.prefix import PrefixReader
from spillover.models.scoring import local_writer
from spillover.models.scoring.generate import Generated, generate
from spillover.records import Prompt
from spillover.translate import open_translator
from tiny_models import save_model

pytestmark = pytest.mark.usefixtures("one_thread")

LIMIT = 12
TEXTS = ("It is cold here.", "Why? {1}", "鸟")
STRUCTURED = """{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}
{%- if m.content is string or m.content | length != 1 %}{{ raise_exception('one part, please') }}{% endif %}
{%- set part = m.content[0] -%}
<user>{{ part.source_lang_code }} to {{ part.target_lang_code }}: {{ part.text | trim }}</user>
{%- else %}<model>{{ m.content }}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}<model>{% endif %}"""
"""A template that takes TranslateGemma's messages and refuses all others."""
PLAIN = """{% for m in messages %}{% if m.role == 'user' %}<user>{{ m.content }}</user>{% else %}<model>
{{- m.content }}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}<model>{% endif %}"""

CARDS = {
    "hy-mt2": (
        PLAIN,
        "<user>Translate the following text into Spanish. Note that you should only output the translated result "
        "without any additional explanation:\n\n{}</user><model>",
    ),
    "translategemma": (STRUCTURED, "<s><user>en to es: {}</user><model>"),
    "tower+": (
        PLAIN,
        "<user>Translate the following English source text to Spanish:\nEnglish: {}\nSpanish: </user><model>",
    ),
    "seed-x": (None, "Translate the following English sentence into Spanish:\n{} <es>"),
    "gemmax2": (None, "Translate this from English to Spanish:\nEnglish: {}\nSpanish:"),
}
"""Engine → the chat template of the model, and the text that the model reads."""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(local_writer, "MAX_TOKENS", LIMIT)
    monkeypatch.setattr("spillover.models.load.resolve_dtype", lambda name: "float32")
    yield
    resident.in_memory = None


@pytest.fixture(scope="module")
def translators(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function: engine → folder of a tiny model with the template of its family."""

    def save(name: str) -> Path:
        folder = tmp_path_factory.mktemp("translator")
        tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
        tokenizer.add_special_tokens({"additional_special_tokens": ["<es>"]})
        if template := CARDS[name][0]:
            tokenizer.chat_template = template
        save_model("llama", tokenizer, folder)
        return folder

    return save


def naive(folder: Path, prompt: str, text: str, ends_at_line: bool) -> str:
    """Let transformers continue the prompt."""
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt.replace("{}", text), add_special_tokens=False)["input_ids"]
    tensor = torch.tensor([ids])
    options = {"max_new_tokens": LIMIT, "do_sample": False, "pad_token_id": 1}
    written = network.generate(tensor, attention_mask=torch.ones_like(tensor), **options)[0, len(ids) :]
    answer = str(tokenizer.decode(written, skip_special_tokens=True))
    return (answer.partition("\n")[0] if ends_at_line else answer).strip()


@pytest.mark.parametrize("name", CARDS)
def test_a_model_reads_the_bytes_of_its_card(translators: Callable[[str], Path], name: str) -> None:
    folder = translators(name)
    found = texts_of(open_translator(lambda code: [], name, str(folder)).translate(quiz(*TEXTS), "es"))
    template, prompt = CARDS[name]
    assert found == [naive(folder, prompt, text, template is None) for text in TEXTS]
    twin = [naive(folder, f"{prompt} ", text, template is None) for text in TEXTS]
    assert twin != found, "one blank more is another prompt"


def test_what_a_text_spells_is_no_token_and_what_the_prompt_spells_is_one(
    translators: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sequences = translators("seed-x"), []

    def watched(reader: PrefixReader, prompts: list[Prompt], *rest: Any) -> list[Generated]:  # noqa: ANN401 - as `generate` takes them
        sequences.extend(reader.model.tokenize([reader.model.render(prompt) for prompt in prompts]))
        return generate(reader, prompts, *rest)

    monkeypatch.setattr(local_writer, "generate", watched)
    open_translator(lambda code: [], "seed-x", str(folder)).translate(quiz("a </s> b"), "es")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (ids,) = sequences
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<es>")
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True).replace("\ufdd0", "").endswith("a </s> b ")


def test_translations_that_reach_the_limit_are_told(
    translators: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    open_translator(lambda code: [], "gemmax2", str(translators("gemmax2"))).translate(quiz(*TEXTS), "es")
    assert f"translations are cut at {LIMIT} tokens" in " ".join(capfd.readouterr().err.split())


def test_errors_name_the_translators_key(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(SpilloverError, match=r"^translate.model: found 'nowhere', expected"):
        open_translator(lambda code: [], "hy-mt2", "nowhere")
    engine = open_translator(lambda code: [], "hy-mt2", str(tiny("llama")))
    with pytest.raises(SpilloverError, match=r"^translate.model: found 'chat', but the tokenizer has no chat"):
        engine.translate(quiz("a"), "es")
    with pytest.raises(SpilloverError, match=r"^translate.model: prompt 0 has .* the model's context is 2048"):
        open_translator(lambda code: [], "seed-x", str(tiny("llama"))).translate(quiz("a b c " * 2000), "es")
