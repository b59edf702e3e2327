"""A pytest plugin that puts ``CustomFlask`` in the place of ``flask.Flask``, for Flask's own test suite.

Load it with ``-p custom_flask``: before the first test module imports Flask.
"""

from __future__ import annotations

import sys
import typing as t

import flask
import pytest
from flask.sansio.app import App

from myapp.core.app import CustomFlask

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: How many apps were made of ``CustomFlask`` (and its subclasses), and how many of anything else.
made = {"custom": 0, "other": 0}


def _replace() -> None:
    """Bind the name ``Flask`` to ``CustomFlask`` in every module of Flask that has it."""
    original = flask.Flask
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "flask" and getattr(module, "Flask", None) is original:
            module.Flask = CustomFlask  # type: ignore[attr-defined]


def _counted(init: Callable[..., None]) -> Callable[..., None]:
    """Return ``App.__init__`` that counts, so that a run which tested nothing of ours is noticed."""

    def counted_init(self: App, *args: t.Any, **kwargs: t.Any) -> None:
        made["custom" if isinstance(self, CustomFlask) else "other"] += 1
        init(self, *args, **kwargs)

    return counted_init


_replace()
App.__init__ = _counted(App.__init__)  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def _report_made(record_testsuite_property: Callable[[str, object], None]) -> Iterator[None]:
    yield
    for kind, count in made.items():
        record_testsuite_property(f"made-{kind}", count)
