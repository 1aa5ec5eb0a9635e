"""Who may see the page and speak to the robot."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from reflexarc.hosts import host_in, is_here

_COOKIE = "reflexarc"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every reply."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
        if self.token is not None and not self._has_token(request):
            given = request.query.get("token")
            if given is None or not hmac.compare_digest(given.encode(), self.token.encode()):
                return refusal(401, "this page needs its token; open the address that was printed")
            response = web.Response(status=303, headers={"Location": request.path, **HEADERS})
            response.set_cookie(
                _COOKIE, self.token, httponly=True, samesite="Strict", max_age=30 * 86400
            )
            return response
        return await handler(request)

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
        given = request.cookies.get(_COOKIE) or bearer
        assert self.token is not None
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


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
    return web.json_response({"error": sentence}, status=status, headers=HEADERS)
