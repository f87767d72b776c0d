"""A chat template as the program that it is: its arguments, its clock, the form of its texts, its exceptions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from inspect import signature
from typing import Any

from jinja2 import meta
from transformers.utils.chat_template_utils import _compile_jinja_template

from spillover.errors import SpilloverError, did_you_mean, first_line, one_line

CLOCK = datetime(2024, 7, 26)
"""The time that every template sees, so that prompts are the same on all days. It is the date in Llama 3's template."""

SETTABLE = ("chat_template", "documents", "tools")
"""Parameters of transformers' `apply_chat_template` that arguments may set, beside the template's own variables."""

Turns = Sequence[tuple[str, str]]
"""The roles and texts of a chat."""

Render = Callable[[Turns, bool], str]
"""A template: turns, and whether it opens a turn of the assistant after them → the chat as text."""

Content = Callable[[str, str], Any]
"""The role and the text of a turn → what a template gets as its content."""


def template_source(tokenizer: Any, arguments: Mapping[str, Any]) -> str:  # noqa: ANN401
    """Return the template's source; refuse one that does not parse, and arguments that it does not read."""
    if not (tokenizer.chat_template or arguments.get("chat_template")):
        raise SpilloverError("model.template: found 'chat', but the tokenizer has no chat template")
    with sentences("cannot be read"):
        source = str(tokenizer.get_chat_template(arguments.get("chat_template"), arguments.get("tools")))
        variables = meta.find_undeclared_variables(_compile_jinja_template(source).environment.parse(source))
    reserved = {"messages", *signature(tokenizer.apply_chat_template).parameters, *tokenizer.special_tokens_map}
    readable = sorted((variables - reserved - set(_compile_jinja_template(source).globals)).union(SETTABLE))
    for name in arguments:
        if name not in readable:
            raise SpilloverError(
                f"model.template_arguments: found {name!r}, which the chat template does not read; "
                f"{did_you_mean(name, readable)}"
            )
    return source


def renderer(
    tokenizer: Any,  # noqa: ANN401 - a class per tokenizer
    template: str,
    arguments: Mapping[str, Any],
    content: Content,
    system: str,
) -> Render:
    """Return a renderer of chats.

    Args:
        tokenizer: one of `transformers`.
        template: the source of its template.
        arguments: variables that the template reads.
        content: the form of a turn's text, such as those of `contents`.
        system: the text of the turn before all others; empty: no such turn.
    """
    first = (("system", system),) if system else ()

    def render(turns: Turns, open_answer: bool) -> str:
        chat = [{"role": role, "content": content(role, text)} for role, text in (*first, *turns)]
        roles = " and ".join(turn["role"] for turn in chat)
        with sentences(f"cannot render a chat of {roles}"), _frozen(template):
            rendered = tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=open_answer, **arguments
            )
            return str(rendered)

    return render


def contents(part: Mapping[str, str]) -> tuple[Content, ...]:
    """Return the forms in which templates expect the text of a turn, in the order in which they are tried.

    Args:
        part: further keys of the one part that is a user's text; with such keys there is one form.
    """

    def described(role: str, text: str) -> str | list[dict[str, str]]:
        return [{"type": "text", **part, "text": text}] if role == "user" else text

    return (described,) if part else (_plain, _as_parts)


def _plain(role: str, text: str) -> str:
    return text


def _as_parts(role: str, text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


@contextmanager
def sentences(what: str) -> Iterator[None]:
    """Turn any exception of a template into one sentence."""
    try:
        yield
    except Exception as error:  # a template is a program: it can raise anything
        reason = one_line(first_line(error))
        raise SpilloverError(f"model.template: the chat template {what}: {reason}") from error


@contextmanager
def _frozen(template: str) -> Iterator[None]:
    """Stop a template's clock for the block.

    `transformers` caches the compiled template, and passes no function of the caller to it.
    """
    clock = _compile_jinja_template(template).globals
    clock["strftime_now"] = CLOCK.strftime
    try:
        yield
    finally:
        del clock["strftime_now"]
