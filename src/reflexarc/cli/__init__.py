"""The ``reflexarc`` command."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command; say what is missing where the extra ``cli`` is not installed."""
    try:
        from reflexarc.cli.app import app
    except KeyboardInterrupt:
        sys.exit(130)  # as later; loading takes a fifth of a second
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"typer", "rich"}:
            raise
        sys.exit("The reflexarc command needs two packages; run: pip install 'reflexarc[cli]'")
    if os.environ.get("NO_COLOR"):  # rich alone drops the colours, and keeps bold and dim
        from typer import rich_utils

        rich_utils.COLOR_SYSTEM = None
    try:
        app()
    except TypeError:
        if mismatch := _mismatch():
            sys.exit(mismatch)
        raise


def _mismatch() -> str | None:
    """Why help and mistakes cannot be shown, where typer is as old as OM1's and click is new.

    typer before 0.15.4 calls what click 8.2 has changed, and its metadata allows it (read
    2026-11-28 in both).
    """
    from reflexarc.packages import at_least, installed_version

    typer, click = installed_version("typer"), installed_version("click")
    if not typer or not click or at_least(typer, (0, 15, 4)) or not at_least(click, (8, 2)):
        return None
    return f"typer {typer} does not go with click {click}; run: pip install 'click<8.2'"
