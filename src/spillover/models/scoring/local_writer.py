"""A translation model in this process: the answers to its plain prompts, by the generation that the evaluation uses."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

from spillover.errors import SpilloverError
from spillover.experiment import ModelConfig
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.resident import resident_reader
from spillover.models.load import resolve_dtype
from spillover.models.locate import fingerprint, locate
from spillover.models.model import Model
from spillover.models.scoring.generate import generate
from spillover.records import ChatStyle, Prompt
from spillover.translate.prompts import MAX_TOKENS, PromptForm
from spillover.utils.progress import notify

COMPLETION = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ beginning }}{{ before }}{{ message['content'] }}"
    "{{ after }}{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
"""The chat template of a prompt that the model itself continues. Special tokens that the prompt spells are special."""

KEYS = ("model.name: ", "model.template: ", "evaluate.overflow: ")
"""What errors about a model to evaluate begin with."""


class LocalWriter:
    """One model, which is in memory while it writes: the base model leaves the memory for it, and returns after it."""

    batch, jobs = 64, 1
    """Texts handed over at once, and calls under way at once."""

    def __init__(self, model: str) -> None:
        """Find the model. Its weights are read when there is something to write."""
        self._name = model
        with _of_translator():
            content = fingerprint(locate(model))
        self.version = f"local {content} {resolve_dtype('auto')}"

    def write(self, texts: Sequence[str], form: PromptForm) -> list[str]:
        """Return what the model writes for each text.

        Raises:
            SpilloverError: the model cannot be loaded, or its chat template does not take the prompt.
        """
        with _of_translator():
            reader = _in_style(resident_reader(ModelConfig(name=self._name)), form)
            bodies = [text if form.completion else form.fill(text) for text in texts]
            answers = generate(reader, [Prompt((), body, ()) for body in bodies], MAX_TOKENS, form.stop)
        cut = sum(not answer.ended for answer in answers)
        if cut:
            notify(f"{self._name}: {cut} of {len(texts)} translations are cut at {MAX_TOKENS} tokens")
        return [answer.text for answer in answers]


def _in_style(reader: PrefixReader, form: PromptForm) -> PrefixReader:
    """Return a reader of the same network that puts texts to it in this form."""
    styled = copy(reader)
    styled.model = replace(reader.model, chat=True, style=_style(reader.model, form))
    return styled


def _style(model: Model, form: PromptForm) -> ChatStyle:
    if not form.completion:
        return ChatStyle(part=form.part)
    before, _, after = form.prompt.partition("{text}")
    beginning = "".join(model.tokenizer.convert_ids_to_tokens(list(model.tokenization.beginning)))
    return ChatStyle({"chat_template": COMPLETION, "beginning": beginning, "before": before, "after": after})


@contextmanager
def _of_translator() -> Iterator[None]:
    """Let errors about the model name the key of the translator's model."""
    try:
        yield
    except SpilloverError as error:
        sentence = str(error)
        for key in KEYS:
            sentence = sentence.removeprefix(key)
        raise type(error)(f"translate.model: {sentence}") from error
