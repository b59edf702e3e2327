"""A runner for commands that belong to no app."""

from __future__ import annotations

import inspect
import typing as t

from click.testing import CliRunner

#: Before click 8.2; what it does otherwise is told where this is used.
IS_OLD_CLICK = "mix_stderr" in inspect.signature(CliRunner).parameters


def runner() -> CliRunner:
    """Return click's runner, which tells output and errors apart; before click 8.2 it has to be asked to."""
    options: dict[str, t.Any] = {"mix_stderr": False} if IS_OLD_CLICK else {}
    return CliRunner(**options)
