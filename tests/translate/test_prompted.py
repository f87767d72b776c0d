"""Translation models with plain prompts: a server that accepts exactly the bytes of each model card."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from quiz import quiz, texts_of
from serving import Answer, Server, reply
from spillover.errors import SpilloverError
from spillover.plugins import TRANSLATION_ENGINES
from spillover.translate import open_translator
from spillover.translate.prompted import Prompted
from spillover.translate.prompts import PROMPTED_MODELS

TEXT = "It is {cold}.\nIs it?"
LINES = TEXT.split("\n")


def chat(content: object) -> dict[str, Any]:
    return {"path": "/v1/chat/completions", "messages": [{"role": "user", "content": content}]}


def completion(prompt: str) -> dict[str, Any]:
    return {"path": "/v1/completions", "prompt": prompt, "stop": ["\n"]}


CARDS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "hy-mt2": (
        "en",
        "zh",
        [
            chat(
                "Translate the following text into Chinese. Note that you should only output the translated result "
                "without any additional explanation:\n\nIt is {cold}.\nIs it?"
            )
        ],
    ),
    "translategemma": (
        "en",
        "sw",
        [chat([{"type": "text", "source_lang_code": "en", "target_lang_code": "sw", "text": TEXT}])],
    ),
    "seed-x": (
        "en",
        "zh",
        [
            completion(f"Translate the following English sentence into Chinese:\n{line} <zh>")
            for line in ("It is {cold}.", "Is it?")
        ],
    ),
    "tower+": (
        "en",
        "zh",
        [
            chat(
                "Translate the following English source text to Chinese (Simplified):\n"
                "English: It is {cold}.\nIs it?\nChinese (Simplified): "
            )
        ],
    ),
    "gemmax2": (
        "zh",
        "en",
        [
            completion(f"Translate this from Chinese to English:\nChinese: {line}\nEnglish:")
            for line in ("It is {cold}.", "Is it?")
        ],
    ),
}
"""Engine → a direction, and the requests that its model card asks for, in any order."""


class Card:
    """Answers what a model card asks for, in capitals, and refuses every other request."""

    def __init__(self, expected: list[dict[str, Any]]) -> None:
        self.expected, self.settings = expected, list[Mapping[str, object]]()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        request = json.loads(body)
        asked = {"path": handler.path} | {
            key: value for key, value in request.items() if key in ("messages", "prompt", "stop")
        }
        if asked not in self.expected:
            reply(handler, 400, {"error": {"message": f"not on the card: {asked}"}})
            return
        self.settings.append({key: value for key, value in request.items() if key not in asked})
        content = asked["prompt"].split(":")[-1] if "prompt" in asked else "IT IS {COLD}.\nIS IT?"
        words = content.upper().replace("<ZH>", "").replace("ENGLISH", "").strip()
        if "prompt" in asked and not words:  # GemmaX2's prompt ends with the name of the language
            words = asked["prompt"].split("\n")[1].partition(": ")[2].upper()
        choice = {"index": 0, "finish_reason": "stop", "text": f" {words}", "message": {"role": "a", "content": words}}
        reply(handler, 200, {"id": "x", "object": "c", "created": 0, "model": "m", "choices": [choice]})


@pytest.mark.parametrize("name", CARDS)
def test_each_engine_sends_what_its_model_card_asks_for(server: Server, name: str) -> None:
    source, target, expected = CARDS[name]
    card = Card(expected)
    server.answers = [card.answer]
    questions = [replace(question, language=source) for question in quiz(TEXT)]
    engine = open_translator(lambda code: [], name, "m", f"{server.address}/v1")
    assert texts_of(engine.translate(questions, target)) == [TEXT.upper()]
    assert card.settings == [{"model": "m", "temperature": 0, "max_tokens": 1024}] * len(expected)


@pytest.mark.parametrize("name", CARDS)
def test_a_prompt_that_differs_from_the_card_is_refused(server: Server, name: str) -> None:
    source, target, expected = CARDS[name]
    server.answers = [Card(expected).answer]
    row = PROMPTED_MODELS[name]
    engine = Prompted(replace(row, prompt=f"{row.prompt} "), "m", f"{server.address}/v1")
    with pytest.raises(SpilloverError, match="not on the card"):
        engine.translate([TEXT], source, target)


@pytest.mark.parametrize(
    ("name", "language", "spelled"),
    [
        ("hy-mt2", "tl", "Translate the following text into Filipino."),
        ("hy-mt2", "yue", "Translate the following text into Cantonese."),
        ("tower+", "zh-Hant", "source text to Chinese (Traditional):"),
        ("tower+", "nn", "source text to Norwegian (Nynorsk):"),
        ("gemmax2", "my", "Translate this from English to Burmese:"),
    ],
)
def test_languages_are_called_as_the_card_calls_them(name: str, language: str, spelled: str) -> None:
    assert spelled in PROMPTED_MODELS[name].form("en", language).fill("x")


@pytest.mark.parametrize(("language", "code"), [("tl", "fil-PH"), ("zh-Hant", "zh-TW")])
def test_translategemma_gets_the_codes_of_its_chat_template(language: str, code: str) -> None:
    assert PROMPTED_MODELS["translategemma"].form("en", language).part["target_lang_code"] == code


def test_every_row_is_an_engine_of_its_own_row() -> None:
    engines = {name for name, place in TRANSLATION_ENGINES.items() if "prompted:" in place}
    assert engines == set(PROMPTED_MODELS) == set(CARDS)
    for name in engines:
        module, _, attribute = TRANSLATION_ENGINES[name].partition(":")
        made: partial[Prompted] = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert made.args == (PROMPTED_MODELS[name],)


def words(text: str) -> Answer:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return lambda handler, body: reply(handler, 200, {"choices": [choice]})


def test_empty_texts_are_not_sent_and_answers_lose_the_blanks_around_them(server: Server) -> None:
    server.answers = [words(" \n una casa\n")]
    engine = Prompted(PROMPTED_MODELS["hy-mt2"], "m", f"{server.address}/v1")
    assert engine.translate(["", "a house", " "], "en", "es") == ["", "una casa", " "]
    assert len(server.requests) == 1


def test_another_model_server_or_prompt_has_another_version(server: Server) -> None:
    row = PROMPTED_MODELS["tower+"]
    made = [
        Prompted(row, "m", server.address),
        Prompted(row, "n", server.address),
        Prompted(row, "m", f"{server.address}/v1"),
        Prompted(replace(row, prompt="{text}"), "m", server.address),
        Prompted(replace(row, names={}), "m", server.address),
    ]
    assert len({engine.version for engine in made}) == len(made)
    assert made[0].version == Prompted(row, "m", server.address).version


def test_a_language_that_the_card_does_not_name_is_refused(server: Server) -> None:
    engine = Prompted(PROMPTED_MODELS["seed-x"], "m", server.address)
    with pytest.raises(SpilloverError, match=r"lacks language 'sw'; choose from en, zh, de"):
        engine.translate(["a"], "en", "sw")
    assert not server.requests


def test_the_cards_spell_norwegian_each_in_its_way() -> None:
    forms = {name: PROMPTED_MODELS[name].form("en", "no") for name in ("seed-x", "tower+", "translategemma")}
    assert forms["seed-x"].fill("a").endswith("into Norwegian Bokmal:\na <nb>")
    assert "to Norwegian (Bokmål):" in forms["tower+"].fill("a")
    assert forms["translategemma"].part["target_lang_code"] == "no"
