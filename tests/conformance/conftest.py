"""Assertions of the promises show their values, as those of tests do."""

import pytest

pytest.register_assert_rewrite("reflexarc.testing.conformance")
