"""llama.cpp as a contender of `scoring.py`: one process, prefix and labels shared through its unified KV cache.

    pip install llama-cpp-python==0.3.36    # compiles llama.cpp for this processor; some minutes

Prebuilt packages stop at AVX2, which is slower on a processor with AVX-512. This is meant to be the strongest fair use
of llama.cpp. The prefix of all items is decoded once and shared by all sequences (`seq_cp`). Then each call of
`llama_decode` reads the trie of as many items as fit: a token that several sequences share (a premise, the beginning of
a label) is computed once and belongs to all of them. Only the tokens before a scored one get logits. llama.cpp gets
token ids, so tokenizers cannot differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from gguf_file import write_gguf
from spillover.models.inference.encode import Encoded, encode, shared_prefix
from spillover.models.model import Model
from spillover.records import Prompt

CELLS = 4096
"""Tokens that the KV cache holds: a prefix and one call's trie."""
SEQUENCES = 256
"""Sequences of one call, at most: llama.cpp's limit."""

Tokens = tuple[int, ...]


@dataclass(slots=True)
class SharedTrie:
    """What one call of `llama_decode` reads: the tokens of several items after the prefix, each one once."""

    prefix: int
    """Tokens before them, which are in the cache."""
    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    sequences: list[list[int]] = field(default_factory=list)
    """Per token, the numbers of the sequences that it belongs to."""
    places: dict[Tokens, int] = field(default_factory=dict)
    """The tokens from the prefix on, up to and with one → the index of this one."""
    steps: dict[int, list[list[tuple[int, int]]]] = field(default_factory=dict)
    """Number of an item → per choice, the indices of tokens, and the tokens whose probability after them counts."""
    count: int = 0
    """Sequences so far."""

    def paths(self, item: Encoded) -> list[Tokens]:
        """Return the different sequences of an item that are read, none of them the beginning of another.

        The last token of a label predicts nothing that is scored, so it is not read.
        """
        read = sorted({choice[self.prefix : -1] for choice in item.choices})
        return [path for path, after in pairwise([*read, ()]) if after[: len(path)] != path]

    def fits(self, item: Encoded, tokens: int, sequences: int) -> bool:
        """Return whether an item can be added within so many tokens and sequences."""
        paths = self.paths(item)
        fresh = {path[:end] for path in paths for end in range(1, len(path) + 1)} - self.places.keys()
        return len(self.tokens) + len(fresh) <= tokens and self.count + len(paths) <= sequences

    def add(self, number: int, item: Encoded) -> None:
        """Add an item under its number."""
        for path in self.paths(item):
            for end in range(1, len(path) + 1):
                if path[:end] not in self.places:
                    self.places[path[:end]] = len(self.tokens)
                    self.tokens.append(path[end - 1])
                    self.positions.append(self.prefix + end - 1)
                    self.sequences.append([])
                self.sequences[self.places[path[:end]]].append(self.count)
            self.count += 1
        self.steps[number] = [
            [(self.places[choice[self.prefix : at]], choice[at]) for at in range(item.boundary, len(choice))]
            for choice in item.choices
        ]


class LlamaCpp:
    """llama.cpp on the weights of a model; keys and values in float32, and as many threads as torch has."""

    def __init__(self, model: Model, folder: Path, tokens: int) -> None:
        """Write the weights into `folder` if they are not there yet, and open them.

        Args:
            model: a Gemma 3 on the CPU, whose tokenizer is used too.
            folder: for the GGUF file.
            tokens: tokens that one call of `llama_decode` reads at most, unless one item has more.
        """
        import llama_cpp

        self._library, self._model, self._tokens = llama_cpp, model, tokens
        self._sequences = min(SEQUENCES, tokens)
        path = folder / "model.gguf"
        if not path.exists():
            write_gguf(model.network, path)
        self._log = llama_cpp.llama_log_callback(lambda level, text, data: None)  # kept: llama.cpp does not own it
        llama_cpp.llama_log_set(self._log, None)
        options = llama_cpp.llama_model_default_params()
        options.n_gpu_layers = 0
        weights = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not weights:
            raise SystemExit(f"llama.cpp cannot read {path.name}")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch, settings.n_seq_max = CELLS, CELLS, tokens, self._sequences
        settings.n_outputs_max_per_seq, settings.kv_unified = 0, True
        settings.n_threads = settings.n_threads_batch = torch.get_num_threads()
        settings.type_k = settings.type_v = llama_cpp.GGML_TYPE_F32
        settings.flash_attn_type = 0  # no slower here, and nearer to ours
        self._context = llama_cpp.llama_init_from_model(weights, settings)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(CELLS, 0, self._sequences)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(weights))

    def __call__(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        """Score prompts."""
        encoded = encode(self._model, prompts, "error")
        prefix = shared_prefix(encoded)
        self._library.llama_memory_clear(self._memory, False)
        if prefix:
            self._decode(encoded[0].choices[0][:prefix], range(prefix), [[0]] * prefix, set())
        for sequence in range(1, self._sequences):
            self._library.llama_memory_seq_cp(self._memory, 0, sequence, -1, -1)
        scores: dict[int, tuple[float, ...]] = {}
        trie = SharedTrie(prefix)
        for number in sorted(range(len(encoded)), key=lambda number: encoded[number].choices[0]):
            if trie.steps and not trie.fits(encoded[number], self._tokens, self._sequences):
                scores |= self._score(trie)
                trie = SharedTrie(prefix)
            trie.add(number, encoded[number])
        scores |= self._score(trie)
        return [scores[number] for number in range(len(prompts))]

    def _score(self, trie: SharedTrie) -> dict[int, tuple[float, ...]]:
        """Read a trie over the prefix, return the scores of its items and remove it from the cache."""
        outputs = sorted({at for steps in trie.steps.values() for choice in steps for at, _ in choice})
        self._decode(trie.tokens, trie.positions, trie.sequences, set(outputs))
        raw = self._library.llama_get_logits(self._context)
        logits = torch.from_numpy(np.ctypeslib.as_array(raw, (len(outputs), self._vocabulary)))
        rows = {at: row for row, at in enumerate(outputs)}
        normalizers = torch.logsumexp(logits, dim=1).tolist()
        self._library.llama_memory_seq_rm(self._memory, -1, trie.prefix, -1)
        return {
            number: tuple(
                sum(float(logits[rows[at], token]) - normalizers[rows[at]] for at, token in choice) for choice in steps
            )
            for number, steps in trie.steps.items()
        }

    def _decode(
        self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[list[int]], outputs: set[int]
    ) -> None:
        if positions[0] + len(tokens) > CELLS:
            raise SystemExit(f"--rivals llama.cpp: found {positions[0] + len(tokens)} tokens, expected {CELLS} at most")
        batch = self._batch
        batch.n_tokens = len(tokens)
        for at, token in enumerate(tokens):
            batch.token[at], batch.pos[at] = token, positions[at]
            batch.n_seq_id[at], batch.logits[at] = len(sequences[at]), at in outputs
            for place, sequence in enumerate(sequences[at]):
                batch.seq_id[at][place] = sequence
        if status := self._library.llama_decode(self._context, batch):
            raise SystemExit(f"llama.cpp: llama_decode found {len(tokens)} tokens and ended with {status}, expected 0")
