"""Faults where a prompt begins and ends: its first token, a chat template laid twice, a blank or a label at its end.

Such faults change every score and none looks wrong, so the tokens of real prompts are examined. Weights are not read.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.records import Defect, Prompt

if TYPE_CHECKING:  # torch costs seconds
    from spillover.models.inference.encode import Encoded

OFTEN = 0.5
"""Share of a language's prompts from which markup in them is no accident: somebody may write about `<s>`."""

SHORTEST = 4
"""Characters from which markup is not met by chance."""

BLANK = re.compile(r"[^\S\n]$")
"""White space at the end of a text, but no line end, after which an answer may begin."""

Prompts = Mapping[str, Sequence[Prompt]]
"""Language code → the prompts of its items."""


@dataclass(frozen=True, slots=True)
class Special:
    """What a model's tokenizer says about its special tokens."""

    encode: "Callable[[Sequence[Prompt]], Sequence[Encoded]]"
    """Prompts → their tokens, whether or not they fit."""
    spell: Callable[[Sequence[int]], str]
    """Tokens → the text that they spell."""
    bos: int | None
    """Id of the token that begins texts; None: it has none."""
    bos_text: str
    """That token as a text; empty: it has none."""
    declared: bool
    """Whether the tokenizer's files say that texts begin with that token."""
    markup: str
    """What the tokenizer's chat template writes before a text of the user, without white space; may be empty."""
    chat: bool
    """Whether that template wraps prompts."""


def beginnings(special: Special, prompts: Prompts, where: str) -> Iterator[Defect]:
    """Yield a begin-of-sequence token that a task's prompts lack or have twice."""
    firsts = [rows[0] for rows in prompts.values() if rows]
    if special.bos is None or not firsts:
        return
    tokens, writer = special.encode(firsts[:1])[0].prompt, "the chat template" if special.chat else "the tokenizer"
    if tokens[:2] == (special.bos, special.bos):
        message = (
            f"{where}: {writer} begins a prompt with {special.bos_text!r} twice, expected once; remove one of them"
        )
        yield Defect("error", "tokens", message)
    elif special.declared and tokens[:1] != (special.bos,):
        message = (
            f"{where}: prompts begin without {special.bos_text!r}, with which texts begin by the tokenizer's own "
            f"files: {writer} does not write it; expected the tokenizer and the template that the model was made with"
        )
        yield Defect("warning", "tokens", message)
    spelled = _with(prompts, lambda text: special.bos_text in text)
    if spelled:
        message = (
            f"{where}: texts in {', '.join(spelled)} spell {special.bos_text!r}, which is read as these characters; "
            "take it out: a prompt that needs this token gets it"
        )
        yield Defect("warning", "tokens", message, language=_only(spelled))


def laid_twice(special: Special, prompts: Prompts, where: str) -> Iterator[Defect]:
    """Yield texts that hold the markup of the model's chat template already."""
    marked = _with(prompts, lambda text: special.markup in text) if len(special.markup) >= SHORTEST else []
    if not marked:
        return
    message = f"{where}: texts in {', '.join(marked)} hold {special.markup!r}, which the model's chat template writes"
    if special.chat:
        message += ", so each prompt would have it twice; expected plain texts, or template = 'none'"
        yield Defect("error", "template", message, language=_only(marked))
    else:
        message += " and which is read as characters here; expected plain texts and template = 'chat'"
        yield Defect("warning", "template", message, language=_only(marked))


def endings(special: Special, prompts: Prompts, where: str) -> Iterator[Defect]:
    """Yield the languages whose prompts end in a blank, and those in which a label merges with the prompt's end."""
    firsts = {code: rows[0] for code, rows in prompts.items() if rows}
    blank = [code for code, prompt in firsts.items() if not special.chat and BLANK.search(prompt.body)]
    if blank:
        message = (
            f"{where}: prompts end in a blank in {', '.join(blank)}, expected none: the blank before an answer belongs "
            "to the answer, with whose first word a tokenizer joins it"
        )
        yield Defect("warning", "tokens", message, language=_only(blank))
    scored = {code: prompt for code, prompt in firsts.items() if prompt.choices and code not in blank}
    merged = {
        code: special.spell(encoded.prompt[encoded.boundary :])
        for code, encoded in zip(scored, special.encode(list(scored.values())), strict=True)
    }
    merged = {code: text for code, text in merged.items() if text.strip()}
    if merged:
        text = next(iter(merged.values()))
        message = (
            f"{where}: under the chosen model a label merges with the end of the prompt in {', '.join(merged)}: scores "
            f"also count {text!r}, which belongs to the prompt; expected a cue whose last token stays as it is"
        )
        yield Defect("warning", "tokens", message, language=_only(list(merged)))


def _with(prompts: Prompts, has: Callable[[str], bool]) -> list[str]:
    """Return the languages in which as many prompts as `OFTEN` says have a property, by their own text."""
    return [
        code
        for code, rows in prompts.items()
        if rows and sum(has(prompt.header + prompt.body) for prompt in rows) >= OFTEN * len(rows)
    ]


def _only(codes: Sequence[str]) -> str:
    """Return the language if it is one; else an empty text: the message names them."""
    return codes[0] if len(codes) == 1 else ""
