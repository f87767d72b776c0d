"""A server that misbehaves on demand, and small questions."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from spillover.records import Question

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


@dataclass
class Server:
    """A local HTTP server that gives its prepared answers in turn, and the last of them from then on."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    address: str = ""


def reply(handler: BaseHTTPRequestHandler, status: int, content: object, cut: int = 0, **headers: str) -> None:
    """Answer with JSON; `cut` bytes are promised and never sent."""
    body = json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("retry-after-ms", "1")  # what OpenAI's client waits; so that no test waits for long
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body[: len(body) - cut])
    if cut:
        handler.close_connection = True


def asked(*texts: str) -> list[Question]:
    return [Question("quiz", str(number), "en", (text,)) for number, text in enumerate(texts)]


def texts_of(questions: Sequence[Question]) -> list[str]:
    return [text for question in questions for text in question.fields]
