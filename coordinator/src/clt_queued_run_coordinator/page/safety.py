"""What keeps other sites away: headers that forbid framing and foreign content, and checks of what is posted."""

import hmac
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from clt_queued_run_coordinator.text.refusal import RefusalError

COOKIE = "dagster_clt_page"

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Not no-referrer, with which browsers would post from `null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class SafeHeaders:
    """Adds the headers to every answer of an application."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [header for header in message["headers"] if header[0].lower().decode() not in HEADERS]
                message = {**message, "headers": [*own, *self._headers]}
            await send(message)

        await self._app(scope, receive, answer)


class ForeignPostError(RefusalError):
    """What was posted doesn't come from one of these pages."""


class Tokens:
    """Makes a token for each browser and user, which no other site can read or guess.

    They hold until this process ends.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def make(self, cookie: str, user: str) -> str:
        """The token for a cookie's value and a user."""
        return hmac.new(self._secret, f"{cookie}\n{user}".encode(), "sha256").hexdigest()

    def check(self, token: str, cookie: str, user: str) -> None:
        """Refuse a token that isn't theirs by a ForeignPostError."""
        if not (cookie and hmac.compare_digest(token.encode(), self.make(cookie, user).encode())):
            raise ForeignPostError("This form is of another time or place; go back, reload the page, try again.")


def refuse_other_sites(headers: Mapping[str, str], hosts: set[str]) -> None:
    """Refuse what a browser says comes from another site, or what doesn't say where it comes from.

    `hosts` are the names that this page is called by.

    Raises:
        ForeignPostError: It is refused.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    is_own = origin is None or urlsplit(origin).netloc.lower() in hosts
    if site not in {None, "same-origin"} or not is_own or (site is None and origin is None):
        raise ForeignPostError("This was posted from another site, and is refused.")
