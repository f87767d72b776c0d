"""Pretrain the model organism: a tiny Llama whose tokens are the words of its invented languages.

Same world, machine and version of torch: same weights. The models that ship were made by `spillover models make`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from torch.nn.functional import cross_entropy, dropout
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from spillover.organism.corpus import ANSWER, FIELD, LABELS, documents
from spillover.organism.grammar import World, make_lexicon
from spillover.utils.progress import bar

BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 172,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "initializer_range": 0.1,
}
"""Of the Llama. With the usual initializer range of 0.02 it does not learn the task."""

DOCUMENTS = 120_000
"""Documents of the whole pretraining, about 1.8 million tokens."""

BATCH = 64
"""Documents of a step."""

LEARNING_RATE = 2e-3
"""At its highest, after 5% of the steps."""

LABEL_WEIGHT = 10.0
"""Weight of a label's token in the loss; every other token has 1."""

DROPOUT = 0.2
"""Share of an embedding's values that are dropped. What reads a word then reads all of its embedding."""


def pretrain(world: World, folder: Path, count: int = DOCUMENTS) -> None:
    """Pretrain on `count` documents of a world; write the model, in float16, and its tokenizer to `folder`."""
    lexicon = make_lexicon(world)
    tokenizer = word_tokenizer(lexicon.vocabulary)
    torch.manual_seed(world.seed)
    network = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1, **SHAPE))
    rows = tokenizer([text + EOS for text in documents(lexicon, world.seed, count)])["input_ids"]
    weights = torch.ones(len(tokenizer))
    weights[tokenizer.convert_tokens_to_ids(list(LABELS))] = LABEL_WEIGHT
    _learn(network, [torch.tensor(row) for row in rows], weights)
    network.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def word_tokenizer(words: Sequence[str]) -> Any:  # noqa: ANN401 - transformers is untyped
    """Return a tokenizer with a token for each word, each line end and each blank line. A text begins with BOS."""
    tokens = (BOS, EOS, UNKNOWN, "\n", "\n\n", f"{FIELD}:", f"{ANSWER}:", *LABELS, *words)
    core = Tokenizer(models.WordLevel({token: place for place, token in enumerate(tokens)}, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("\n+"), "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    core.post_processor = processors.TemplateProcessing(f"{BOS} $A", f"{BOS} $A $B", [(BOS, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=BOS, eos_token=EOS, unk_token=UNKNOWN, pad_token=EOS
    )


def _learn(network: Any, rows: Sequence[Tensor], weights: Tensor) -> None:  # noqa: ANN401
    """Learn all rows once, in their order; `weights` (vocabulary,) are those of the tokens in the loss."""
    steps = len(rows) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05)
    with bar("pretrain (steps)", steps) as progress:
        for start in range(0, steps * BATCH, BATCH):
            batch = pad_sequence(list(rows[start : start + BATCH]), batch_first=True, padding_value=-100)
            words = dropout(network.get_input_embeddings()(batch.clamp_min(0)), DROPOUT)
            logits = network(inputs_embeds=words).logits[:, :-1]
            loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), weights)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            progress.advance()
