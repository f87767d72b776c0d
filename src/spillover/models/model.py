"""A model in memory: its network, its tokenizer and its chat template."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from spillover.errors import SpilloverError
from spillover.models.chat_template import Chat, open_chat, user_markup
from spillover.models.network.compiled import compile_layers
from spillover.models.network.context import batchable, context_length, short_limit, unused_positions
from spillover.models.network.head import Halves, Head, dissect, ingredients
from spillover.models.tokenization import Tokenization
from spillover.records import ChatStyle, Prompt


@dataclass(frozen=True, eq=False)
class Model:
    """A causal language model, ready to read."""

    network: Any
    """The `transformers` model in evaluation mode, with the layers of the adapter if there is one."""
    tokenizer: Any
    """Its fast tokenizer."""
    chat: bool
    """Whether texts are wrapped in the tokenizer's chat template."""
    style: ChatStyle = ChatStyle()
    """How a prompt becomes a chat."""
    name: str = ""
    """Its name in the experiment, for errors; empty if it was made from a network."""

    @property
    def device(self) -> torch.device:
        """Where token ids are made and hidden states arrive: the device of the unembedding."""
        unembedding = self.network.get_output_embeddings()
        device: torch.device = self.network.device if unembedding is None else unembedding.weight.device
        return device

    @property
    def backbone(self) -> Any:  # noqa: ANN401 - a class per architecture
        """The network without its head: token ids → the hidden states that the head reads."""
        return self._halves.backbone

    @property
    def head(self) -> Head:
        """What maps hidden states to logits. It is looked for again after an adapter replaced a part of it."""
        if self._halves.ingredients != ingredients(self.network):
            del self.__dict__["_halves"]
        return self._halves.head

    @cached_property
    def compiled_layers(self) -> list[tuple[Any, Callable[..., object]]]:
        """The layers of the backbone, each with its forward as `torch.compile` compiles it when it is called first."""
        return compile_layers(self.backbone)

    @cached_property
    def _halves(self) -> Halves:
        return dissect(self.network, self.device, self.name)

    @property
    def unembedding(self) -> Any:  # noqa: ANN401
        """The linear map from a hidden state to the vocabulary."""
        unembedding = self.network.get_output_embeddings()
        if not isinstance(unembedding, torch.nn.Linear):
            kind = type(unembedding).__name__
            raise SpilloverError(f"the unembedding is a {kind}, expected a plain linear map; merge its adapter first")
        return unembedding

    @cached_property
    def config(self) -> Any:  # noqa: ANN401
        """The configuration of the text part."""
        return self.network.config.get_text_config()

    @cached_property
    def unused_positions(self) -> int:
        """Number of positions of the context that no token takes."""
        return unused_positions(self.network) if isinstance(self.network, torch.nn.Module) else 0

    @property
    def context(self) -> int:
        """Tokens of the longest sequence that the model was made for; 2³⁰ where nothing bounds it."""
        return context_length(self.config) - self.unused_positions

    @property
    def short_limit(self) -> int | None:
        """Tokens of the longest sequence that counts as short (longrope); None if all lengths are read alike."""
        return short_limit(self.config)

    def batchable(self, lengths: Sequence[int]) -> list[list[int]]:
        """Split sequences, given by their lengths in tokens, into groups of indices that one pass may read together."""
        return batchable(lengths, self.short_limit)

    @cached_property
    def tokenization(self) -> Tokenization:
        """Turns texts into token ids."""
        return Tokenization(self.tokenizer)

    @cached_property
    def chat_format(self) -> Chat:
        """What the chat template writes around texts.

        Raises:
            SpilloverError: the template writes a chat that cannot be right.
        """
        system = self.tokenization.mark(self.style.system)
        return open_chat(self.tokenizer, replace(self.style, system=system))

    @property
    def user_markup(self) -> str:
        """What the tokenizer's chat template writes before a user's text, whether or not it is used; may be empty."""
        try:
            return user_markup(self.chat_format) if self.tokenizer.chat_template else ""
        except SpilloverError:
            return ""

    @property
    def prompt_key(self) -> tuple[str, ...]:
        """What the keys of stages say about reading texts, beside the files.

        Empty where texts are read as earlier versions read them, so that their stages stay valid.
        """
        if self.chat:
            return self.chat_format.key
        return ("no end behind texts",) if self.tokenization.ends_texts else ()

    def apply_chat_template(self, text: str) -> str:
        """Return the prompt for `text`, ready for `tokenize`; outside a chat it is the text itself."""
        return self.chat_format.wrap(self.tokenization.mark(text)) if self.chat else text

    def render(self, prompt: Prompt, dropped: int = 0) -> str:
        """Return a prompt without its first `dropped` exemplars, ready for `tokenize`: a text, or an opened chat.

        Raises:
            SpilloverError: exemplars are to be turns, and the prompt does not say where their answers begin.
        """
        if not self.chat:
            return "".join(prompt.exemplars[dropped:]) + prompt.body
        chat = self._in_turns(prompt, dropped) if self.style.turns else self._in_one_turn(prompt, dropped)
        return chat if prompt.choices else chat.removesuffix(self.chat_format.gap)

    def _in_one_turn(self, prompt: Prompt, dropped: int) -> str:
        return self.apply_chat_template("".join(prompt.exemplars[dropped:]) + prompt.body)

    def _in_turns(self, prompt: Prompt, dropped: int) -> str:
        exemplars, answers = prompt.exemplars[dropped:], prompt.answers[dropped:]
        if len(answers) != len(exemplars):
            raise SpilloverError(
                "model.shots_as: found 'turns', but a prompt does not say where the answers of its exemplars begin, "
                "expected `Prompt.answers`; choose 'one turn'"
            )
        mark = self.tokenization.mark
        shots = [
            (mark(exemplar.removesuffix(answer)), mark(answer.strip()))
            for exemplar, answer in zip(exemplars, answers, strict=True)
        ]
        return self.chat_format.wrap(mark(prompt.body), shots)

    def format_answer(self, text: str) -> str:
        """Return an answer as it follows a prompt. In a chat the end of the turn replaces the plain delimiter."""
        return self.tokenization.mark(text.strip()) + self.chat_format.end if self.chat else text

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each prompt, without a token that ends a sequence.

        Special tokens that the chat template writes, BOS among them, are special. Those that a text spells are text.
        """
        if self.chat:
            return self.tokenization.encode_marked(texts)
        return [[*self.tokenization.beginning, *ids] for ids in self.tokenization.encode(texts)]

    def logits(self, hidden: Tensor, part: slice | Tensor = slice(None)) -> Tensor:
        """Return the float32 logits (n, |part|) of hidden states (n, d) for a part of the vocabulary."""
        return self.head.logits(hidden, part)
