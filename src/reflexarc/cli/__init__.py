"""The ``reflexarc`` command."""

from __future__ import annotations

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
    app()
