"""Google Cloud Translation against a local server that speaks its v2."""

import json
from http.server import BaseHTTPRequestHandler

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials

from quiz import quiz, texts_of
from serving import Server, reply
from spillover.errors import SpilloverError
from spillover.translate import google as engine
from spillover.translate import open_translator


@pytest.fixture(autouse=True)
def anonymous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google.auth, "default", lambda **options: (AnonymousCredentials(), "project"))


def right(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    texts = json.loads(body)["q"]
    reply(handler, 200, {"data": {"translations": [{"translatedText": text.upper()} for text in texts]}})


def refuse(status: int):
    return lambda handler, body: reply(handler, status, {"error": {"message": "no", "code": status}})


def test_a_batch_is_sent_as_plain_text_in_the_services_codes(server: Server) -> None:
    server.answers = [right]
    opened = open_translator(lambda code: [], "google", endpoint=server.address)
    assert texts_of(opened.translate(quiz("a & b", "c"), "zh")) == ["A & B", "C"]
    (request,) = map(json.loads, server.requests)
    assert (request["q"], request["format"]) == (["a & b", "c"], "text")
    assert (request["source"], request["target"]) == ("en", "zh-CN")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_fault_is_overcome(server: Server, status: int) -> None:
    server.answers = [refuse(status), right]
    opened = open_translator(lambda code: [], "google", endpoint=server.address)
    assert texts_of(opened.translate(quiz("a"), "es")) == ["A"]
    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "patience"), [(403, 120.0), (503, 0.1)])
def test_a_lasting_fault_ends_in_one_sentence(
    server: Server, status: int, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RETRY_TIMEOUT", patience)
    server.answers = [refuse(status)]
    opened = open_translator(lambda code: [], "google", endpoint=server.address)
    with pytest.raises(SpilloverError, match=r"'google' gave up on en→es: .*; what was translated is kept") as caught:
        opened.translate(quiz("a"), "es")
    assert "\n" not in str(caught.value)


def test_missing_credentials_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**options: object) -> None:
        raise google.auth.exceptions.DefaultCredentialsError("none")

    monkeypatch.setattr(google.auth, "default", none)
    with pytest.raises(SpilloverError, match="'google' finds no credentials; expected GOOGLE_APPLICATION_CREDENTIALS"):
        open_translator(lambda code: [], "google")
