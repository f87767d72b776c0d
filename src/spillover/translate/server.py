"""Requests to an OpenAI-compatible server: OpenAI, vLLM, SGLang, llama.cpp, Ollama, `transformers serve`.

The key comes from `OPENAI_API_KEY` (your own server needs none) and is written nowhere. The client itself retries after
rate limits, server errors, timeouts and dropped connections, and waits longer each time.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import openai

from spillover.errors import SpilloverError
from spillover.translate.prompts import MAX_TOKENS, PromptForm

OPENAI = "https://api.openai.com/v1"
"""The server where none is named."""
NO_KEY = "no-key-given"
"""Sent in place of a key: the client needs one even where the server does not."""
RETRIES = 5
"""Retries by the client, after 0.5 s, 1 s, 2 s …, at most 8 s, or as long as the server says."""
TIMEOUT = 120.0
"""Seconds to wait for a reply."""

Reply = TypeVar("Reply")


class Server:
    """One model behind one endpoint."""

    def __init__(self, model: str, endpoint: str = OPENAI) -> None:
        """Open a client. Nothing is sent yet."""
        if not model:
            raise SpilloverError("translate.model: found '', expected the name of the chat model behind the endpoint")
        self.model, self.endpoint, self._key = model, endpoint, os.environ.get("OPENAI_API_KEY") or NO_KEY
        self._client = openai.OpenAI(base_url=endpoint, api_key=self._key, max_retries=RETRIES, timeout=TIMEOUT)

    def request(self, send: Callable[[openai.OpenAI], Reply]) -> Reply:
        """Return the reply to one request.

        Raises:
            SpilloverError: the client gave up. The sentence does not hold the key.
        """
        try:
            return send(self._client)
        except openai.OpenAIError as error:
            reason = (str(error) or type(error).__name__).replace(self._key, "***")
            raise SpilloverError(
                f"translate.endpoint: {self.endpoint} gave up on {self.model!r} after at most {RETRIES + 1} "
                f"attempts: {reason}; what was translated is kept, so run again to go on"
            ) from error


class ServerWriter:
    """Lets a server write the answers to plain prompts, one prompt per request. It decodes greedily."""

    batch, jobs = 1, 8
    """Texts per request, and requests under way at once."""

    def __init__(self, model: str, endpoint: str) -> None:
        """Open a client. Nothing is sent yet."""
        self._server = Server(model, endpoint)
        self.version = f"{endpoint} {model}"

    def write(self, texts: Sequence[str], form: PromptForm) -> list[str]:
        """Return what the model writes for each text."""
        return [self._completed(form, text) if form.completion else self._chatted(form, text) for text in texts]

    def _completed(self, form: PromptForm, text: str) -> str:
        reply = self._server.request(
            lambda client: client.completions.create(
                model=self._server.model,
                prompt=form.fill(text),
                temperature=0,
                max_tokens=MAX_TOKENS,
                stop=list(form.stop),
            )
        )
        return reply.choices[0].text if reply.choices else ""

    def _chatted(self, form: PromptForm, text: str) -> str:
        content: Any = form.fill(text)
        if form.part:
            content = [{"type": "text", **form.part, "text": content}]
        reply = self._server.request(
            lambda client: client.chat.completions.create(
                model=self._server.model,
                messages=[{"role": "user", "content": content}],
                temperature=0,
                max_tokens=MAX_TOKENS,
            )
        )
        return (reply.choices[0].message.content or "") if reply.choices else ""
