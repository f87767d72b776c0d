"""Greedy translations and their quality: did tuning teach the model to translate at all?"""

from collections.abc import Sequence

import sacrebleu
import torch

from spillover.models.inference.prefix import BATCH_TOKENS, batches
from spillover.models.load import Model
from spillover.records import Example

MAX_LENGTH_RATIO = 2
"""A translation may have this many times the tokens of the longest reference; longer ones are cut off."""


@torch.inference_mode()
def translate(model: Model, examples: Sequence[Example]) -> list[str]:
    """Return the model's greedy translation of each example's source, without blanks around it."""
    if not examples:
        return []
    prompts = model.tokenize([model.apply_chat_template(example.source) for example in examples])
    limit = MAX_LENGTH_RATIO * max(map(len, model.tokenize([example.target for example in examples])))
    translations = [""] * len(examples)
    model.network.eval()
    width, padding = max(map(len, prompts)), model.tokenizer.eos_token_id or 0  # never attended
    for batch in batches([width + limit] * len(prompts), 0, BATCH_TOKENS):
        ids = torch.full((len(batch), width), padding)
        attended = torch.zeros_like(ids)
        for row, place in enumerate(batch):  # padded on the left, so that every row continues at its end
            ids[row, width - len(prompts[place]) :] = torch.tensor(prompts[place])
            attended[row, width - len(prompts[place]) :] = 1
        written = model.network.generate(
            input_ids=ids.to(model.device),
            attention_mask=attended.to(model.device),
            max_new_tokens=limit,
            do_sample=False,
            use_cache=True,  # the Trainer switches it off
            pad_token_id=padding,
        )
        texts = model.tokenizer.batch_decode(written[:, width:], skip_special_tokens=True)
        for place, text in zip(batch, texts, strict=True):
            translations[place] = text.strip()
    return translations


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return the chrF of a corpus (Popović 2015, as sacrebleu computes it), in [0, 100]."""
    return float(sacrebleu.corpus_chrf(list(translations), [[text.strip() for text in references]]).score)
