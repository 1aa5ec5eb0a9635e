"""Names and addresses of machines."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def host_in(address: str) -> str:
    """The host of ``host:port``, as a Host header has it.

    Parameters
    ----------
    address : str
        Of anybody's making.

    Returns
    -------
    str
        In small letters, an IPv6 address without brackets; empty if there is none.
    """
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""


def is_here(host: str) -> bool:
    """Whether a host is this machine and no other can be meant, whatever its names are elsewhere.

    Parameters
    ----------
    host : str
        A name or an address.

    Returns
    -------
    bool
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_open(url: str) -> bool:
    """Whether others can read what is sent: unencrypted, and not to this machine.

    Parameters
    ----------
    url : str
        Of http or a WebSocket.

    Returns
    -------
    bool
    """
    parts = urlsplit(url)
    return parts.scheme in {"http", "ws"} and not is_here(parts.hostname or "")
