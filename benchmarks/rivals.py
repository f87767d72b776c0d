"""The contenders of `scoring.py`: ours, lm-evaluation-harness, the paper's loop; and the bare backbone.

Each takes prompts and returns, for each, a score for each choice. No clock runs here but for what ours spends reading.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor

from spillover.models.inference.encode import encode, label_tree, shared_prefix
from spillover.models.inference.prefix import OnBatch, PrefixReader, batches
from spillover.models.inference.queries import plan_queries
from spillover.models.inference.trees import Tree
from spillover.models.model import Model
from spillover.models.scoring.score import score, whole_choices
from spillover.records import Prompt

logging.getLogger("lm_eval").setLevel(logging.ERROR)

Found = list[tuple[float, ...]]
"""For each prompt a score for each choice, in nats."""


def now() -> float:
    """Return the time in seconds, once the device has done all it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()


class Folded(Model):
    """A model whose vocabulary is smaller than its tokenizer's: ids are taken modulo its size.

    For a random model only: texts keep the lengths a real tokenizer gives them.
    """

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Return the folded ids of each text."""
        size = self.config.vocab_size
        return [[token % size for token in ids] for ids in super().tokenize(texts)]


class FoldedHarness(HFLM):  # type: ignore[misc]
    """The harness over the same folded ids."""

    def tok_encode(self, *arguments: Any, **named: Any) -> list[int]:  # noqa: ANN401 - whatever the harness passes
        """Return the folded ids of a text."""
        return [token % self.config.vocab_size for token in super().tok_encode(*arguments, **named)]


class Ours(PrefixReader):
    """`score` over a reader that adds up the time it spends reading."""

    reading = 0.0
    """Seconds spent in the backbone, the prefix included."""

    def __call__(self, prompts: Sequence[Prompt], scoring: str = "exact") -> Found:
        """Score prompts as an evaluation does: all of a cell in one call."""
        return score(self, prompts, scoring).choices

    def read(
        self, prefix: Sequence[int], trees: Sequence[Tree], on_batch: OnBatch | None = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Read as a reader does, with a clock."""
        states = super().read(prefix, trees, on_batch)
        while True:
            begun = now()
            batch = next(states, None)
            self.reading += now() - begun
            if batch is None:
                return
            yield batch


class Harness:
    """`HFLM.loglikelihood` on one request a choice: (header + body, choice)."""

    def __init__(self, model: Model, batch: int) -> None:
        """Wrap the network and the tokenizer that ours uses too."""
        kind = FoldedHarness if isinstance(model, Folded) else HFLM
        self.batch = batch
        self._model = model
        self._lm = kind(pretrained=model.network, tokenizer=model.tokenizer, batch_size=batch)

    def __call__(self, prompts: Sequence[Prompt]) -> Found:
        """Score prompts."""
        pairs = [(prompt.header + prompt.body, choice) for prompt in prompts for choice in prompt.choices]
        requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
        values = iter(self._lm.loglikelihood(requests, disable_tqdm=True))
        return [tuple(next(values)[0] for _ in prompt.choices) for prompt in prompts]

    def same_boundary(self, prompt: Prompt) -> bool:
        """Return whether the harness takes the same tokens for the prompt as ours does: it scores what follows them."""
        encoded = encode(self._model, [prompt], "error")[0]
        before = list(encoded.choices[0][: encoded.boundary])
        text = prompt.header + prompt.body
        return all(self._lm._encode_pair(text, choice)[0] == before for choice in prompt.choices)

    def memory(self, prompts: Sequence[Prompt]) -> float:
        """Return the bytes of its largest tensors: logits, their log-softmax, and the batch before's log-softmax."""
        requests = sum(len(prompt.choices) for prompt in prompts)
        tokens = max(len(choice) for item in encode(self._model, prompts, "error") for choice in item.choices)
        alive = 3 if requests > self.batch else 2
        vocabulary = len(self._model.unembedding.weight)
        return float(alive * min(self.batch, requests) * tokens * vocabulary * self._model.network.dtype.itemsize)


class PaperLoop:
    """What the paper's script does: item by item, the whole prompt, the softmax of every position.

    Scores are the log of the mass on the tokens that spell a beginning of a choice, blank included. The script finds
    these tokens before it starts, so they are found once here too. It records gradients; this does not.
    """

    def __init__(self, model: Model) -> None:
        """Spell out the vocabulary, each token after a colon: alone, many tokenizers drop a token's blank."""
        self._model = model
        colon = model.tokenizer.encode(":", add_special_tokens=False)[-1]
        spelled = model.tokenizer.batch_decode([[colon, token] for token in range(len(model.tokenizer))])
        self._tokens: dict[str, list[int]] = {}
        for token, text in enumerate(spelled):
            self._tokens.setdefault(text.removeprefix(":"), []).append(token)

    def begun(self, choice: str) -> list[int]:
        """Return the tokens that spell a beginning of a choice's word."""
        word = choice.rstrip()
        beginnings = [word[:end] for end in range(1, len(word) + 1) if word[:end].strip()]
        return [token for text in beginnings for token in self._tokens.get(text, [])]

    @torch.no_grad()
    def __call__(self, prompts: Sequence[Prompt]) -> Found:
        """Score prompts."""
        tokens = [self.begun(choice) for choice in prompts[0].choices]
        found: Found = []
        for prompt in prompts:
            ids = self._model.tokenizer(prompt.header + prompt.body, return_tensors="pt").input_ids
            logits = self._model.network(ids.to(self._model.device)).logits
            probabilities = torch.softmax(logits, dim=-1)
            last = probabilities[0][-1]
            found.append(tuple(torch.log(last[one].float().sum()).item() for one in tokens))
        return found


class Backbone:
    """The bare backbone on plain batches: a row an item, as long as what ours has beyond the prefix of all."""

    def __init__(self, ours: Ours, prompts: Sequence[Prompt], every: int = 1) -> None:
        """Lay out the batches: all prompts' or, to save time, those of one in `every`."""
        self._model = ours.model
        encoded = encode(ours.model, prompts, "error")
        self.prefix = shared_prefix(encoded)
        """Tokens that all items share."""
        rows = [label_tree(item, self.prefix) for item in encoded]
        self.tokens = sum(len(row.tree.tokens) for row in rows)
        """Unshared tokens of all items."""
        groups = plan_queries(ours, [query for item in encoded for query in whole_choices(item)])
        self.read = sum(len(group.prefix) + sum(len(row.tree.tokens) for row in group.rows) for group in groups)
        """Tokens that ours reads in all, the prefix included: what a few items share is read once too."""
        self._scored = sum(len({edge.node for path in row.paths for edge in path}) for row in rows)
        self._trees = [row.tree.tokens for row in rows[::every]]
        self.tokens_run = sum(map(len, self._trees))
        """Unshared tokens of the items that it runs."""
        self._batches = list(batches([len(tree) for tree in self._trees], self.prefix, ours.budget))

    @property
    def operations(self) -> float:
        """Multiplications and additions in the matrix products that ours needs: weights only, no attention."""
        linear = [m.weight.numel() for m in self._model.backbone.modules() if isinstance(m, torch.nn.Linear)]
        return float(2 * (sum(linear) * self.read + self._model.unembedding.weight.numel() * self._scored))

    @torch.inference_mode()
    def run(self) -> None:
        """Run the batches."""
        for batch in self._batches:
            ids = torch.zeros(len(batch), max(len(self._trees[index]) for index in batch), dtype=torch.long)
            for row, index in enumerate(batch):
                ids[row, : len(self._trees[index])] = torch.tensor(self._trees[index])
            self._model.backbone(input_ids=ids.to(self._model.device), use_cache=False)


def best_product(dtype: torch.dtype, device: torch.device, clock: Callable[[], float] = now) -> float:
    """Return the best rate of a plain matrix product, in operations a second of some clock."""
    best = 0.0
    for size in (1024, 2048, 4096):
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        for _ in range(3):
            begun = clock()
            left @ right
            best = max(best, 2 * size**3 / (clock() - begun))
    return best
