"""What a chat template writes around a text and an answer, found out and checked once, when a model is opened.

A template is a program by anybody: it may leave a text out, write the date, open a thought before an answer, or fail. A
template that cannot be right is refused here in one sentence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spillover.errors import SpilloverError, one_line
from spillover.models.template_program import Render, contents, renderer, template_source
from spillover.models.tokenization import CUT
from spillover.records import ChatStyle

TEXT, ANSWER, NEXT = "3141592653589", "2718281828459", "1618033988749"
"""Samples of a user's text, an answer and a second text: digits, which survive changes of case and blanks."""

SYSTEM, SHOT = "1732050807568", (("user", "5772156649015"), ("assistant", "1414213562373"))
"""Samples of a system text, and of an exemplar in turns."""

SENTENCE = "Ab: \"c\" <D> & 'e'\n\nÄß 1. 2,\tक्षि 中文! "
"""A text with everything that templates are known to change."""

LONG_TEXT = (SENTENCE * 50).strip()
"""A text as long as an item with its exemplars, which a template must not cut."""

UNIT = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|.", re.DOTALL)
"""A mark such as `<s>` or `[INST]`, which is never split, or a character."""

RENDERINGS = 8
"""Number of times a chat is rendered to check that it is always the same."""


@dataclass(frozen=True, slots=True)
class Chat:
    """The rendering of a text and its answer as a chat."""

    render: Render
    """The template."""
    followed: tuple[tuple[str, str], ...]
    """The turns that are rendered after the text; their rendering is cut off again."""
    tail: str
    """The part that is cut off: the answer's rendering and all after it; empty if no turn follows the text."""
    end: str
    """The end of the assistant's turn. In a chat it replaces an answer's delimiter. May be empty."""
    key: tuple[str, ...]
    """The rendering of a text, for the keys of stages; empty if it is the same as before templates were checked."""
    gap: str
    """White space that the template writes before an answer and not when it opens one; a model writes it itself."""
    warnings: tuple[str, ...]
    """Warnings for the user: that the template changes texts."""

    def wrap(self, text: str, shots: Sequence[tuple[str, str]] = ()) -> str:
        """Return the chat with the user's `text`, up to the beginning of the answer.

        Args:
            text: what is asked.
            shots: texts and answers that are turns before it.

        Raises:
            SpilloverError: the template fails on these texts, or leaves out a part of one.
        """
        turns = [turn for question, answer in shots for turn in (("user", question), ("assistant", answer))]
        rendered = self.render([*turns, ("user", text), *self.followed], not self.followed)
        changed = [turn for _, turn in turns if not _holds(rendered, turn)]
        if changed or not rendered.endswith(self.tail) or not _holds(rendered, text):
            raise SpilloverError(
                f"model.template: the chat template changes the text {one_line(_shortened([*changed, text][0]))!r}, "
                "expected the whole text in the prompt"
            )
        return rendered.removesuffix(self.tail)


def open_chat(tokenizer: Any, style: ChatStyle) -> Chat:  # noqa: ANN401 - a class per tokenizer
    r"""Find out what a tokenizer's chat template writes around texts and answers.

    The prompt is everything that the template writes before the answer of an answered chat. So a thought that it writes
    there (`<think>\n\n</think>`) is part of the prompt, and one that it only opens for generation is not.

    Args:
        tokenizer: one of `transformers`, with a chat template.
        style: variables that the template reads (`enable_thinking`), the system text, and whether exemplars are turns.

    Raises:
        SpilloverError: the template fails, reads none of these arguments, leaves a text or an answer out, repeats it,
            does not always render the same, or has no system turn or no earlier turns and they are needed.
    """
    template = template_source(tokenizer, style.arguments)
    render = _content(tokenizer, template, style)
    _require_constant(render)
    opened = render([("user", TEXT)], True)
    followed, answered = _answered(render)
    before, _, after = answered.partition(ANSWER)
    if TEXT not in before[: _shared(before, opened)]:
        raise SpilloverError(
            "model.template: the chat template writes a question otherwise once it is answered, expected it the same"
        )
    alike = _shared(UNIT.findall(before)[::-1], UNIT.findall(after)[::-1])  # then the next answer may be open already
    end = (turn_end(render, after) if alike or len(followed) > 1 else after) or str(tokenizer.eos_token or "")
    blanks = not before.startswith(opened) and before.rstrip() == opened.rstrip()
    if before == opened or blanks:  # if they differ only in blanks, the model continues after the opened turn
        before, followed, after = opened, (), ""
    key = () if (before, end) == _unchecked(tokenizer) else (before, end)
    gap = before.removeprefix(opened) if before.startswith(opened) else ""
    tail = ANSWER + after if followed else ""
    chat = Chat(render, followed, tail, end, key, "" if gap.strip() else gap, _warnings(render))
    if style.turns:
        _require_shots(chat)
    return chat


def _unchecked(tokenizer: Any) -> tuple[str, str]:  # noqa: ANN401
    """Return prompt and end as they were before templates were checked; two empty texts if that failed."""
    user = {"role": "user", "content": TEXT}
    try:
        prompt = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
        answered = tokenizer.apply_chat_template([user, {"role": "assistant", "content": "ANSWER"}], tokenize=False)
    except Exception:  # a template is a program: it can raise anything
        return "", ""
    return str(prompt), str(answered).rpartition("ANSWER")[2] or str(tokenizer.eos_token)


def _content(tokenizer: Any, template: str, style: ChatStyle) -> Render:  # noqa: ANN401
    """Return a renderer of chats, with texts in the form that the template expects: plain, or as a list of one part.

    The system text is the first turn of every chat that it renders.
    """
    refusals: list[SpilloverError] = []
    for content in contents(style.part):
        render = renderer(tokenizer, template, style.arguments, content, style.system)
        try:
            rendered = render([("user", TEXT)], True)
            _require_once(rendered, TEXT, "a user's text")
            if style.system:
                sample = renderer(tokenizer, template, style.arguments, content, SYSTEM)
                _require_once(sample([("user", TEXT)], True), SYSTEM, "the system text")
                _require_unchanged(rendered, style.system)
            return render
        except SpilloverError as error:
            refusals.append(error)
    if not style.system:
        raise refusals[0]
    reason = str(refusals[0]).removeprefix("model.template: ")
    raise SpilloverError(f"model.system: {reason}; leave it out, or choose a template with a system turn")


def _require_unchanged(rendered: str, system: str) -> None:
    if not _holds(rendered, system):
        raise SpilloverError("the chat template changes the system text, expected the whole text in the prompt")


def _require_shots(chat: Chat) -> None:
    """Refuse a template that does not write each turn before a text once."""
    try:
        rendered = chat.render([*SHOT, ("user", TEXT), *chat.followed], not chat.followed)
        for text, what in ((SHOT[0][1], "an earlier text"), (SHOT[1][1], "an earlier answer"), (TEXT, "a user's text")):
            _require_once(rendered, text, what)
    except SpilloverError as error:
        reason = str(error).removeprefix("model.template: ")
        raise SpilloverError(f"model.shots_as: {reason}; choose 'one turn'") from error


def _answered(render: Render) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the turns after the user's text, and the rendered chat.

    The turns are an answer, or an answer and another text: some templates refuse a chat that ends with the assistant.
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


def turn_end(render: Render, after: str) -> str:
    """Return the end of the assistant's turn, where more than that follows an answer: as it is before a user's turn.

    Some templates refuse a chat that ends with the assistant; others open the next answer after every chat.
    """
    try:
        rendered = render([("user", TEXT), ("assistant", ANSWER), ("user", NEXT)], False)
    except SpilloverError:
        return after
    between, there, rest = rendered.partition(ANSWER)[2].partition(NEXT)
    alike = rest and between.startswith(rest)  # both roles' turns end alike
    opening = _opening(rendered)
    end = rest if alike else between[: len(between) - len(opening)]
    more = after.removeprefix(end).strip() if there and after.startswith(end) else ""
    return end if more else after


def user_markup(chat: Chat) -> str:
    """Return what a template writes before every text of the user, without white space around it; may be empty.

    Raises:
        SpilloverError: the template refuses a second question.
    """
    return _opening(chat.render([("user", TEXT), ("assistant", ANSWER), ("user", NEXT)], False)).strip()


def _opening(rendered: str) -> str:
    """Return the opening of a user's turn: it precedes the text and the next text."""
    head = UNIT.findall(rendered.partition(TEXT)[0])
    units = UNIT.findall(rendered.partition(ANSWER)[2].partition(NEXT)[0])
    return "".join(units[len(units) - _shared(head[::-1], units[::-1]) :])


def _require_constant(render: Render) -> None:
    if len({render([("user", TEXT)], True) for _ in range(RENDERINGS)}) > 1:
        raise SpilloverError(
            "model.template: the chat template renders the same text in different ways, expected one prompt each time"
        )


def _require_once(rendered: str, text: str, what: str) -> None:
    count = rendered.count(text)
    if count != 1:
        raise SpilloverError(f"model.template: the chat template writes {what} {count} times, expected once")


def _warnings(render: Render) -> tuple[str, ...]:
    """Return a warning if texts are changed in case or white space; refuse templates that change or cut them more."""
    rendered = render([("user", LONG_TEXT)], True)
    if LONG_TEXT in rendered:
        return ()
    if not _holds(rendered, LONG_TEXT):
        raise SpilloverError(
            "model.template: the chat template cuts texts or replaces characters in them, expected the whole "
            "text in the prompt"
        )
    return ("model.template: the chat template changes case, white space or punctuation of the texts that are asked",)


def _holds(rendered: str, text: str) -> bool:
    """Whether a chat contains a text, without the blanks around it, or at least all its letters and digits in order."""
    return text.strip() in rendered or _letters(text) in _letters(rendered)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text.replace(CUT, "").casefold())


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the number of equal characters, or units, at the beginning of two texts."""
    differing = (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return next(differing, min(len(first), len(second)))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
