"""What is open inside ``async with``."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Opened:
    """Opens on entering and closes on leaving; what that takes, a subclass says."""

    async def open(self) -> None:
        """Make ready; optional."""
        return

    async def aclose(self) -> None:
        """Close what was opened; may be called twice, and without `open`."""
        return

    async def __aenter__(self) -> Self:
        """Open; where that fails or is cancelled, nothing is left behind."""
        try:
            await self.open()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.aclose()
