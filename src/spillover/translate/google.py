"""Google Cloud Translation (v2), which arXiv 2405.13816 used. It is paid per character.

Credentials come from the environment, as every Google client finds them (`GOOGLE_APPLICATION_CREDENTIALS`), and are
written nowhere. Google's own `Retry` retries after rate limits and server errors.
"""

from collections.abc import Sequence

import google.auth.exceptions
from google.api_core import client_options, exceptions, retry
from google.cloud import translate_v2

from spillover.errors import SpilloverError, first_line
from spillover.languages import get_language

RETRY_TIMEOUT = 120.0
"""Seconds for which a batch is retried."""
TRANSIENT_ERRORS = (exceptions.TooManyRequests, exceptions.ServerError, ConnectionError)
"""Errors after which a batch is retried."""


class Google:
    """The service, by default at its own address."""

    batch = 32
    """Texts per request; the service takes at most 128 texts and 30,000 characters."""
    jobs = 4
    """Requests under way at once."""
    version = "v2 nmt"

    def __init__(self, endpoint: str = "") -> None:
        """Open a client with the credentials of the environment. Nothing is sent yet."""
        options = client_options.ClientOptions(api_endpoint=endpoint or None)
        try:
            self._client = translate_v2.Client(client_options=options)
        except google.auth.exceptions.GoogleAuthError as error:
            raise SpilloverError(
                "translate.with: 'google' finds no credentials; expected GOOGLE_APPLICATION_CREDENTIALS to name a file "
                "with a service account's key"
            ) from error

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate a batch as plain text: nothing is escaped."""
        retrying = retry.Retry(predicate=retry.if_exception_type(*TRANSIENT_ERRORS), initial=0.5, timeout=RETRY_TIMEOUT)
        codes = {"source_language": get_language(source).google, "target_language": get_language(target).google}
        try:
            rows = retrying(self._client.translate)(list(texts), format_="text", **codes)
        except (exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError, OSError, ValueError) as error:
            raise SpilloverError(
                f"translate.with: 'google' gave up on {source}→{target}: {first_line(error)}; "
                "what was translated is kept, so run again to go on"
            ) from error
        return [row["translatedText"] for row in rows]
