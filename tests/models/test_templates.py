"""How chat templates wrap texts and answers: templates in the shape of well-known ones, odd ones, and broken ones."""

import random
from copy import deepcopy
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from spillover.errors import SpilloverError
from spillover.models.chat_template import open_chat
from spillover.models.model import Model
from spillover.records import ChatStyle

LLAMA = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{{- "Today Date: " + date_string + "\n\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"""

QWEN = """{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] if message.role == "user" and ns.last == messages|length - 1 %}
    {%- set ns.last = (messages|length - 1) - loop.index0 %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}{%- set content = content.split('</think>')[-1] %}{%- endif %}
        {%- if loop.last %}
            {{- '<|im_start|>assistant\n<think>\n\n</think>\n\n' + content.lstrip('\n') + '<|im_end|>\n' }}
        {%- else %}
            {{- '<|im_start|>assistant\n' + content + '<|im_end|>\n' }}
        {%- endif %}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
{%- endif %}"""

GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {{- '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""

MISTRAL = """{{ bos_token }}{% for message in messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
{%- if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}
{%- else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"""

GRANITE = """{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}
{%- else %}{%- set system_message = "Today's Date: " + strftime_now('%B %d, %Y') + ".\nYou are Granite." %}{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\n' }}
{%- for message in messages %}
    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\n' }}
    {%- if loop.last and add_generation_prompt %}{{- '<|start_of_role|>assistant' }}
        {%- if controls %}{{- ' ' + controls | tojson }}{% endif %}{{- '<|end_of_role|>' }}{%- endif %}
{%- endfor %}"""

DEEPSEEK = """{{ bos_token }}{% for message in messages %}
{%- if message['role'] == 'user' %}{{ '<User>' + message['content'] }}{% endif %}
{%- if message['role'] == 'assistant' %}{% set content = message['content'] %}
{%- if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}
{{- '<Assistant>' + content + '<end>' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<Assistant><think>\n' }}{% endif %}"""

HARMONY = """{{ '<|start|>system<|message|>Current date: ' + strftime_now('%Y-%m-%d') + '<|end|>' }}
{%- for m in messages %}{% if m.role == 'assistant' %}
{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + ('<|return|>' if loop.last else '<|end|>') }}
{%- else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"""

TURN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
OPENED = TURN + "{% if add_generation_prompt %}<assistant>{% endif %}"
PARTS = OPENED.replace("{{ m.content }}", "{% for part in m.content %}{{ part.text }}{% endfor %}")
LAST_USER = "{% if messages[-1].role != 'user' %}{{ raise_exception('Last message must be from user') }}{% endif %}"

HEAD = "<|start_header_id|>{}<|end_header_id|>\n\n"
THOUGHT = "<think>\n\n</think>\n\n"

SHAPES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "llama": (
        LLAMA,
        {},
        f"<s>{HEAD.format('system')}Today Date: 26 Jul 2024\n\n<|eot_id|>{HEAD.format('user')}Good?<|eot_id|>"
        + HEAD.format("assistant"),
        "<|eot_id|>",
    ),
    "llama, a date of one's own": (
        LLAMA,
        {"date_string": "1 May 2030"},
        f"<s>{HEAD.format('system')}Today Date: 1 May 2030\n\n<|eot_id|>{HEAD.format('user')}Good?<|eot_id|>"
        + HEAD.format("assistant"),
        "<|eot_id|>",
    ),
    "qwen": (QWEN, {}, f"<|im_start|>user\nGood?<|im_end|>\n<|im_start|>assistant\n{THOUGHT}", "<|im_end|>\n"),
    "qwen, no thinking": (
        QWEN,
        {"enable_thinking": False},
        f"<|im_start|>user\nGood?<|im_end|>\n<|im_start|>assistant\n{THOUGHT}",
        "<|im_end|>\n",
    ),
    "gemma": (
        GEMMA,
        {},
        "<s><start_of_turn>user\nGood?<end_of_turn>\n<start_of_turn>model\n",
        "<end_of_turn>\n",
    ),
    "mistral": (MISTRAL, {}, "<s>[INST] Good? [/INST] ", "</s>"),
    "granite": (
        GRANITE,
        {},
        "<|start_of_role|>system<|end_of_role|>Today's Date: July 26, 2024.\nYou are Granite.<|end_of_text|>\n"
        "<|start_of_role|>user<|end_of_role|>Good?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
        "<|end_of_text|>\n",
    ),
    "deepseek": (DEEPSEEK, {}, "<s><User>Good?<Assistant>", "<end>"),
    "harmony": (
        HARMONY,
        {},
        "<|start|>system<|message|>Current date: 2024-07-26<|end|><|start|>user<|message|>Good?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>",
        "<|return|>",
    ),
    "parts": (PARTS, {}, "<user>Good?</s><assistant>", "</s>"),
    "no end": (OPENED.replace("</s>", "|"), {}, "<user>Good?|<assistant>", "|"),
    "no end at all": ("{% for m in messages %}{{ m.content }}{% endfor %}", {}, "Good?", "</s>"),
    "lower case": (OPENED.replace("m.content", "m.content | lower"), {}, "<user>good?</s><assistant>", "</s>"),
    "last turn the user's": (LAST_USER + OPENED, {}, "<user>Good?</s><assistant>", "</s>"),
    "last turn the user's, with a system's": (
        LAST_USER + "<system>S</s>\n" + OPENED.replace("</s>", "</s>\n"),
        {},
        "<system>S</s>\n<user>Good?</s>\n<assistant>",
        "</s>\n",
    ),
    "last turn the user's, marks that end alike": (
        LAST_USER + "<begin>" + OPENED.replace("</s>", "{{ '<end>' if m.role == 'assistant' else '<stop>' }}"),
        {},
        "<begin><user>Good?<stop><assistant>",
        "<end>",
    ),
    "last turn the user's, unlike ends": (LAST_USER + MISTRAL, {}, "<s>[INST] Good? [/INST] ", "</s>"),
    "always opens the next answer": (TURN + "<assistant>", {}, "<user>Good?</s><assistant>", "</s>"),
    "never opens an answer": (TURN, {}, "<user>Good?</s><assistant>", "</s>"),
    "a line end before every turn": (
        "{{ 'Be kind.' }}\n" + TURN.replace("<{{ m.role }}>", "{{ '# ' + m.role + '\\n' }}").replace("</s>", "</s>\n"),
        {},
        "Be kind.\n# user\nGood?</s>\n# assistant\n",
        "</s>\n",
    ),
    "a blank more when opened": (
        TURN + "{% if add_generation_prompt %}<assistant> {% endif %}",
        {},
        "<user>Good?</s><assistant> ",
        "</s>",
    ),
}
"""Template, its arguments → how a text is asked and what ends an answer."""


def having(tokenizer: PreTrainedTokenizerFast, template: object, **changes: object) -> PreTrainedTokenizerFast:
    own = deepcopy(tokenizer)
    own.chat_template = template
    for name, value in changes.items():
        setattr(own, name, value)
    return own


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_stands_where_the_template_puts_it(tokenizer: PreTrainedTokenizerFast, shape: str) -> None:
    template, arguments, asked, end = SHAPES[shape]
    chat = open_chat(having(tokenizer, template), ChatStyle(arguments))
    assert (chat.wrap("Good?"), chat.end) == (asked, end)
    assert bool(chat.warnings) == (shape == "lower case")


@pytest.mark.parametrize("shape", ["llama", "granite", "harmony"])
def test_two_days_give_one_prompt(
    tokenizer: PreTrainedTokenizerFast, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the key says so, since what was measured before had another date in it; the clock of others goes on."""
    own = having(tokenizer, SHAPES[shape][0])

    def on(day: int) -> tuple[str, tuple[str, ...], str]:
        monkeypatch.setattr(chat_template_utils, "datetime", SimpleNamespace(now=lambda: datetime(2031, 1, day)))
        chat = open_chat(own, ChatStyle())
        plain = own.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
        return chat.wrap("x"), chat.key, plain

    (first, key, plain), (second, again, later) = on(1), on(2)
    assert (first, key) == (second, again)
    assert any("2024" in part for part in key)
    assert plain != later


def test_the_key_is_empty_where_prompts_are_what_they_were(tokenizer: PreTrainedTokenizerFast) -> None:
    for template, same in ((OPENED, True), (GEMMA, True), (QWEN, False), (MISTRAL, False), (PARTS, False)):
        assert (open_chat(having(tokenizer, template), ChatStyle()).key == ()) == same
    assert open_chat(having(tokenizer, TURN.replace("</s>", ""), eos_token=None), ChatStyle()).key  # was `None`


def test_without_end_of_turn_and_eos_an_answer_has_no_end(tokenizer: PreTrainedTokenizerFast) -> None:
    own = having(tokenizer, "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}", eos_token=None)
    model = Model(network=None, tokenizer=own, chat=True)
    assert model.apply_chat_template("Good?") + model.format_answer(" yes\n\n") == "user: Good?assistant: yes"


def test_named_templates_are_an_argument(tokenizer: PreTrainedTokenizerFast) -> None:
    own = having(tokenizer, {"default": OPENED, "loud": OPENED.replace("<", "<<")})
    assert open_chat(own, ChatStyle()).wrap("a") == "<user>a</s><assistant>"
    assert open_chat(own, ChatStyle({"chat_template": "loud"})).wrap("a") == "<<user>a<</s><<assistant>"
    with pytest.raises(SpilloverError, match=r"multiple chat templates .*\['loud', 'other'\]"):
        open_chat(having(tokenizer, {"loud": OPENED, "other": OPENED}), ChatStyle())


BROKEN: dict[str, tuple[str | None, str]] = {
    "none": (None, "the tokenizer has no chat template"),
    "cut off": ("{% for m in messages %}{{ m.content", "cannot be read: .*expected 'end of print statement'"),
    "no filter": ("{{ messages | shout }}", "cannot be read: No filter named 'shout'"),
    "raises": ("{{ raise_exception('Not\nfor you') }}", "cannot render a chat of user: Not"),
    "wants a system role": (
        "{% if messages[0].role != 'system' %}{{ raise_exception('First a system prompt') }}{% endif %}" + OPENED,
        "First a system prompt",
    ),
    "no text": ("<user><assistant>", "writes a user's text 0 times, expected once"),
    "text twice": (OPENED.replace("{{ m.content }}", "{{ m.content }} {{ m.content }}"), "text 2 times"),
    "no answer": ("{{ messages[0].content }}", "writes an answer 0 times"),
    "answer twice": (
        OPENED + "{% if messages | length > 1 %}{{ messages[1].content }}{% endif %}",
        "writes an answer 2 times",
    ),
    "refuses answers": (
        "{% if messages | length > 1 %}{{ raise_exception('One turn') }}{% endif %}" + OPENED,
        "cannot render a chat of user and assistant: One turn",
    ),
    "cuts": (OPENED.replace("m.content", "m.content[:500]"), "cuts texts"),
    "escapes": (OPENED.replace("m.content", "m.content | e"), "replaces characters"),
    "chance": (OPENED + "{{ range(1000) | random }}", "renders the same text in different ways"),
    "answered otherwise": ("{{ messages | length }}" + OPENED, "otherwise once it is answered"),
    "another language's error": ("{{ 1 / 0 }}", "division by zero"),
    "unknown": ("{{ tools.call() }}", "undefined|has no attribute"),
    "endless": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
    "huge": ("{% for i in range(10 ** 9) %}x{% endfor %}", "[Rr]ange too big"),
}
"""Template → what is said of it."""


@pytest.mark.parametrize("kind", BROKEN)
def test_a_template_that_cannot_be_right_is_refused_in_a_sentence(
    tokenizer: PreTrainedTokenizerFast, kind: str
) -> None:
    template, said = BROKEN[kind]
    with pytest.raises(SpilloverError, match=rf"^model\.template: .*(?:{said})") as error:
        open_chat(having(tokenizer, template), ChatStyle())
    assert "\n" not in str(error.value)


def test_arguments_that_a_template_does_not_read_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    for name in ("enable_thinkng", "messages", "add_generation_prompt", "tokenize"):
        with pytest.raises(SpilloverError, match=rf"template_arguments: found '{name}'.*enable_thinking"):
            open_chat(having(tokenizer, QWEN), ChatStyle({name: False}))


def test_a_text_that_a_template_changes_is_refused_when_it_comes(tokenizer: PreTrainedTokenizerFast) -> None:
    """No check of a few texts sees what a template does to one word."""
    chat = open_chat(having(tokenizer, OPENED.replace("m.content", "m.content | replace('sad', '')")), ChatStyle())
    assert chat.wrap("a glad end") == "<user>a glad end</s><assistant>"
    with pytest.raises(SpilloverError, match="changes the text 'a sad end'"):
        chat.wrap("a sad end")


PIECES = (
    *("{{ bos_token }}", "{% for m in messages %}", "{% endfor %}", "{{ m.role }}", "{{ m.content }}", "</s>", "\n"),
    *("{{ m.content | trim }}", "{{ messages[-1].content }}", "{{ messages[0]['content'] }}", "{{ m['x']['y'] }}"),
    *("{% if add_generation_prompt %}", "{% if loop.last %}", "{% if m.role == 'user' %}", "{% endif %}", "<bot>"),
    *("{{ strftime_now('%H:%M') }}", "{{ raise_exception('no') }}", "{% set m = 1 %}", "{{ '<think>' }}", "{{", "%}"),
    *("{{ m.content[3:] }}", "{% for part in m.content %}{{ part.text }}{% endfor %}", "{% generation %}", "{{ a }}"),
)


def test_whatever_a_template_is_it_wraps_rightly_or_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    """Random templates of a few pieces: a sentence, or a prompt with the text in it once, the same each time."""
    draw, own, right = random.Random(0), deepcopy(tokenizer), 0
    for _ in range(250):
        inner = "".join(draw.choices(PIECES, k=draw.randint(1, 3)))
        loop = "{% for m in messages %}" + inner + "{{ m.content }}" + "{% endfor %}"
        own.chat_template = draw.choice([inner, loop, loop + inner, inner + OPENED, inner + QWEN])
        try:
            chat = open_chat(own, ChatStyle())
            asked = chat.wrap("Fine, 31 times.")
        except SpilloverError as error:
            assert "\n" not in str(error) and str(error).startswith("model.template: ")
            continue
        right += 1
        assert asked.count("Fine, 31 times.") == 1 and asked == chat.wrap("Fine, 31 times.")
        assert "None" not in chat.end and "Fine" not in chat.end
    assert right > 25


@pytest.mark.parametrize("shape", ["last turn the user's, unlike ends", "always opens the next answer"])
def test_an_end_with_the_next_turn_in_it_is_caught(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    monkeypatch.setattr("spillover.models.chat_template.turn_end", lambda render, after: after)
    with pytest.raises(AssertionError):
        test_an_answer_stands_where_the_template_puts_it(tokenizer, shape)
