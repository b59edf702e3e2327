"""The fixtures. What they need is imported when a test asks for them: pytest loads this module at every start."""

from __future__ import annotations

import typing as t
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

import pytest

from .zoo import EVIL_PLUGINS, EvilPlugin, write_evil

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flask.testing import FlaskClient, FlaskCliRunner

    from ..core.app import CustomFlask
    from .apps import AppFactory, Clock
    from .jobs import Jobs
    from .mailbox import Mailbox
    from .servers import LiveServer


def _kit(module: str) -> t.Any:
    """Return a module of the kit, imported only now: the docstring of the package says why."""
    return import_module(f".{module}", __package__)


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[AppFactory]:
    """Return a function that builds apps with databases of their own: ``make_app(*plugins, config=…, strict=True)``.

    Without plugins none is loaded; ``plugins=None`` as an argument discovers them.
    """
    factory: AppFactory = _kit("apps").AppFactory(tmp_path)
    yield factory
    factory.close()


@pytest.fixture
def app(make_app: AppFactory) -> CustomFlask:
    """Return an app without plugins; a ``conftest.py`` replaces it by one with the plugin that it tests."""
    return make_app()


@pytest.fixture
def client(app: CustomFlask) -> FlaskClient:
    """Return a test client of ``app``."""
    return t.cast("FlaskClient", _kit("apps").check_app(app).test_client())


@pytest.fixture
def cli_runner(app: CustomFlask) -> FlaskCliRunner:
    """Return a runner for the commands of ``app``: ``cli_runner.invoke(args=["shop", "count"])``."""
    return t.cast("FlaskCliRunner", _kit("apps").check_app(app).test_cli_runner())


@pytest.fixture
def clock(make_app: AppFactory) -> Clock:
    """Return the clock of the apps that ``make_app`` builds afterwards: ``clock.advance(60)``.

    It says when a function of a plugin that keeps failing is tried again, and when a job is due.
    """
    make_app.clock = _kit("apps").Clock()
    return make_app.clock


@pytest.fixture
def as_user(request: pytest.FixtureRequest) -> Callable[..., FlaskClient]:
    """Return a function that gives clients of somebody: ``as_user("ann@example.com", "orders:write").get("/")``.

    The user is made when there is none. ``app=…`` is another app than the fixture ``app``.
    """

    def make(address: str, *scopes: str, app: CustomFlask | None = None) -> FlaskClient:
        chosen = _kit("apps").check_app(request.getfixturevalue("app") if app is None else app, of_myapp=True)
        return t.cast("FlaskClient", _kit("people").client_of(chosen, address, *scopes))

    return make


@pytest.fixture
def plugin_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a folder of plugins: ``make_app(plugin_folder({"shop/__init__.py": "…"}))``.

    Its second argument names the folder; files are added to one that is there.
    """

    def make(files: Mapping[str, str], name: str = "plugins") -> Path:
        return t.cast("Path", _kit("folders").write_files(tmp_path / name, files))

    return make


@pytest.fixture
def fake_dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Return a function that installs a distribution without pip: ``fake_dist(name, version, entry_points, files)``.

    ``fake_dist("shop-plugin", "1.2", {"myapp.plugins": {"shop": "shop_plugin"}}, {"shop_plugin.py": "…"})``
    """
    site = _kit("folders").Site(tmp_path / "site-packages", monkeypatch)
    yield site.install
    site.forget()


@pytest.fixture(params=sorted(EVIL_PLUGINS))
def evil_plugins(request: pytest.FixtureRequest, tmp_path: Path) -> EvilPlugin:
    """Run the test once for each way in which a plugin fails: ``make_app(evil_plugins.path, strict=False)``."""
    return write_evil(request.param, tmp_path / "evil")


@pytest.fixture
def jobs(app: CustomFlask) -> Jobs:
    """Return the background jobs of ``app``: ``jobs.drain()``, ``jobs.assert_enqueued(f, 1)``, ``jobs.clock``."""
    return t.cast("Jobs", _kit("jobs").Jobs(_kit("apps").check_app(app, of_myapp=True)))


@pytest.fixture
def mailbox(app: CustomFlask) -> Mailbox:
    """Return the mails that tasks of ``app`` have committed: ``mailbox.last.subject``, ``len(mailbox)``."""
    return t.cast("Mailbox", _kit("mailbox").Mailbox(_kit("apps").check_app(app, of_myapp=True)))


@pytest.fixture
def live_server() -> Iterator[Callable[[CustomFlask], LiveServer]]:
    """Return a function that serves an app on a port of its own until the test ends: ``live_server(app).url``."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(_kit("servers").serve_in_thread(_kit("apps").check_app(app)))


#: All of them, by name.
FIXTURES: Mapping[str, t.Any] = MappingProxyType(
    {
        "app": app,
        "as_user": as_user,
        "cli_runner": cli_runner,
        "client": client,
        "clock": clock,
        "evil_plugins": evil_plugins,
        "fake_dist": fake_dist,
        "jobs": jobs,
        "live_server": live_server,
        "mailbox": mailbox,
        "make_app": make_app,
        "plugin_folder": plugin_folder,
    }
)
