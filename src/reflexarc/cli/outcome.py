"""How a command ends: what it tells, and its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any

import typer

from reflexarc.cli.report import Report
from reflexarc.errors import ConfigError, ReflexarcError

WORLD_FAILED = 1
CALLER_MISTAKEN = 2


@contextmanager
def failures(report: Report) -> Generator[None]:
    """Turn errors into a sentence and an exit code.

    Parameters
    ----------
    report : Report
        Where the sentence goes.

    Yields
    ------
    None
    """
    try:
        yield
    except ReflexarcError as error:
        report.error(error)
        code = CALLER_MISTAKEN if isinstance(error, ConfigError) else WORLD_FAILED
        raise typer.Exit(code) from None
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        raise typer.Exit(128 + signal.SIGINT) from None
    except (BrokenPipeError, ExceptionGroup) as error:
        if isinstance(error, ExceptionGroup) and error.split(BrokenPipeError)[1] is not None:
            raise
        # Nobody reads any more, as after `| head -1`; at exit Python would try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(WORLD_FAILED) from None


def finish(main: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end; SIGTERM ends it as cleanly as Ctrl-C does.

    Parameters
    ----------
    main : coroutine
        What to run.

    Returns
    -------
    object
        What it returns.
    """

    async def guarded() -> Any:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await main

    return asyncio.run(guarded())
