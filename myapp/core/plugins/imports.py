"""Import the module of a plugin, and ask it whether it wants to be served."""

from __future__ import annotations

import importlib
import inspect
import sys
import typing as t
from importlib.machinery import NamespaceLoader
from pathlib import Path
from types import FunctionType, ModuleType

from ..errors import PluginError
from .finder import install_finder

if t.TYPE_CHECKING:
    from flask import Flask

    from .attempts import Attempts
    from .scan import Candidate


def import_plugin(candidate: Candidate, attempts: Attempts) -> tuple[t.Any, str]:
    """Return the module or object with the hooks, and the dotted name of the module.

    When it cannot be imported, no part of it stays imported: what it had imported of itself may be half done.

    :raises PluginError: for a folder without ``__init__.py``, which Python imports as an empty package.
    """
    if candidate.target is not None:
        return candidate.target, candidate.module
    module, _, attributes = candidate.module.partition(":")
    if not module:
        module = install_finder().claim(candidate.name, t.cast("Path", candidate.location))
    attempts.claim(candidate.name, module)
    try:
        target: t.Any = importlib.import_module(module)
        _refuse_remains(candidate.name, target)
        for attribute in filter(None, attributes.split(".")):
            target = getattr(target, attribute)
    except BaseException:
        attempts.forget_modules(candidate.name)
        raise
    return target, module


def _refuse_remains(name: str, module: t.Any) -> None:
    spec = getattr(module, "__spec__", None)
    if spec is not None and isinstance(spec.loader, NamespaceLoader):
        # pip leaves files that it has not brought, and their folder hides an editable installation.
        raise PluginError(
            name,
            "import-failed",
            f"There is no __init__.py in {next(iter(module.__path__))}. Most often the folder is left of an earlier"
            " installation: remove it.",
        )


def file_of(target: t.Any) -> str | None:
    """Return the file that a plugin's module or object comes from, for messages."""
    module = target if isinstance(target, ModuleType) else sys.modules.get(type(target).__module__)
    return getattr(module, "__file__", None)


def root_of(target: t.Any) -> Path | None:
    """Return the folder of a plugin's module; None for an object."""
    file = file_of(target) if isinstance(target, ModuleType) else None
    return Path(file).parent if file else None


def why_skipped(target: t.Any, app: Flask) -> str:
    """Return why a plugin does not want to be served, as a sentence; nothing when it does.

    Its ``ENABLED`` or ``enabled(app)`` says so, as that of a blueprint module does; a text that ``enabled`` returns is
    the reason why not.
    """
    switch = _attribute(target, "ENABLED")
    if switch is not None and not switch:
        return f"ENABLED is {switch!r} in {file_of(target)}."
    enabled = _attribute(target, "enabled")
    if enabled is None:
        return ""
    answer = enabled(app) if callable(enabled) else enabled
    if isinstance(answer, str) and answer:
        return answer
    return "" if answer else f"enabled(app) returned {answer!r} in {file_of(target)}."


def look_up(target: t.Any, name: str) -> t.Any:
    """Return an attribute of a plugin as it was written, or None; no property is evaluated."""
    # A module inherits nothing: a look at fifty of them costs what one object does.
    return vars(target).get(name) if isinstance(target, ModuleType) else inspect.getattr_static(target, name, None)


def _attribute(target: t.Any, name: str) -> t.Any:
    """Return a switch of a plugin, or None; a submodule is none."""
    static = look_up(target, name)
    if isinstance(static, ModuleType | property):
        return None
    return getattr(target, name) if isinstance(static, FunctionType | staticmethod | classmethod) else static
