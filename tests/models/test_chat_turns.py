"""System text and exemplars as turns: tokens, scores and answers are those of transformers' chat of the messages."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, parse_experiment
from spillover.models.chat_template import open_chat
from spillover.models.inference.encode import Encoded, encode
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.scoring.generate import generate
from spillover.models.scoring.score import score
from spillover.records import ChatStyle, Item, Prompt
from spillover.store import digest
from spillover.tasks import GenerationTask, open_task

pytestmark = pytest.mark.usefixtures("one_thread")

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMED = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>\n\n{{ m.content | trim }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n\n{% endif %}"
)
FOLDED = (
    "{% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}"
    "{% set ns.system = m.content + '\n\n' %}{% elif m.role == 'user' %}[INST] {{ ns.system + m.content }} [/INST]"
    "{% set ns.system = '' %}{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
)
GAP = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
PARTS = CHATML.replace("{{ m.content }}", "{% for part in m.content %}{{ part.text }}{% endfor %}")
TEMPLATES = {"chatml": CHATML, "trimmed": TRIMMED, "system in the first user's turn": FOLDED, "parts": PARTS}

SYSTEM = "Du bist höflich: antworte mit <einem> Wort."
LIMIT = 12


@pytest.fixture(scope="module")
def network(tiny: Callable[[str], Path]) -> Any:  # noqa: ANN401
    return load(str(tiny("llama")), "float32").network


def chatting(network: object, tokenizer: PreTrainedTokenizerFast, template: str, style: ChatStyle) -> Model:
    tokenizer = deepcopy(tokenizer)
    tokenizer.chat_template = template
    return Model(network, tokenizer, chat=True, style=style)


def asked(task: str, code: str) -> list[Prompt]:
    opened = open_task(task)
    texts = [("Alles wie neu.",) * len(opened.fields), ("ไม่ดีเลย </s>",) * len(opened.fields)]
    return [opened.prompt(Item(task, str(n), code, fields, 0)) for n, fields in enumerate(texts)]


def messages(prompt: Prompt, style: ChatStyle) -> list[dict[str, Any]]:
    """Write the messages of a prompt from its texts alone: an answer follows the last colon of an exemplar."""
    turns = [("system", style.system)] if style.system else []
    exemplars = prompt.exemplars
    if style.turns:
        for exemplar in exemplars:
            asked, colon, answer = exemplar.rstrip("\n").rpartition(": ")
            turns += [("user", asked + colon.strip()), ("assistant", answer)]
        exemplars = ()
    turns.append(("user", "".join(exemplars) + prompt.body))
    return [{"role": role, "content": text} for role, text in turns]


def by_transformers(model: Model, prompt: Prompt, answer: str | None) -> list[int]:
    """Let transformers render and tokenize; a `</s>` in the item's own text is looked for nowhere."""
    chat, template = messages(prompt, model.style), model.tokenizer.chat_template
    chat += [] if answer is None else [{"role": "assistant", "content": answer.strip()}]
    if "part.text" in template:
        chat = [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in chat]
    text = model.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=answer is None)
    ids: list[int] = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def plain(prompts: Sequence[Prompt]) -> list[Prompt]:
    return [replace(prompt, body=prompt.body.replace(" </s>", "")) for prompt in prompts]


STYLES = {
    "one turn": ChatStyle(),
    "system": ChatStyle(system=SYSTEM),
    "turns": ChatStyle(turns=True),
    "system and turns": ChatStyle(system=SYSTEM, turns=True),
}


def check(model: Model, prompts: Sequence[Prompt]) -> list[Encoded]:
    encoded = encode(model, prompts, "error")
    for item, prompt in zip(encoded, prompts, strict=True):
        assert list(item.prompt) == by_transformers(model, prompt, None)
        for tokens, choice in zip(item.choices, prompt.choices, strict=True):
            assert list(tokens) == by_transformers(model, prompt, choice)
    return encoded


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("style", STYLES)
def test_tokens_are_those_of_transformers(
    network: object, tokenizer: PreTrainedTokenizerFast, template: str, style: str
) -> None:
    model = chatting(network, tokenizer, TEMPLATES[template], STYLES[style])
    for task, code in (("sentiment", "de"), ("entailment", "th"), ("reading", "en")):
        check(model, plain(asked(task, code)))


@pytest.mark.parametrize("style", STYLES)
def test_scores_and_answers_are_those_of_transformers(
    network: Any,  # noqa: ANN401
    tokenizer: PreTrainedTokenizerFast,
    style: str,
) -> None:
    network.generation_config = GenerationConfig(eos_token_id=None)
    model = chatting(network, tokenizer, CHATML, STYLES[style])
    reader, prompts = PrefixReader(model), plain(asked("sentiment", "de"))
    for values, prompt in zip(score(reader, prompts).choices, prompts, strict=True):
        start = len(by_transformers(model, prompt, None))
        for value, choice in zip(values, prompt.choices, strict=True):
            ids = torch.tensor([by_transformers(model, prompt, choice)])
            with torch.inference_mode():
                rows = torch.log_softmax(network(ids).logits[0].double(), dim=-1)
            steps = range(start, ids.shape[1])
            assert value == pytest.approx(sum(rows[at - 1, ids[0, at]].item() for at in steps), abs=1e-4)
    prompts = [replace(prompt, choices=()) for prompt in prompts]
    for answer, prompt in zip(generate(reader, prompts, LIMIT), prompts, strict=True):
        ids = torch.tensor([by_transformers(model, prompt, None)])
        written = network.generate(ids, max_new_tokens=LIMIT, do_sample=False, pad_token_id=1)[0, ids.shape[1] :]
        assert answer.tokens == LIMIT
        assert answer.text == tokenizer.decode(written, skip_special_tokens=True)


@pytest.mark.parametrize("style", ["one turn", "turns"])
def test_a_blank_before_answers_is_scored_by_none_and_written_by_the_model(
    network: object, tokenizer: PreTrainedTokenizerFast, style: str
) -> None:
    model = chatting(network, tokenizer, GAP, STYLES[style])
    assert model.chat_format.gap == " "
    for prompt in plain(asked("sentiment", "de")):
        (scored, written) = encode(model, [prompt, replace(prompt, choices=())], "error")
        assert list(written.prompt) == by_transformers(model, prompt, None)
        assert [list(tokens) for tokens in scored.choices] == [
            by_transformers(model, prompt, choice) for choice in prompt.choices
        ]


def unstripped(model: Model, prompt: Prompt, dropped: int = 0) -> str:
    shots = [(e.removesuffix(a), a) for e, a in zip(prompt.exemplars, prompt.answers, strict=True)]
    return model.chat_format.wrap(prompt.body, shots)


def in_one_turn(model: Model, prompt: Prompt, dropped: int = 0) -> str:
    return model.chat_format.wrap(prompt.header + prompt.body)


@pytest.mark.parametrize("twin", [unstripped, in_one_turn])
def test_fails_for_turns_written_otherwise(
    network: object, tokenizer: PreTrainedTokenizerFast, twin: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prompts = chatting(network, tokenizer, CHATML, STYLES["turns"]), plain(asked("sentiment", "de"))
    check(model, prompts)
    monkeypatch.setattr(Model, "render", twin)
    with pytest.raises(AssertionError):
        check(model, prompts)


def test_what_turns_spell_is_text(network: object, tokenizer: PreTrainedTokenizerFast) -> None:
    """Neither a system text, an exemplar nor an item can end a turn."""
    model = chatting(network, tokenizer, TRIMMED, ChatStyle(system="Say </s>.", turns=True))
    (prompt, _) = asked("sentiment", "de")
    spelled = replace(prompt, exemplars=("Is </s>?\nA: </s> no\n\n",), answers=(" </s> no\n\n",), body="And </s>:")
    (item,) = encode(model, [spelled], "error")
    assert item.prompt.count(tokenizer.eos_token_id) == 4, "one for each turn"
    assert tokenizer.decode(item.prompt).count("</s>") == 8


def test_exemplars_that_do_not_fit_are_dropped_by_turns(network: Any, tokenizer: PreTrainedTokenizerFast) -> None:  # noqa: ANN401
    model = chatting(network, tokenizer, CHATML, STYLES["system and turns"])
    (prompt, _) = plain(asked("sentiment", "de"))
    long = replace(prompt, exemplars=("x" * 3000 + ": y\n\n", *prompt.exemplars), answers=(" y\n\n", *prompt.answers))
    (item,) = encode(model, [long], "drop-exemplars")
    assert (item.dropped, list(item.prompt)) == (1, by_transformers(model, prompt, None))


def test_worked_answers_are_turns_too() -> None:
    """The answer of every exemplar is its end, in tasks with labels as in tasks answered in words."""
    for name in ("sentiment", "entailment", "paraphrase", "reading"):
        task = open_task(name)
        for code in task.rows:
            prompt = task.prompt(Item(name, "0", code, ("x",) * len(task.fields), 0))
            assert len(prompt.answers) == len(prompt.exemplars) > 0
            for exemplar, answer in zip(prompt.exemplars, prompt.answers, strict=True):
                assert exemplar.endswith(f"{task.row(code).answer}:{answer}")
            assert isinstance(task, GenerationTask) or set(prompt.answers) <= set(prompt.choices)


REFUSED: dict[str, tuple[str, ChatStyle, str]] = {
    "no system role": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML,
        ChatStyle(system=SYSTEM),
        "model.system: the chat template cannot render a chat of system and user: System role not supported; leave it",
    ),
    "drops the system text": (
        CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"),
        ChatStyle(system=SYSTEM),
        "model.system: the chat template writes the system text 0 times, expected once; leave it out",
    ),
    "cuts the system text": (
        CHATML.replace("m.content", "m.content | replace('höflich', '')"),
        ChatStyle(system=SYSTEM),
        "model.system: the chat template changes the system text",
    ),
    "one question a chat": (
        "{% if messages | length > 2 %}{{ raise_exception('One question only') }}{% endif %}" + CHATML,
        ChatStyle(turns=True),
        "model.shots_as: the chat template cannot render a chat of user and assistant and user: One question only; "
        "choose 'one turn'",
    ),
    "forgets earlier answers": (
        CHATML.replace("{{ m.content }}", "{{ m.content if m.role == 'user' or loop.last else '' }}"),
        ChatStyle(turns=True),
        "model.shots_as: the chat template writes an earlier answer 0 times, expected once; choose 'one turn'",
    ),
    "no answer at all": (
        "{% if messages[-1].role == 'assistant' or messages | length > 1 %}{{ raise_exception('No prefill') }}"
        "{% endif %}" + CHATML,
        ChatStyle(),
        "model.template: the chat template cannot render a chat of user and assistant: No prefill",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_template_that_lacks_a_turn_is_refused_in_a_sentence(tokenizer: PreTrainedTokenizerFast, case: str) -> None:
    template, style, said = REFUSED[case]
    own = deepcopy(tokenizer)
    own.chat_template = template
    with pytest.raises(SpilloverError) as error:
        open_chat(own, style)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_a_template_that_requires_a_system_turn_gets_one(tokenizer: PreTrainedTokenizerFast) -> None:
    own = deepcopy(tokenizer)
    own.chat_template = "{% if messages[0].role != 'system' %}{{ raise_exception('Who am I?') }}{% endif %}" + CHATML
    with pytest.raises(SpilloverError, match=r"Who am I\?"):
        open_chat(own, ChatStyle())
    assert SYSTEM in open_chat(own, ChatStyle(system=SYSTEM)).wrap("Good?")


def test_a_prompt_that_does_not_say_where_answers_begin_is_refused(
    network: object, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = chatting(network, tokenizer, CHATML, STYLES["turns"])
    with pytest.raises(SpilloverError, match=r"model.shots_as: found 'turns', .*expected `Prompt.answers`"):
        encode(model, [Prompt(("Q: a\nA: b\n\n",), "Q: c\nA:", (" b\n\n",))], "error")


@pytest.mark.parametrize(
    ("key", "value"),
    [("system", "Be kind."), ("shots_as", "turns"), ("template_arguments", {"enable_thinking": False})],
)
def test_keys_of_a_chat_need_a_chat(key: str, value: object) -> None:
    with pytest.raises(SpilloverError, match=rf"test: model.{key}: found {value!r} with template = 'none'"):
        parse_experiment({"model": {key: value}}, "test")
    chosen = parse_experiment({"model": {"template": "chat", key: value}}, "test").model
    assert chosen.identity() != parse_experiment({"model": {"template": "chat"}}, "test").model.identity()


def test_digests_of_experiments_without_these_keys_are_what_they_were() -> None:
    """The constants are from before the keys and the field were there."""
    prompt = Prompt(("Q: a\nA: b\n\n",), "Q: c\nA:", (" b\n\n", " d\n\n"))
    assert digest(prompt) == digest(replace(prompt, answers=(" b\n\n",))) == "b2f04b1d443c9570"
    assert digest(Experiment().model) == "08c21c2831c9d289"


def test_an_arm_without_a_chat_leaves_out_every_key_of_the_chat() -> None:
    chat = {"template": "chat", "system": "Be kind.", "shots_as": "turns", "template_arguments": {"a": 1}}
    arms = {"one": {}, "two": {"template": "none"}}
    plain = parse_experiment({"model": chat, "arms": arms}, "test").model_of("two")
    assert plain.chat_style == ChatStyle()
