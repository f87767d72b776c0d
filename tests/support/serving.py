"""A server on this machine that stands in for one of the network, and misbehaves on demand."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]
"""Answers a request, given its handler and its body."""


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Serve on loopback for the block, and give the address; a GET or a HEAD has an empty body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

        do_PUT = do_GET = do_HEAD = do_POST  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def reply(
    handler: BaseHTTPRequestHandler,
    status: int,
    content: object,
    cut: int = 0,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer with JSON; `cut` bytes are promised and never sent."""
    body = json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("retry-after-ms", "1")  # what OpenAI's client waits; so that no test waits for long
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body[: len(body) - cut])
    if cut:
        handler.close_connection = True


@dataclass
class Server:
    """Gives its prepared answers in turn, and the last of them from then on."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    address: str = ""

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Note the body and give the next answer."""
        self.requests.append(body)
        (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(handler, body)
