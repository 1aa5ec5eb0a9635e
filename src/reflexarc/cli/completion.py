"""What a shell offers for an argument: the values there are, and the robots' files there are.

Where it is nothing that begins as what has been typed, shells fall back to the names of files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from reflexarc.onboard.models import MODELS
from reflexarc.registry import PROVIDERS


def robot(incomplete: str) -> list[str]:
    """Files of robots: in the folder that has been typed, and one below it.

    Parameters
    ----------
    incomplete : str
        What has been typed.

    Returns
    -------
    list of str
        What begins so.
    """
    folder = incomplete[: incomplete.rfind("/") + 1]
    try:
        place = Path(folder or ".").expanduser()
    except RuntimeError:  # there is nobody of that name
        return []
    found = (path for pattern in ("*.json5", "*/*.json5") for path in place.glob(pattern))
    return _beginning(incomplete, sorted(f"{folder}{path.relative_to(place)}" for path in found))


def brain(incomplete: str) -> list[str]:
    """The types of brains as JSON, quoted for the shell.

    Parameters
    ----------
    incomplete : str
        What has been typed.

    Returns
    -------
    list of str
        What begins so.
    """
    return _beginning(incomplete, (f"'{json.dumps({'type': name})}'" for name in PROVIDERS))


def model(incomplete: str) -> list[str]:
    """The models that can be fetched.

    Parameters
    ----------
    incomplete : str
        What has been typed.

    Returns
    -------
    list of str
        What begins so.
    """
    return _beginning(incomplete, MODELS)


def figure(incomplete: str) -> list[str]:
    """What can be measured.

    Parameters
    ----------
    incomplete : str
        What has been typed.

    Returns
    -------
    list of str
        What begins so.
    """
    from reflexarc.bench import NAMES  # it loads the page's server, which most commands do without

    return _beginning(incomplete, NAMES)


def half(incomplete: str) -> list[str]:
    """The halves of the situations.

    Parameters
    ----------
    incomplete : str
        What has been typed.

    Returns
    -------
    list of str
        What begins so.
    """
    return _beginning(incomplete, ("tune", "held"))


def _beginning(incomplete: str, offered: Iterable[str]) -> list[str]:
    return [value for value in offered if value.startswith(incomplete)]
