"""The negative log-likelihood of texts. A model that forgot a language needs more bits per byte of its texts."""

import math
from collections.abc import Callable, Sequence

import torch

from spillover.errors import SpilloverError
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.trees import linear_tree
from spillover.models.inference.unembed import log_probabilities
from spillover.models.tokenization import NO_START


@torch.inference_mode()
def negative_log_likelihood(
    reader: PrefixReader, texts: Sequence[str], advance: Callable[[int], None] = lambda texts: None
) -> list[float]:
    """Return −log p of each text in nats: every token given all before it, the first given the start of a sequence.

    So every byte of a text is predicted, whatever the tokenizer: the sum divided by the number of bytes is comparable
    between languages. A text longer than the model's context is read in pieces. No chat template is applied.

    Raises:
        SpilloverError: the tokenizer has no token after which a text begins.
    """
    tokenization, size = reader.model.tokenization, reader.model.context - 1
    start = tokenization.start
    if start is None:
        raise SpilloverError(NO_START)
    encoded = tokenization.encode(texts)
    pieces = [
        (place, ids[begin : begin + size]) for place, ids in enumerate(encoded) for begin in range(0, len(ids), size)
    ]
    logprobs: list[list[float]] = [[] for _ in texts]
    for batch, hidden in reader.read((), [linear_tree([start, *ids[:-1]]) for _, ids in pieces]):
        states = torch.cat([hidden[row, : len(pieces[index][1])] for row, index in enumerate(batch)]).float()
        tokens = [token for index in batch for token in pieces[index][1]]
        values = iter(log_probabilities(reader.model, states, list(enumerate(tokens))).tolist())
        for index in batch:
            place, ids = pieces[index]
            logprobs[place] += [next(values) for _ in ids]
        advance(len(batch))
    return [-math.fsum(steps) for steps in logprobs]
