"""Score every choice of every item of a cell, exactly and once.

Tokens that items share are read once (`answer_queries`). The labels of an item are read in the same pass as its body.
Only positions that score something are unembedded, in float32, streamed over the vocabulary.
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
from spillover.models.model import Model
from spillover.records import Prompt


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of prompts."""

    choices: list[tuple[float, ...]]
    """Per prompt, the score of each choice; with `exact` log p(choice | prompt) in nats."""
    logprobs_per_token: list[tuple[float, ...]]
    """Per prompt, with `exact`: the score of each choice divided by its number of tokens; else an empty tuple."""
    dropped: int
    """Exemplars that did not fit the context, over all prompts."""


END_TOKENS = 4
"""Tokens at the end of a prompt that decide which tokens a choice can begin with: a choice may merge with them."""

Labels = Sequence[Sequence[int]]
"""Per choice, the tokens that are scored."""


Values = Sequence[Sequence[float]]
"""Per choice, the log-probabilities of those tokens."""


Read = Callable[[Sequence[Sequence[Query]]], Sequence[Values]]
"""Items, each a query per choice → per item, the log-probabilities of the queries' targets."""


def exact(labels: Labels, values: Values) -> tuple[float, ...]:
    """Return the sum per choice: log p(choice | prompt) of the whole choice, in nats."""
    return tuple(math.fsum(steps) for steps in values)


def mean_per_token(labels: Labels, values: Values) -> tuple[float, ...]:
    """Return the mean per choice, in nats per token. Unlike `exact`, it gives long choices no disadvantage."""
    return tuple(math.fsum(steps) / len(steps) for steps in values)


def constrained(labels: Labels, values: Values) -> tuple[float, ...]:
    """Decode greedily along the trie of the choices, as the paper describes it.

    The decoded choice scores 0. Every other choice scores the log of its share among the trie's branches, at the step
    where it left the decoded path.
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
    """Return the log of the mass on the tokens that a choice can begin with, as the paper's script does.

    For comparison only, since it has defects. Choices that begin alike share mass. A label with more beginnings gets
    more mass. A label is judged by its first token, whatever follows.
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
    """Return a score for each choice of each prompt, in the order of the prompts.

    Args:
        reader: the model.
        prompts: one or more; prompts that begin alike are read together.
        scoring: a name of `SCORINGS`.
        overflow: what to do with a prompt longer than the context (`encode`).
        advance: called with the number of prompts that were just read.

    Raises:
        SpilloverError: a score is not a number, or a prompt does not fit.
    """
    return score_with(reader.model, prompts, scoring, overflow, partial(_read, reader, advance))


def score_with(model: Model, prompts: Sequence[Prompt], scoring: str, overflow: str, read: Read) -> Scores:
    """Do what `score` does, with log-probabilities from `read`."""
    encoded = encode(model, prompts, overflow)
    _require_distinct(encoded, prompts, scoring)
    if scoring == "first-token":
        kinds = [(prompt.choices, item.prompt[-END_TOKENS:]) for item, prompt in zip(encoded, prompts, strict=True)]
        one_each = dict(zip(kinds, prompts, strict=True))
        beginnings = {kind: first_token_ids(model, prompt) for kind, prompt in one_each.items()}
        _require_beginnings(beginnings)
        items = [_first_tokens(item, beginnings[kind]) for item, kind in zip(encoded, kinds, strict=True)]
    else:
        items = [whole_choices(item) for item in encoded]
    choices: list[tuple[float, ...]] = []
    per_token: list[tuple[float, ...]] = []
    for index, (queries, values) in enumerate(zip(items, read(items), strict=True)):
        labels = [[token for _, token in query.targets] for query in queries]
        scores = SCORINGS[scoring](labels, values)
        if any(math.isnan(value) for value in scores):
            raise SpilloverError(f"item {index}: found scores {scores}, expected numbers; the model's states overflow")
        choices.append(scores)
        per_token.append(mean_per_token(labels, values) if scoring == "exact" else ())
    return Scores(choices, per_token, sum(item.dropped for item in encoded))


def _require_distinct(encoded: Sequence[Encoded], prompts: Sequence[Prompt], scoring: str) -> None:
    """Refuse choices that no score can distinguish: without tokens, or with the same tokens in every prompt."""
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


def _require_beginnings(
    beginnings: Mapping[tuple[tuple[str, ...], tuple[int, ...]], Sequence[Sequence[int]]],
) -> None:
    for (choices, _), tokens in beginnings.items():
        if not all(tokens):
            without = choices[[bool(alternatives) for alternatives in tokens].index(False)]
            raise SpilloverError(
                f"evaluate.scoring: no single token spells a beginning of {without!r} under this model, so "
                "'first-token' gives it no probability; choose 'exact'"
            )


def whole_choices(item: Encoded) -> list[Query]:
    """Return the queries of `exact`: the tokens of each choice. The last one predicts no target, so it is not read."""
    start = item.boundary
    return [Query(choice[:-1], tuple(enumerate(choice[start:], start - 1))) for choice in item.choices]


def _first_tokens(item: Encoded, beginnings: Sequence[Sequence[int]]) -> list[Query]:
    """Return the queries of `first-token`: at the end of the body, the tokens that each choice may begin with."""
    body = item.choices[0][: item.boundary]
    return [Query(body, tuple((len(body) - 1, token) for token in tokens)) for tokens in beginnings]


def _read(reader: PrefixReader, advance: Callable[[int], None], items: Sequence[Sequence[Query]]) -> list[Values]:
    """Answer all queries at once; an item counts as read when its first choice is."""
    firsts = set(accumulate(map(len, items), initial=0))
    queries = [query for item in items for query in item]
    answers = iter(answer_queries(reader, queries, lambda numbers: advance(len(firsts.intersection(numbers)))))
    return [[[log_p for log_p, _ in next(answers)] for _ in item] for item in items]
