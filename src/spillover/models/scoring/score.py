"""Score every choice of every item of a cell, exactly and once.

What items share is read once (`ask`); an item's labels ride in the same pass as its body; only positions that score
something meet the unembedding, in float32, streamed over the vocabulary. Knows no gold and no language.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from spillover.errors import SpilloverError
from spillover.models.inference.encode import Encoded, encode, first_token_ids
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.queries import Query, answer_queries
from spillover.models.load import Model
from spillover.records import Prompt


@dataclass(frozen=True, slots=True)
class Scores:
    """What `score` found."""

    choices: list[tuple[float, ...]]
    """For each prompt the score of each choice; with `exact` log p(choice | prompt) in nats."""
    normalized: list[tuple[float, ...]]
    """With `exact`: the same divided by the choice's number of tokens; empty tuples otherwise."""
    dropped: int
    """Exemplars that did not fit the context, over all prompts."""


Labels = Sequence[Sequence[int]]
"""For each choice the tokens that are scored."""


Values = Sequence[Sequence[float]]
"""For each choice the log-probabilities of those tokens."""


Read = Callable[[Sequence[Sequence[Query]]], Sequence[Values]]
"""For each item a query a choice → the log-probabilities asked for."""


def exact(labels: Labels, values: Values) -> tuple[float, ...]:
    """Sum each choice's: log p(choice | prompt), the whole choice, in nats."""
    return tuple(math.fsum(steps) for steps in values)


def normalized(labels: Labels, values: Values) -> tuple[float, ...]:
    """Mean of each choice's, in nats a token: long choices are not at a disadvantage, as they are in `exact`."""
    return tuple(math.fsum(steps) / len(steps) for steps in values)


def constrained(labels: Labels, values: Values) -> tuple[float, ...]:
    """Decode greedily along the trie of the choices, as the paper describes it.

    The choice reached scores 0; each other one the log of its share, among the trie's branches, at the step where it
    fell behind. So the best score is the decoded choice, and the rest say by how much they lost.
    """
    scores = [0.0] * len(labels)
    alive = list(range(len(labels)))
    for depth in range(max(map(len, labels))):
        branches = {labels[k][depth]: values[k][depth] for k in alive if depth < len(labels[k])}
        if len(branches) < 2:
            continue
        total = math.log(math.fsum(math.exp(value) for value in branches.values()))
        best = max(branches, key=lambda token: branches[token])
        for k in alive:
            if labels[k][depth] != best:
                scores[k] = branches[labels[k][depth]] - total
        alive = [k for k in alive if labels[k][depth] == best]
    return tuple(scores)


def first_token(labels: Labels, values: Values) -> tuple[float, ...]:
    """Log of the mass on the tokens a choice can begin with: what the paper's script does, for comparison only.

    Its defects: choices that begin alike share mass, long beginnings of one label count against none of the other, and
    a label is judged by its first token whatever follows.
    """
    masses = [math.fsum(map(math.exp, alternatives)) for alternatives in values]
    return tuple(math.log(mass) if mass else -math.inf for mass in masses)


SCORINGS = {"exact": exact, "constrained": constrained, "first-token": first_token}


def score(
    reader: PrefixReader,
    prompts: Sequence[Prompt],
    scoring: str = "exact",
    overflow: str = "drop-exemplars",
    advance: Callable[[int], None] = lambda items: None,
) -> Scores:
    """Return a score for each choice of each prompt, in the order given.

    Args:
        reader: the model.
        prompts: one or more; those that begin alike are read together.
        scoring: a name of `SCORINGS`.
        overflow: what to do with a prompt longer than the context (`encode`).
        advance: told, as prompts are read, how many more there are.

    Raises:
        SpilloverError: a score is not a number, or a prompt does not fit.
    """
    return score_with(reader.model, prompts, scoring, overflow, partial(_read, reader, advance))


def score_with(model: Model, prompts: Sequence[Prompt], scoring: str, overflow: str, read: Read) -> Scores:
    """Do what `score` does, with `read` for how the log-probabilities are found."""
    encoded = encode(model, prompts, overflow)
    _require_apart(encoded, prompts, scoring)
    if scoring == "first-token":
        begun = {prompt.choices: first_token_ids(model, prompt) for prompt in {p.choices: p for p in prompts}.values()}
        _require_beginnings(begun)
        items = [_first_tokens(item, begun[prompt.choices]) for item, prompt in zip(encoded, prompts, strict=True)]
    else:
        items = [whole_choices(item) for item in encoded]
    choices: list[tuple[float, ...]] = []
    by_length: list[tuple[float, ...]] = []
    for index, (queries, values) in enumerate(zip(items, read(items), strict=True)):
        labels = [[token for _, token in query.wanted] for query in queries]
        scores = SCORINGS[scoring](labels, values)
        if any(math.isnan(value) for value in scores):
            raise SpilloverError(f"item {index}: found scores {scores}, expected numbers; the model's states overflow")
        choices.append(scores)
        by_length.append(normalized(labels, values) if scoring == "exact" else ())
    return Scores(choices, by_length, sum(item.dropped for item in encoded))


def _require_apart(encoded: Sequence[Encoded], prompts: Sequence[Prompt], scoring: str) -> None:
    """Refuse choices that no score can tell apart: without tokens, or the same tokens in every prompt."""
    for index, (item, prompt) in enumerate(zip(encoded, prompts, strict=True)):
        where = f"prompt {index}, choices {list(prompt.choices)}"
        if empty := item.without_tokens:
            raise SpilloverError(f"{where}: {prompt.choices[empty[0]]!r} has no token, expected one or more")
        if scoring == "constrained" and (nested := item.nested):
            short, long = (prompt.choices[place] for place in nested[0])
            raise SpilloverError(
                f"evaluate.scoring: {where}: the tokens of {long!r} begin with those of {short!r}, so 'constrained' "
                "decoding cannot end there; choose 'exact' or other labels"
            )
    if encoded and all(len(set(item.choices)) < len(set(p.choices)) for item, p in zip(encoded, prompts, strict=True)):
        raise SpilloverError(
            f"two of the choices {list(prompts[0].choices)} are the same tokens under this model, in every prompt; "
            "expected choices that it can tell apart"
        )


def _require_beginnings(begun: Mapping[tuple[str, ...], Sequence[Sequence[int]]]) -> None:
    for choices, tokens in begun.items():
        if not all(tokens):
            without = choices[[bool(alternatives) for alternatives in tokens].index(False)]
            raise SpilloverError(
                f"evaluate.scoring: no single token spells a beginning of {without!r} under this model, so "
                "'first-token' gives it no probability; choose 'exact'"
            )


def whole_choices(item: Encoded) -> list[Query]:
    """Return what `exact` asks: each choice's tokens. The last one predicts nothing that is asked: it is not read."""
    start = item.boundary
    return [Query(choice[:-1], tuple(enumerate(choice[start:], start - 1))) for choice in item.choices]


def _first_tokens(item: Encoded, begun: Sequence[Sequence[int]]) -> list[Query]:
    """Ask, where the body ends, for the tokens that each choice may begin with."""
    body = item.choices[0][: item.boundary]
    return [Query(body, tuple((len(body) - 1, token) for token in tokens)) for tokens in begun]


def _read(reader: PrefixReader, advance: Callable[[int], None], items: Sequence[Sequence[Query]]) -> list[Values]:
    """Ask everything at once; an item is done when its first choice is."""
    firsts = set(accumulate(map(len, items), initial=0))
    queries = [query for item in items for query in item]
    answers = iter(answer_queries(reader, queries, lambda numbers: advance(len(firsts.intersection(numbers)))))
    return [[[log_p for log_p, _ in next(answers)] for _ in item] for item in items]
