"""Answers do not depend on the kind of database: these tests run on the embedded one alone."""

from __future__ import annotations

import pytest


@pytest.fixture
def backend() -> str:
    """Return the embedded kind."""
    return "sqlite"
