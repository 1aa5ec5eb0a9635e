"""Tests of the on-board model; a package, so that they share `conftest` by its name."""
