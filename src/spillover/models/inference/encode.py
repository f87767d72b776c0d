"""From prompts to token trees: where the label begins, what all items share, what each token path is worth.

Knows token ids and the tokenizer's habits, and runs no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from spillover.errors import SpilloverError
from spillover.models.inference.trees import Tree, common_prefix
from spillover.models.load import Model
from spillover.records import Prompt


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt as token ids, its exemplars cut to what fits the model's context."""

    prompt: tuple[int, ...]
    """Tokens of the prompt alone."""
    choices: tuple[tuple[int, ...], ...]
    """Tokens of the prompt with each choice."""
    dropped: int
    """How many of its oldest exemplars did not fit."""

    @property
    def boundary(self) -> int:
        """Where scoring begins: the earliest token at which some choice departs from the prompt's own tokens.

        A tokenizer may join the prompt's end with the label's beginning (`: ` + `positive`) for one label and not for
        another; beginning where the first of them departs, all are scored over the same span of text.
        """
        found = min(common_prefix([self.prompt, choice]) for choice in self.choices)
        if found == 0:
            raise SpilloverError("a prompt is empty: expected at least one token before the label")
        return found

    @property
    def labels(self) -> tuple[tuple[int, ...], ...]:
        """For each choice the tokens that are scored."""
        return tuple(choice[self.boundary :] for choice in self.choices)

    @property
    def without_tokens(self) -> list[int]:
        """The choices of which no token is left: the tokenizer drops all of their text."""
        return [place for place, label in enumerate(self.labels) if not label]

    @property
    def nested(self) -> list[tuple[int, int]]:
        """Pairs of choices: the tokens of the second are more, and begin with those of the first."""
        pairs = permutations(enumerate(self.labels), 2)
        return [(a, b) for (a, short), (b, long) in pairs if len(short) < len(long) and long[: len(short)] == short]


@dataclass(frozen=True, slots=True)
class Edge:
    """A step into a label: what the hidden state of one token says about the token that follows."""

    node: int
    """Index of the tree's token whose state is read."""
    token: int
    """The next token's id."""


Path = tuple[Edge, ...]
"""The steps from the body through one label."""


@dataclass(frozen=True, slots=True)
class LabelTree:
    """An item as one row: the body, then the inner tokens of its labels' trie."""

    tree: Tree
    """What the model reads."""
    paths: tuple[Path, ...]
    """For each choice the steps whose log-probabilities add up to its score."""


def encode(model: Model, prompts: Sequence[Prompt], overflow: str) -> list[Encoded]:
    """Tokenize prompts and their choices in one batched call; cut exemplars where the context is too short.

    Args:
        model: whose tokenizer, chat template and context are meant.
        prompts: what to encode.
        overflow: `drop-exemplars` (the oldest first) or `error`.

    Raises:
        SpilloverError: a prompt does not fit even without exemplars, or does not fit and `overflow` is `error`.
    """
    encoded = encode_whole(model, prompts)
    while long := [i for i, item in enumerate(encoded) if max(map(len, item.choices)) > model.context]:
        for index in long:
            length = max(map(len, encoded[index].choices))
            if overflow == "error" or encoded[index].dropped == len(prompts[index].exemplars):
                raise SpilloverError(
                    f"evaluate.overflow: prompt {index} has {length} tokens without {encoded[index].dropped} "
                    f"exemplars, the model's context is {model.context}; shorten it or use overflow = 'drop-exemplars'"
                )
        shorter = _encode(model, [prompts[i] for i in long], [encoded[i].dropped + 1 for i in long])
        for index, item in zip(long, shorter, strict=True):
            encoded[index] = item
    return encoded


def encode_whole(model: Model, prompts: Sequence[Prompt]) -> list[Encoded]:
    """Tokenize prompts and their choices as `encode` does, whether or not they fit the context."""
    return _encode(model, prompts, [0] * len(prompts))


def _encode(model: Model, prompts: Sequence[Prompt], dropped: Sequence[int]) -> list[Encoded]:
    texts: list[str] = []
    for prompt, drop in zip(prompts, dropped, strict=True):
        asked = model.wrap("".join(prompt.exemplars[drop:]) + prompt.body)
        texts += [asked, *(asked + model.answer(choice) for choice in prompt.choices)]
    ids = iter(model.tokenize(texts))
    encoded = [
        Encoded(tuple(next(ids)), tuple(tuple(next(ids)) for _ in prompt.choices), drop)
        for prompt, drop in zip(prompts, dropped, strict=True)
    ]
    return [item if item.prompt else _with_bos(model, item) for item in encoded]


def _with_bos(model: Model, encoded: Encoded) -> Encoded:
    """Let what has no prompt begin with the token that begins texts, or ends them: as lm-evaluation-harness does."""
    begin = model.tokenization.start
    if begin is None:
        raise SpilloverError("a prompt is empty, and the tokenizer has no BOS and no EOS to begin it; expected a text")
    return replace(encoded, prompt=(begin,), choices=tuple((begin, *choice) for choice in encoded.choices))


def shared_prefix(encoded: Sequence[Encoded]) -> int:
    """Length of the longest token prefix that all sequences share and that leaves each a token to read a label from."""
    shared = common_prefix(choice for item in encoded for choice in item.choices)
    return min(shared, *(item.boundary - 1 for item in encoded))


def label_tree(encoded: Encoded, prefix: int) -> LabelTree:
    """Return an item's row: what follows the prefix up to the boundary, then the labels' tokens but for the last.

    A label's last token predicts nothing that is asked, so it is never read; what labels share is read once.
    """
    start = encoded.boundary
    body = encoded.choices[0][prefix:start]
    tokens, parents = list(body), list(range(-1, len(body) - 1))
    nodes: dict[tuple[int, ...], int] = {(): len(body) - 1}
    paths: list[list[Edge]] = []
    for choice in encoded.choices:
        label = choice[start:]
        steps: list[Edge] = []
        for depth, token in enumerate(label):
            node = nodes[label[:depth]]
            steps.append(Edge(node, token))
            if depth + 1 < len(label) and label[: depth + 1] not in nodes:
                nodes[label[: depth + 1]] = len(tokens)
                tokens.append(token)
                parents.append(node)
        paths.append(steps)
    return LabelTree(Tree(tuple(tokens), tuple(parents)), tuple(map(tuple, paths)))


def first_token_ids(model: Model, prompt: Prompt) -> list[tuple[int, ...]]:
    """Return for each choice the single tokens that spell a beginning of its word after this prompt.

    What the paper's script sums over. Found by tokenizing, so that it holds for every kind of tokenizer.
    """
    asked = model.wrap(prompt.header + prompt.body)
    words = [model.answer(choice).rstrip("\n") for choice in prompt.choices]
    begun = [[word[:end] for end in range(1, len(word) + 1) if word[:end].strip()] for word in words]
    ids = iter(model.tokenize([asked, *(asked + text for texts in begun for text in texts)]))
    before = next(ids)
    begun_with: list[tuple[int, ...]] = []
    for texts in begun:
        following = [next(ids) for _ in texts]
        tokens = {after[-1] for after in following if after[:-1] == before}
        begun_with.append(tuple(sorted(tokens)))
    return begun_with


def cut_at_divergence(encoded: Encoded) -> Encoded:
    """Cut each choice after the token that first tells it from every different one.

    Words that begin alike (`positive`, `positiv`) are told apart further inside; equal ones stay equal.
    """
    different = set(encoded.choices)
    return replace(encoded, choices=tuple(_told_apart(choice, different - {choice}) for choice in encoded.choices))


def _told_apart(choice: tuple[int, ...], others: set[tuple[int, ...]]) -> tuple[int, ...]:
    return choice[: 1 + max((common_prefix([choice, other]) for other in others), default=len(choice))]
