"""From prompts to token ids and token trees: where the label begins, what all items share. It runs no model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from spillover.errors import SpilloverError
from spillover.models.inference.trees import Tree, common_prefix
from spillover.models.model import Model
from spillover.records import Prompt


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt as token ids, its exemplars cut to what fits the model's context."""

    prompt: tuple[int, ...]
    """Tokens of the prompt alone."""
    choices: tuple[tuple[int, ...], ...]
    """Tokens of the prompt with each choice."""
    dropped: int
    """Number of its exemplars that did not fit, the first ones."""

    @property
    def length(self) -> int:
        """Tokens of the prompt with its longest choice; of the prompt alone if it has no choices."""
        return max(map(len, self.choices or (self.prompt,)))

    @property
    def boundary(self) -> int:
        """Index of the first scored token: the first at which some choice differs from the prompt's tokens.

        A tokenizer may merge the end of the prompt with the beginning of one label (`: ` + `positive`) and not of
        another. Scoring begins where the first choice differs, so all choices are scored over the same span of text.
        """
        start = min(common_prefix([self.prompt, choice]) for choice in self.choices)
        if start == 0:
            raise SpilloverError("a prompt is empty: expected at least one token before the label")
        return start

    @property
    def labels(self) -> tuple[tuple[int, ...], ...]:
        """Per choice, the tokens that are scored."""
        start = self.boundary
        return tuple(choice[start:] for choice in self.choices)

    @property
    def without_tokens(self) -> list[int]:
        """Indices of the choices that have no token to score: the tokenizer drops their text."""
        return [place for place, label in enumerate(self.labels) if not label]

    @property
    def nested(self) -> list[tuple[int, int]]:
        """Pairs of choices in which the second has more tokens than the first and begins with its tokens."""
        pairs = permutations(enumerate(self.labels), 2)
        return [(a, b) for (a, short), (b, long) in pairs if len(short) < len(long) and long[: len(short)] == short]


@dataclass(frozen=True, slots=True)
class Edge:
    """A step into a label: a token whose hidden state predicts the next token."""

    node: int
    """Index in the tree of the token whose state is read."""
    token: int
    """Id of the next token."""


Path = tuple[Edge, ...]
"""The steps from the body through one label."""


@dataclass(frozen=True, slots=True)
class LabelTree:
    """An item as one row: the body, then the inner tokens of its labels' trie."""

    tree: Tree
    """The tokens that the model reads."""
    paths: tuple[Path, ...]
    """Per choice, the steps whose log-probabilities add up to its score."""


def encode(model: Model, prompts: Sequence[Prompt], overflow: str, room: int = 0) -> list[Encoded]:
    """Tokenize prompts and their choices in one batched call; drop exemplars where the context is too short.

    Args:
        model: its tokenizer, chat template and context length are used.
        prompts: the prompts to encode.
        overflow: `drop-exemplars` (the first ones first) or `error`.
        room: tokens of the context that are needed behind each prompt, for an answer.

    Raises:
        SpilloverError: a prompt does not fit even without exemplars, or does not fit and `overflow` is `error`.
    """
    encoded = encode_whole(model, prompts)
    while long := [i for i, item in enumerate(encoded) if item.length + room > model.context]:
        for index in long:
            if overflow == "error" or encoded[index].dropped == len(prompts[index].exemplars):
                answer = f", {room} more are to be written" if room else ""
                raise SpilloverError(
                    f"evaluate.overflow: prompt {index} has {encoded[index].length} tokens without "
                    f"{encoded[index].dropped} exemplars{answer}, the model's context is {model.context}; shorten it "
                    "or use overflow = 'drop-exemplars'"
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
        text = model.render(prompt, drop)
        texts += [text, *(text + model.format_answer(choice) for choice in prompt.choices)]
    ids = iter(model.tokenize(texts))
    encoded = [
        Encoded(tuple(next(ids)), tuple(tuple(next(ids)) for _ in prompt.choices), drop)
        for prompt, drop in zip(prompts, dropped, strict=True)
    ]
    return [item if item.prompt else _with_bos(model, item) for item in encoded]


def _with_bos(model: Model, encoded: Encoded) -> Encoded:
    """Give an empty prompt the token that begins texts, or else ends them, as lm-evaluation-harness does."""
    begin = model.tokenization.start
    if begin is None:
        raise SpilloverError("a prompt is empty, and the tokenizer has no BOS and no EOS to begin it; expected a text")
    return replace(encoded, prompt=(begin,), choices=tuple((begin, *choice) for choice in encoded.choices))


def shared_prefix(encoded: Sequence[Encoded]) -> int:
    """Return the tokens of the longest prefix that all sequences share, with at least one prompt token left in each."""
    shared = common_prefix(choice for item in encoded for choice in item.choices)
    return min(shared, *(item.boundary - 1 for item in encoded))


def label_tree(encoded: Encoded, prefix: int) -> LabelTree:
    """Return an item's row: the tokens between prefix and boundary, then the labels' tokens without the last ones.

    The last token of a label predicts nothing that is scored, so it is not read. What labels share is read once.
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
    """Return per choice the single tokens that spell a beginning of its word after this prompt.

    The paper's script sums over them. They are found by tokenizing, which works with every kind of tokenizer.
    """
    text = model.render(prompt)
    words = [model.format_answer(choice).rstrip("\n") for choice in prompt.choices]
    beginnings = [[word[:end] for end in range(1, len(word) + 1) if word[:end].strip()] for word in words]
    ids = iter(model.tokenize([text, *(text + beginning for texts in beginnings for beginning in texts)]))
    before = next(ids)
    token_ids: list[tuple[int, ...]] = []
    for texts in beginnings:
        following = [next(ids) for _ in texts]
        tokens = {after[-1] for after in following if after[:-1] == before}
        token_ids.append(tuple(sorted(tokens)))
    return token_ids


def cut_at_divergence(encoded: Encoded) -> Encoded:
    """Cut each choice after the first token that distinguishes it from all different choices.

    Words that begin alike (`positive`, `positiv`) differ further inside; equal choices stay equal.
    """
    different = set(encoded.choices)
    return replace(encoded, choices=tuple(_cut(choice, different - {choice}) for choice in encoded.choices))


def _cut(choice: tuple[int, ...], others: set[tuple[int, ...]]) -> tuple[int, ...]:
    return choice[: 1 + max((common_prefix([choice, other]) for other in others), default=len(choice))]
