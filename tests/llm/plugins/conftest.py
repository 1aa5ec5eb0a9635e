"""The tests beside this file are those that an OM1 checkout gets."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Know OM1's mark of async tests, which anyio runs here."""
    config.addinivalue_line(
        "markers", "asyncio: an async test, to OM1's pytest-asyncio"
    )
