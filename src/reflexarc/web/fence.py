"""Who may see the page and speak to the robot."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from reflexarc.hosts import host_in, is_here

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_COOKIE_S = 30 * 86400

HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every reply."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""Answers a request."""


class Fence:
    """Keeps out other sites' pages, and, where others can reach the robot, who has no token.

    Parameters
    ----------
    host : str
        The address that the page is served on.
    token : str or None, default None
        What one needs; None makes one where the address is not this machine's alone.
    """

    def __init__(self, host: str, token: str | None = None) -> None:
        self._is_local = is_here(host)
        self.token = token or (None if self._is_local else secrets.token_urlsafe(16))

    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, or refuse it with a sentence; a middleware.

        Parameters
        ----------
        request : aiohttp.web.Request
            From anybody.
        handler : callable
            Answers it.

        Returns
        -------
        aiohttp.web.StreamResponse
        """
        if objection := self._objection(request):
            return refusal(403, objection)
        if self.token is None or self._has_token(request):
            return await handler(request)
        if not self._is_token(request.query.get("token", "")):
            return refusal(401, "this page needs its token; open the address that was printed")
        location = "/" + request.path.lstrip("/")  # two of them would be another machine
        response = web.Response(status=303, headers={"Location": location})
        response.set_cookie(
            _cookie(request), self.token, httponly=True, samesite="Strict", max_age=_COOKIE_S
        )
        return response

    def _objection(self, request: web.Request) -> str | None:
        """Why a request is another site's doing."""
        host = request.headers.get("Host", "")
        # A name that somebody has pointed to this machine would make their page one of ours.
        if self._is_local and not is_here(host_in(host)):
            return f"this page is not at {host[:100]!r}; open http://127.0.0.1"
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            if request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate":
                return None  # a link to the page, which does nothing by itself
            return "other sites' pages may not speak to the robot"
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != host:
            return "other sites' pages may not speak to the robot"
        return None

    def _has_token(self, request: web.Request) -> bool:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return any(map(self._is_token, (bearer, request.cookies.get(_cookie(request), ""))))

    def _is_token(self, text: str) -> bool:
        assert self.token is not None
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())


def _cookie(request: web.Request) -> str:
    """The name of the cookie: browsers keep one of a name for all ports of a machine."""
    transport = request.transport
    port = transport.get_extra_info("sockname")[1] if transport else 0
    return f"reflexarc-{port}"


def refusal(status: int, sentence: str) -> web.Response:
    """A refusal in words.

    Parameters
    ----------
    status : int
        400 to 599.
    sentence : str
        Why, and what to do.

    Returns
    -------
    aiohttp.web.Response
        JSON: ``{"error": sentence}``.
    """
    return web.json_response({"error": sentence}, status=status)
