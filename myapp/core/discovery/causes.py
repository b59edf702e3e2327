"""What an exception says to the author of the code that raised it: file, line, and the error itself."""

from __future__ import annotations

import importlib
import sys
import traceback
import typing as t
from pathlib import Path

import click
import flask
import pluggy
import werkzeug

from ..errors import is_own_failure, well_formed

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

#: What is said of an error that cannot be shown.
UNSHOWN = ", which cannot be shown: its __notes__ raise "


def _folder(module: ModuleType) -> str:
    return str(Path(str(module.__file__)).resolve().parent)


#: Frames of these folders pass an error on; they are not where it was made.
CARRIERS = (
    str(Path(__file__).resolve().parents[1]),
    *(_folder(module) for module in (click, flask, importlib, pluggy, werkzeug)),
)


def describe(error: BaseException, home: str | None = None) -> str:
    """Return ``file:line: Type: message``, for the place where the error was made.

    :param error: what was raised.
    :param home: the file of the module that is at fault; it is named as well when the error was made elsewhere, and
        instead when no frame of the traceback belongs to an author.
    """
    places = _places(error)
    message = _message(error)
    if not places:
        return well_formed(f"{home}: {message}" if home else message)
    file, line = places[-1]
    if home is not None and file != home:
        own = next((place for place in reversed(places) if place[0] == home), None)
        message += f" (from {own[0]}:{own[1]})" if own else f" (from {home})"
    return well_formed(f"{file}:{line}: {message}")


def format_traceback(error: BaseException) -> str:
    """Return the traceback of ``error`` as Python prints it; what there is of it, when the error cannot be shown."""
    text = _format(traceback.format_exception, error)
    return text if is_shown(text) else f"{''.join(traceback.format_tb(error.__traceback__))}{text}"


def is_shown(text: str) -> bool:
    """Whether ``text``, what :func:`format_traceback` has returned, is what Python prints."""
    return UNSHOWN not in text


def _places(error: BaseException) -> list[tuple[str, int]]:
    frames = traceback.extract_tb(error.__traceback__)
    # Not imported for it: errors are described also when it is missing.
    sqlalchemy = sys.modules.get("sqlalchemy")
    carriers = ("<", *CARRIERS, *([_folder(sqlalchemy)] if sqlalchemy else []))
    places = [(frame.filename, frame.lineno or 0) for frame in frames if not frame.filename.startswith(carriers)]
    if isinstance(error, SyntaxError) and error.filename:
        # A file that cannot be parsed has no frame.
        places.append((error.filename, error.lineno or 0))
    return places


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    # Not str(error): an exception whose own __str__ raises is an error to be shown like any other.
    return " ".join(_format(traceback.format_exception_only, error).split())


def _format(format_error: Callable[[BaseException], list[str]], error: BaseException) -> str:
    try:
        return "".join(format_error(error))
    except BaseException as wrong:  # whatever its __notes__ raise; a guard must not.
        if not is_own_failure(wrong):
            raise
        return f"{type(error).__name__}{UNSHOWN}{type(wrong).__name__}."
