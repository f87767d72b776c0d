"""Faults of prompts under the model's tokenizer and chat template: items too long, labels that share tokens.

The model's weights are not read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.lint.special_tokens import Special
from spillover.models.tokenization import NO_START, declares_bos
from spillover.records import Defect, Prompt, Severity
from spillover.tasks import ChoiceTask

if TYPE_CHECKING:  # torch costs seconds
    from spillover.models.inference.encode import Encoded

EXPANSION = 12
"""Most tokens per byte of text: one, and more where a tokenizer's normal form (NFKC) writes a character out."""

UNSCORED = "`first-token` scoring gives it no probability; choose 'exact'"
"""The consequence, in an error, where no token begins a label."""

NESTED = {"constrained": "'constrained' decoding cannot end there; choose 'exact' or other labels"}
"""Scoring under which no label may be the beginning of another → the consequence, in an error, where one is."""


@dataclass(frozen=True, slots=True)
class Reads:
    """How the model under examination reads prompts."""

    encode: "Callable[[Sequence[Prompt]], Sequence[Encoded]]"
    """Prompts → their tokens, with all their exemplars, whether or not they fit."""
    context: int
    """Tokens that the model can read at once."""
    starts: Callable[[Prompt], Sequence[Sequence[int]]] = lambda prompt: [(0,)] * len(prompt.choices)
    """A prompt → for each choice the tokens that spell a beginning of it: `first_token_ids`."""
    chat: bool = False
    """Whether a chat template wraps prompts."""
    begins: bool = True
    """Whether it has a token after which a text begins."""
    warnings: tuple[str, ...] = ()
    """Warnings about its chat template."""
    refusal: str = ""
    """Why its chat template cannot be used; prompts are then read without it."""
    special: Special | None = None
    """Its special tokens; None: they are not examined."""


def open_reads(experiment: Experiment) -> Reads:
    """Return how an experiment's model reads prompts.

    Raises:
        SpilloverError: there is no such model, or no tokenizer in it.
    """
    from spillover.models.inference.encode import encode_whole, first_token_ids
    from spillover.models.load import without_weights
    from spillover.models.locate import locate

    chosen, refusal = experiment.model, ""
    model = without_weights(chosen.name, chosen.template, chosen.chat_style)
    try:
        warnings = model.chat_format.warnings if model.chat else ()
    except SpilloverError as error:
        refusal, warnings, model = str(error), (), without_weights(chosen.name)
    begins = model.tokenization.start is not None
    encode = partial(encode_whole, model)
    tokenizer, declared = model.tokenizer, declares_bos(locate(chosen.name))
    special = Special(
        encode=encode,
        spell=tokenizer.decode,
        bos=tokenizer.bos_token_id,
        bos_text=str(tokenizer.bos_token or ""),
        declared=tokenizer.bos_token_id in model.tokenization.beginning if declared is None else declared,
        markup=model.user_markup,
        chat=model.chat,
    )
    starts = partial(first_token_ids, model)
    return Reads(encode, model.context, starts, model.chat, begins, warnings, refusal, special)


def wrapped(reads: Reads, texts: int) -> Iterator[Defect]:
    """Yield faults of the chat template, and a missing start token where bits per byte need one."""
    if reads.refusal:
        yield Defect("error", "template", reads.refusal)
    for warning in reads.warnings:
        yield Defect("warning", "template", warning)
    if texts and not reads.begins:
        yield Defect("error", "tokens", NO_START)


def too_long(reads: Reads, prompts: Mapping[str, Sequence[Prompt]], where: str, language: str) -> Iterator[Defect]:
    """Yield, as one error, the items whose shortest prompt is longer than the model's context, or cannot be rendered.

    Args:
        reads: the model.
        prompts: id of an item → the prompts made of it, without the exemplars that may be dropped.
        where: the task, as errors name it.
        language: code of the items' language.
    """
    longest: dict[str, int] = {}
    for id, made in prompts.items():
        near = [prompt for prompt in made if reads.chat or _bytes(prompt) * EXPANSION > reads.context]
        try:
            lengths = [len(choice) for encoded in reads.encode(near) for choice in encoded.choices]
        except SpilloverError as error:
            yield Defect("error", "template", f"{where}: item {id!r}: {error}", language=language)
            return
        if lengths and max(lengths) > reads.context:
            longest[id] = max(lengths)
    if longest:
        id = next(iter(longest))
        more = f" ({len(longest)} items are longer)" if len(longest) > 1 else ""
        message = (
            f"{where}: item {id!r} has {longest[id]} tokens, expected at most {reads.context}, the model's "
            f"context{more}; shorten it, take it out, or choose another model"
        )
        yield Defect("error", "length", message, language=language)


def answer_lengths(reads: Reads, prompts: Sequence[Prompt]) -> list[int]:
    """Return the number of tokens of each prompt's shortest choice."""
    return [min(map(len, encoded.labels)) for encoded in reads.encode(prompts)]


def _bytes(prompt: Prompt) -> int:
    return sum(len(text.encode()) for text in (*prompt.exemplars, prompt.body, max(prompt.choices, key=len)))


def same_tokens(task: ChoiceTask, languages: Sequence[str], kind: str, scoring: str, reads: Reads) -> Iterator[Defect]:
    """Yield labels that the model's tokenizer does not tell apart: whatever the model says, they score the same.

    Also labels that have no token, and labels whose tokens are the beginning of another's.
    """
    for code in languages:
        words, cue = task.label_words(kind, code), _cue(task, code, kind)
        (encoded,) = reads.encode([cue])
        yield from apart(encoded, words, scoring, f"task {task.name!r}", code)
        without = [word for word, tokens in zip(words, reads.starts(cue), strict=True) if not tokens]
        if scoring == "first-token" and without:
            message = f"task {task.name!r}: no single token spells a beginning of the label {without[0]!r}: {UNSCORED}"
            yield Defect("error", "tokens", message, language=code)


def own_choices(
    reads: Reads, prompts: Mapping[str, Prompt], scoring: str, where: str, language: str
) -> Iterator[Defect]:
    """Yield what is wrong with the choices that items bring themselves: for each fault the first item that has it.

    A choice that continues another one is no fault of theirs unless decoding needs an end.
    """
    faults: dict[str, Defect] = {}
    for (id, prompt), encoded in zip(prompts.items(), reads.encode(list(prompts.values())), strict=True):
        for defect in apart(encoded, prompt.choices, scoring, f"{where}: item {id!r}", language):
            if defect.severity == "error":
                faults.setdefault(defect.check, defect)
    yield from faults.values()


def apart(encoded: "Encoded", words: Sequence[str], scoring: str, where: str, language: str) -> Iterator[Defect]:
    """Yield why the tokens of choices, whose words these are, do not tell them apart."""
    listed = ", ".join(map(repr, words))
    if empty := encoded.without_tokens:
        message = f"{where}: the label {words[empty[0]]!r} has no token under the chosen model, expected one or more"
        yield Defect("error", "tokens", message, language=language)
    elif len(set(encoded.choices)) < len(set(words)):
        message = f"{where}: two of the labels {listed} are the same tokens under the chosen model"
        yield Defect("error", "tokens", message, language=language)
    elif nested := encoded.nested:
        short, long = (words[place] for place in nested[0])
        consequence = NESTED.get(scoring, "it can never score lower")
        severity: Severity = "error" if scoring in NESTED else "warning"
        message = f"{where}: under the chosen model the tokens of {long!r} begin with those of {short!r}: {consequence}"
        yield Defect(severity, "tokens", message, language=language)


def same_beginnings(
    task: ChoiceTask, languages: Sequence[str], kind: str, reads: Reads, consequence: str
) -> Iterator[Defect]:
    """Yield, as one warning, the languages in which labels begin with the same token, and what follows from it."""
    alike = [code for code in languages if len(set(first := _first(task, code, kind, reads))) < len(first)]
    if alike:
        message = f"task {task.name!r}: {kind} labels begin with the same token in {', '.join(alike)}: {consequence}"
        yield Defect("warning", "tokens", message, language=alike[0] if len(alike) == 1 else "")


def _first(task: ChoiceTask, code: str, kind: str, reads: Reads) -> list[tuple[int, ...]]:
    """Return the token with which each label begins: the first after what all of them share with the bare prompt."""
    (encoded,) = reads.encode([_cue(task, code, kind)])
    return [label[:1] for label in encoded.labels]


def _cue(task: ChoiceTask, code: str, kind: str) -> Prompt:
    """Return the end of a task's prompts, with the labels that may follow."""
    return Prompt((), f"{task.row(code).answer}:", task.choices(kind, code))
