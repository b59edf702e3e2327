"""The test kit, a pytest plugin: apps, clients, the effects of tasks, and people with tokens.

Installing myapp makes the fixtures available; only :func:`capture_effects` and :func:`bearer` have to be imported.
"""

from __future__ import annotations

import inspect
import typing as t
from contextlib import contextmanager

import click.testing
import pytest
from flask.testing import FlaskCliRunner

from ..core.access import create_user, find_user, issue_token
from ..core.app import CustomFlask, create_app
from ..core.runtime import get_runtime
from ..core.tasks import Captured, capturing

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient


class CliRunner(FlaskCliRunner):
    """A runner whose results tell the output and the errors apart, as click 8.2 and newer do by themselves."""

    def __init__(self, app: Flask, **kwargs: t.Any) -> None:
        if "mix_stderr" in inspect.signature(click.testing.CliRunner).parameters:
            kwargs.setdefault("mix_stderr", False)
        super().__init__(app, **kwargs)


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[Callable[..., CustomFlask]]:
    """Return a function that builds apps with databases of their own: ``make_app(*plugins, config=…, strict=True)``.

    Without plugins none is loaded; ``plugins=None`` as an argument discovers them.
    """
    apps: list[CustomFlask] = []

    def make(
        *plugins: t.Any, config: dict[str, t.Any] | None = None, strict: bool | None = True, **more: t.Any
    ) -> t.Any:
        defaults = {
            "TESTING": True,
            "SECRET_KEY": "a key of the tests, and of nothing else",
            "MYAPP_INSTANCE_PATH": str(tmp_path / f"instance{len(apps)}"),
        }
        app = create_app({**defaults, **(config or {})}, strict=strict, plugins=more.get("plugins", plugins))
        app.test_cli_runner_class = CliRunner
        apps.append(app)
        return app

    yield make
    for app in apps:
        get_runtime(app).close()


@pytest.fixture
def app(make_app: Callable[..., CustomFlask]) -> CustomFlask:
    """Return an app without plugins."""
    return make_app()


@pytest.fixture
def client(app: CustomFlask) -> FlaskClient:
    """Return a test client of ``app``."""
    return app.test_client()


@pytest.fixture
def cli_runner(app: CustomFlask) -> FlaskCliRunner:
    """Return a runner for the commands of ``app``."""
    return app.test_cli_runner()


@contextmanager
def capture_effects(*, run: bool = False) -> Iterator[Captured]:
    """Collect the callbacks of the tasks that commit in the block, in the order in which they would run.

    What a savepoint or a rollback discarded is not among them.

    :param run: whether they run as well.
    """
    captured = Captured(run)
    token = capturing.set(captured)
    try:
        yield captured
    finally:
        capturing.reset(token)


def bearer(app: CustomFlask, address: str, *scopes: str) -> dict[str, str]:
    """Return the headers of a request with a new token: ``client.get("/", headers=bearer(app, "ann@example.com"))``.

    :param address: whose token; the user is made when there is none, with the password ``a password for tests``.
    :param scopes: what the token may be used for.
    """
    with app.task():
        user = find_user(address) or create_user(address, "a password for tests")
        text, _ = issue_token(user, scopes, label="tests")
    return {"Authorization": f"Bearer {text}"}
