"""A chat model behind an endpoint: what the faults of servers and models do, and a real server on loopback."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest

from quiz import quiz, texts_of
from serving import Answer, Server, reply
from spillover.errors import SpilloverError
from spillover.translate import chat, open_translator
from spillover.translate import server as server_module
from spillover.translate.engine import EngineTranslator

KEY = "sk-never-to-be-seen"
TEXTS = ["one house", 'two "houses"\nand 3', "ein Haus: ¿qué?"]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(server_module, "RETRIES", 2)


def said(handler: BaseHTTPRequestHandler, text: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    reply(handler, 200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})


def right(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """Translate as asked: into capitals."""
    texts = json.loads(json.loads(body)["messages"][-1]["content"])
    said(handler, json.dumps({"translations": [text.upper() for text in texts]}))


def words(text: str) -> Answer:
    return lambda handler, body: said(handler, text)


def status(code: int) -> Answer:
    return lambda handler, body: reply(handler, code, {"error": {"message": f"no, {KEY}"}})


def dropped(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    reply(handler, 200, {"choices": []}, cut=5)


def opened(server: Server) -> EngineTranslator:
    found = open_translator(lambda code: [], "chat", "m", f"{server.address}/v1")
    assert isinstance(found, EngineTranslator)
    return found


def test_a_batch_is_one_structured_request(server: Server) -> None:
    server.answers = [right]
    assert texts_of(opened(server).translate(quiz(*TEXTS), "es")) == [text.upper() for text in TEXTS]
    (request,) = map(json.loads, server.requests)
    assert request["model"] == "m"
    assert request["temperature"] == 0
    assert request["response_format"]["type"] == "json_schema"
    assert "from English into Spanish" in request["messages"][0]["content"]
    assert json.loads(request["messages"][1]["content"]) == TEXTS
    again = texts_of(opened(server).translate(quiz(*TEXTS), "es"))
    assert again == [text.upper() for text in TEXTS]
    assert len(server.requests) == 1, "what was paid for is kept"


FAULTS: dict[str, Answer] = {
    "429": status(429),
    "500": status(500),
    "503": status(503),
    "dropped connection": dropped,
    "half a reply": half,
    "no JSON": words("I would rather not."),
    "half of the JSON": words('{"translations": ["a", "b'),
    "another key": words('{"results": ["a", "b", "c"]}'),
    "too few": words('{"translations": ["a", "b"]}'),
    "too many": words('{"translations": ["a", "b", "c", "d"]}'),
    "no texts": words('{"translations": ["a", "b", 3]}'),
    "an empty text": words('{"translations": ["a", "b", ""]}'),
    "nothing": words(""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_overcome(server: Server, fault: str) -> None:
    server.answers = [FAULTS[fault], right]
    assert texts_of(opened(server).translate(quiz(*TEXTS), "es")) == [text.upper() for text in TEXTS]
    assert len(server.requests) == 2


def test_a_hung_request_is_given_up_and_sent_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "TIMEOUT", 0.5)
    over = Event()

    def hung(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        over.wait(30)

    server.answers = [hung, right]
    assert texts_of(opened(server).translate(quiz("a"), "es")) == ["A"]
    over.set()


@pytest.mark.parametrize("fault", ["429", "500", "dropped connection"])
def test_a_lasting_fault_ends_in_one_sentence_without_the_key(server: Server, fault: str, own_folders: Path) -> None:
    server.answers = [FAULTS[fault]]
    with pytest.raises(
        SpilloverError, match=r"translate.endpoint: http://127.* gave up on 'm' .* run again to go on"
    ) as e:
        opened(server).translate(quiz(*TEXTS), "es")
    assert len(server.requests) == 3
    assert KEY not in str(e.value)
    assert "\n" not in str(e.value)
    assert KEY.encode() not in own_folders.read_bytes()


def test_a_refusal_is_not_repeated(server: Server) -> None:
    server.answers = [status(401)]
    with pytest.raises(SpilloverError, match=r"\*\*\*"):
        opened(server).translate(quiz("a"), "es")
    assert len(server.requests) == 1


def test_a_batch_that_a_model_miscounts_is_halved(server: Server) -> None:
    def only_single(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        texts = json.loads(json.loads(body)["messages"][-1]["content"])
        right(handler, body) if len(texts) == 1 else said(handler, '{"translations": ["all of them"]}')

    server.answers = [only_single]
    assert texts_of(opened(server).translate(quiz("a", "b", "c"), "es")) == ["A", "B", "C"]


def test_a_model_that_never_answers_in_form_ends_in_one_sentence(server: Server) -> None:
    server.answers = [words("Hello!")]
    with pytest.raises(SpilloverError, match=r"translate.model: 'm' at http.* gave no JSON with translations 3 times"):
        opened(server).translate(quiz("a"), "es")


def test_a_fault_half_way_keeps_what_was_translated(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat.Chat, "batch", 1)
    monkeypatch.setattr(chat.Chat, "jobs", 1)
    server.answers = [right, right, status(401)]
    with pytest.raises(SpilloverError):
        opened(server).translate(quiz("a", "b", "c", "d"), "es")
    server.answers, before = [right], len(server.requests)
    assert texts_of(opened(server).translate(quiz("a", "b", "c", "d"), "es")) == ["A", "B", "C", "D"]
    assert len(server.requests) == before + 2


def test_a_model_must_be_named() -> None:
    with pytest.raises(SpilloverError, match=r"translate.model: found ''"):
        open_translator(lambda code: [], "chat")


PIECES = ["<s>", "</s>", "<unk>", "<go>", '{"translations": ["', "una casa", '"]}']
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}<go>"


@pytest.fixture
def parrot(tmp_path: Path) -> Path:
    """A model that says one thing, whatever it is asked: after each piece comes the next, by its weights alone."""
    import torch
    from tokenizers import Tokenizer, decoders, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({piece: number for number, piece in enumerate(PIECES)}, unk_token="<unk>"))
    core.decoder = decoders.Fuse()
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, extra_special_tokens=["<go>"], **names)
    tokenizer.chat_template = TEMPLATE
    size = len(tokenizer)
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=size, tie_word_embeddings=False, **shape, **ids))
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size, 8))
        model.lm_head.weight.zero_()
        for place in (3, 4, 5, 6):
            model.lm_head.weight[place + 1 if place < 6 else 1, place] = 10
    model.save_pretrained(tmp_path / "parrot")
    tokenizer.save_pretrained(tmp_path / "parrot")
    return tmp_path / "parrot"


@pytest.fixture
def served(parrot: Path) -> Iterator[str]:
    """The parrot behind `transformers serve`."""
    command = shutil.which("transformers", path=str(Path(sys.executable).parent))
    if not command:
        pytest.skip("the command transformers is not installed")
    pytest.importorskip("fastapi", reason="transformers serve needs fastapi")
    pytest.importorskip("uvicorn", reason="transformers serve needs uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [command, "serve", str(parrot), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (parrot / "log").open("w") as log, subprocess.Popen(arguments, stdout=log, stderr=log) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/health", process, parrot / "log")
            yield f"{address}/v1"
        finally:
            process.kill()


def wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"no server came up: {log.read_text()[-2000:]}")


def test_a_real_server_on_loopback(served: str, parrot: Path) -> None:
    found = open_translator(lambda code: [], "chat", str(parrot), served)
    assert texts_of(found.translate(quiz("a house"), "es")) == ["una casa"]
