"""Greedy translations and their quality: did tuning teach the model to translate at all?"""

from collections.abc import Sequence

import sacrebleu

from spillover.models.inference.answer_text import AnswerText
from spillover.models.inference.greedy import write
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.token_choice import end_tokens
from spillover.records import Example

MAX_LENGTH_RATIO = 2
"""A translation may have this many times the tokens of the longest reference; longer ones are cut off."""


def translate(reader: PrefixReader, examples: Sequence[Example]) -> list[str]:
    """Return the model's greedy translation of each example's source, without blanks around it."""
    if not examples:
        return []
    model = reader.model
    prompts = model.tokenize([model.apply_chat_template(example.source) for example in examples])
    limit = MAX_LENGTH_RATIO * max(map(len, model.tokenize([example.target for example in examples])))
    model.network.eval()
    ends = end_tokens(model)
    written = write(reader, prompts, limit, lambda number, tokens: tokens[-1] in ends)
    texts = [AnswerText(model.tokenizer, prompt) for prompt in prompts]
    return [decode(answer.tokens).strip() for decode, answer in zip(texts, written, strict=True)]


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return the chrF of a corpus (Popović 2015, as sacrebleu computes it), in [0, 100]."""
    return float(sacrebleu.corpus_chrf(list(translations), [[text.strip() for text in references]]).score)
