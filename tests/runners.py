"""A runner for commands that belong to no app."""

from __future__ import annotations

import inspect
import typing as t

from click.testing import CliRunner


def runner() -> CliRunner:
    """Return click's runner, which tells output and errors apart; before click 8.2 it has to be asked to."""
    options: dict[str, t.Any] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    return CliRunner(**options)
