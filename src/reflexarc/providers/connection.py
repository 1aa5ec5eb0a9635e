"""Where a server is, and why it cannot be reached: the same words for every HTTP client."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass

from reflexarc.errors import ConnectError

IDLE_S = 4.0
"""Seconds a kept connection may idle: below the 5 s after which llama.cpp closes it (measured)."""

FRESH_S = 3.0
"""Seconds after its last use for which a connection is left alone; from then to `IDLE_S` it is
used once more, so that there is always one: opened anew after `IDLE_S`, it would be missing until
somebody notices, and cost another handshake."""

# OpenSSL's verify codes for certificates outside their time, as a robot's clock may be.
_CLOCK_CODES = {9, 10}

_LOST = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to send a request, and the key to send with it.

    Parameters
    ----------
    base_url : str
        Up to and with ``/v1``.
    api_key : str or None
        Sent as a bearer token.
    """

    base_url: str
    api_key: str | None

    def __repr__(self) -> str:
        return f"Address({self.base_url})"

    def authorization(self) -> dict[str, str]:
        """The header that shows the key; none where there is no key."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}


def greeting_url(address: Address) -> str:
    """What is asked for to have a connection: the list of models, which every server has.

    llama.cpp answers a path that it does not know by closing the connection (measured, 2026-11).

    Parameters
    ----------
    address : Address
        The server.

    Returns
    -------
    str
    """
    return f"{address.base_url}/models"


def connect_error(address: Address, error: BaseException) -> ConnectError:
    """Say why there is no connection, by the system's own error among the causes.

    Parameters
    ----------
    address : Address
        The server.
    error : BaseException
        What an HTTP client raised.

    Returns
    -------
    ConnectError
        To be raised; not `retryable` where trying again cannot help.
    """
    host = address.base_url
    for cause in reversed(_chain(error)):  # certificates are OSErrors too; the root is plainest
        if isinstance(cause, ssl.SSLCertVerificationError):
            advice = (
                "check this machine's clock"
                if cause.verify_code in _CLOCK_CODES
                else "check base_url, or install the certificate authority that signed it, or name "
                "a file that has it by the variable SSL_CERT_FILE"
            )
            return ConnectError(
                f"{host} shows a certificate that is not valid ({cause}); {advice}", retryable=False
            )
        if isinstance(cause, ssl.SSLError):
            return ConnectError(
                f"{host} does not speak TLS ({cause}); try http:// instead of https://",
                retryable=False,
            )
        if isinstance(cause, socket.gaierror):
            return ConnectError(
                f"the name in {host} cannot be found; check base_url and the network"
            )
        if isinstance(cause, OSError) and cause.errno is not None and cause.errno not in _LOST:
            return ConnectError(
                f"{host} cannot be reached ({cause.strerror}); "
                "check base_url, and that the server runs"
            )
    return ConnectError(
        f"{host} closed the connection without an answer ({type(error).__name__}); try again"
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
