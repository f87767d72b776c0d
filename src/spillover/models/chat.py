"""How a chat template wraps a text and an answer, found out once and checked when a model is opened.

A template is a program from anywhere: it may leave a text out, write the date, open a thought before an answer, or
fail. What cannot be right is refused here in one sentence. Knows neither tokens nor weights.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from inspect import signature
from typing import Any

from jinja2 import meta
from transformers.utils.chat_template_utils import _compile_jinja_template

from spillover.errors import SpilloverError, did_you_mean, one_line
from spillover.models.tokenization import CUT

CLOCK = datetime(2024, 7, 26)
"""The time that every template is told, so that a prompt is the same on all days: the date that Llama 3's names."""

TEXT, ANSWER, NEXT = "3141592653589", "2718281828459", "1618033988749"
"""A user's text, an answer and a second text that stand for others: digits, which no change of case or blanks hides."""

SENTENCE = "Ab: \"c\" <D> & 'e'\n\nÄß 1. 2,\tक्षि 中文! "
"""A text with all that templates are known to change."""

LONG = (SENTENCE * 50).strip()
"""A text as long as an item with its exemplars, which a template must not cut."""

UNIT = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|.", re.DOTALL)
"""A mark such as `<s>` or `[INST]`, which is not taken apart, or a character."""

RENDERINGS = 8
"""How often a chat is rendered to see that it is always the same."""

SETTABLE = ("chat_template", "documents", "tools")
"""Parameters of `apply_chat_template` that arguments may set, beside the template's own variables."""

Turns = Sequence[tuple[str, str]]
"""The roles and texts of a chat."""


@dataclass(frozen=True, slots=True)
class Chat:
    """How a text is asked and answered in a chat."""

    render: Callable[[Turns, bool], str]
    """The template: turns, and whether a turn of the assistant is opened after them → the chat as text."""
    followed: tuple[tuple[str, str], ...]
    """The turns that are rendered after the text's; their rendering is cut off again."""
    tail: str
    """What is cut off: the answer's rendering and all that follows it; empty where no turn follows."""
    end: str
    """What ends the assistant's turn: in a chat it stands in place of an answer's delimiter. May be empty."""
    key: tuple[str, ...]
    """What it makes of a text, for the keys of stages; nothing where that is what was made of it
    before templates were checked."""
    warnings: tuple[str, ...]
    """What a user should know of the template: that it changes texts."""

    def wrap(self, text: str) -> str:
        """Return the chat that asks `text`, up to where the answer begins.

        Raises:
            SpilloverError: the template fails on this text, or leaves out a part of it.
        """
        rendered = self.render([("user", text), *self.followed], not self.followed)
        if not rendered.endswith(self.tail) or not _holds(rendered, text):
            raise SpilloverError(
                f"model.template: the chat template changes the text {one_line(_shortened(text))!r}, expected the whole "
                "text in the prompt"
            )
        return rendered.removesuffix(self.tail)


def open_chat(tokenizer: Any, arguments: Mapping[str, Any]) -> Chat:  # noqa: ANN401 - a class per tokenizer
    r"""Find out how a tokenizer's chat template wraps texts and answers.

    The prompt is all that the template writes before the answer of an answered chat, so a thought that it puts there
    (`<think>\n\n</think>`) is part of the prompt, and one that it only opens for generation is not.

    Args:
        tokenizer: one of `transformers`, with a chat template.
        arguments: variables that the template reads (`enable_thinking`).

    Raises:
        SpilloverError: the template fails, reads none of these arguments, leaves a text or an answer out, repeats it,
            or does not always render the same.
    """
    template = _template(tokenizer, arguments)
    render = _content(tokenizer, template, arguments)
    _require_constant(render)
    opened = render([("user", TEXT)], True)
    followed, answered = _answered(render)
    before, _, after = answered.partition(ANSWER)
    if TEXT not in before[: _shared(before, opened)]:
        raise SpilloverError(
            "model.template: the chat template writes a question otherwise once it is answered, expected it the same"
        )
    alike = _shared(UNIT.findall(before)[::-1], UNIT.findall(after)[::-1])  # then the next answer may be open already
    end = (_end(render, after) if alike or len(followed) > 1 else after) or str(tokenizer.eos_token or "")
    blanks = not before.startswith(opened) and before.rstrip() == opened.rstrip()
    if before == opened or blanks:  # where they differ in blanks alone, a model goes on after those that were opened
        before, followed, after = opened, (), ""
    key = () if (before, end) == _once(tokenizer) else (before, end)
    return Chat(render, followed, ANSWER + after if followed else "", end, key, _warnings(render))


def _once(tokenizer: Any) -> tuple[str, str]:  # noqa: ANN401
    """Return how a text was wrapped, and an answer ended, before templates were checked; empty where that failed."""
    user = {"role": "user", "content": TEXT}
    try:
        asked = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
        answered = tokenizer.apply_chat_template([user, {"role": "assistant", "content": "ANSWER"}], tokenize=False)
    except Exception:  # a template is a program: it can raise anything
        return "", ""
    return str(asked), str(answered).rpartition("ANSWER")[2] or str(tokenizer.eos_token)


def _template(tokenizer: Any, arguments: Mapping[str, Any]) -> str:  # noqa: ANN401
    """Return the template's source; refuse one that does not parse, and arguments that it does not read."""
    if not tokenizer.chat_template:
        raise SpilloverError("model.template: found 'chat', but the tokenizer has no chat template")
    with _sentences("cannot be read"):
        source = str(tokenizer.get_chat_template(arguments.get("chat_template"), arguments.get("tools")))
        variables = meta.find_undeclared_variables(_compile_jinja_template(source).environment.parse(source))
    reserved = {"messages", *signature(tokenizer.apply_chat_template).parameters, *tokenizer.special_tokens_map}
    known = sorted((variables - reserved - set(_compile_jinja_template(source).globals)).union(SETTABLE))
    for name in arguments:
        if name not in known:
            raise SpilloverError(
                f"model.template_arguments: found {name!r}, which the chat template does not read; "
                f"{did_you_mean(name, known)}"
            )
    return source


def _content(tokenizer: Any, template: str, arguments: Mapping[str, Any]) -> Callable[[Turns, bool], str]:  # noqa: ANN401
    """Return what renders chats, with texts as the template expects them: as they are, or as a list of one part."""

    def renderer(content: Callable[[str], Any]) -> Callable[[Turns, bool], str]:
        def render(turns: Turns, open_answer: bool) -> str:
            chat = [{"role": role, "content": content(text)} for role, text in turns]
            with _sentences(f"cannot render a chat of {' and '.join(role for role, _ in turns)}"), _frozen(template):
                return str(
                    tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=open_answer, **arguments)
                )

        return render

    refusals: list[SpilloverError] = []
    for content in CONTENTS:
        render = renderer(content)
        try:
            _require_once(render([("user", TEXT)], True), TEXT, "a user's text")
            return render
        except SpilloverError as error:
            refusals.append(error)
    raise refusals[0]


def _as_parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


CONTENTS: tuple[Callable[[str], Any], ...] = (str, _as_parts)
"""The forms in which templates expect the text of a turn, in the order tried."""


def _answered(render: Callable[[Turns, bool], str]) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the turns after a text's that a template renders, and the chat.

    They are an answer, or an answer and another text: some templates refuse a chat that ends with the assistant.
    """
    refusals: list[SpilloverError] = []
    for followed in ((("assistant", ANSWER),), (("assistant", ANSWER), ("user", NEXT))):
        try:
            rendered = render([("user", TEXT), *followed], False)
            _require_once(rendered, ANSWER, "an answer")
            _require_once(rendered, TEXT, "a user's text")
            return followed, rendered
        except SpilloverError as error:
            refusals.append(error)
    raise refusals[0]


def _end(render: Callable[[Turns, bool], str], after: str) -> str:
    """Return what ends the assistant's turn where more than that follows an answer, as it stands before a user's turn.

    Some templates refuse a chat that ends with the assistant; others open the next answer behind every chat.
    """
    try:
        rendered = render([("user", TEXT), ("assistant", ANSWER), ("user", NEXT)], False)
    except SpilloverError:
        return after
    between, there, rest = rendered.partition(ANSWER)[2].partition(NEXT)
    head, units = UNIT.findall(rendered.partition(TEXT)[0]), UNIT.findall(between)
    opening = _shared(head[::-1], units[::-1])  # of a user's turn: it stands before the text and before the next one
    alike = rest and between.startswith(rest)  # both roles' turns end alike
    end = rest if alike else "".join(units[: len(units) - opening])
    more = after.removeprefix(end).strip() if there and after.startswith(end) else ""
    return end if more else after


def _require_constant(render: Callable[[Turns, bool], str]) -> None:
    if len({render([("user", TEXT)], True) for _ in range(RENDERINGS)}) > 1:
        raise SpilloverError(
            "model.template: the chat template renders the same text in different ways, expected one prompt each time"
        )


def _require_once(rendered: str, text: str, what: str) -> None:
    count = rendered.count(text)
    if count != 1:
        raise SpilloverError(f"model.template: the chat template writes {what} {count} times, expected once")


def _warnings(render: Callable[[Turns, bool], str]) -> tuple[str, ...]:
    """Return a warning if texts are changed in case or white space; refuse what changes or cuts them otherwise."""
    rendered = render([("user", LONG)], True)
    if LONG in rendered:
        return ()
    if not _holds(rendered, LONG):
        raise SpilloverError(
            "model.template: the chat template cuts texts or replaces characters of theirs, expected the whole text in "
            "the prompt"
        )
    return ("model.template: the chat template changes case, white space or punctuation of the texts that are asked",)


def _holds(rendered: str, text: str) -> bool:
    """Whether a chat has a text in it: as it is but for the blanks around it, or all its letters and digits."""
    return text.strip() in rendered or _letters(text) in _letters(rendered)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text.replace(CUT, "").casefold())


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Return with how many equal characters, or units, two texts begin."""
    differing = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


@contextmanager
def _sentences(what: str) -> Iterator[None]:
    """Turn whatever a template raises into one sentence."""
    try:
        yield
    except Exception as error:  # a template is a program: it can raise anything
        reason = one_line(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise SpilloverError(f"model.template: the chat template {what}: {reason}") from error


@contextmanager
def _frozen(template: str) -> Iterator[None]:
    """Let a template's clock stand still for the block.

    `transformers` keeps one compiled template for all who render it, and hands templates no function of a caller's.
    """
    clock = _compile_jinja_template(template).globals
    clock["strftime_now"] = CLOCK.strftime
    try:
        yield
    finally:
        del clock["strftime_now"]
