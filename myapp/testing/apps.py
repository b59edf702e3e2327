"""Apps that live as long as a test, and what is odd about the ones that a ``conftest.py`` hands in."""

from __future__ import annotations

import inspect
import os
import sys
import typing as t
from pathlib import Path

import click.testing
import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskCliRunner

from ..core import work
from ..core.access import Passwords
from ..core.app import CustomFlask, create_app
from ..core.config import IsolatedConfig
from ..core.errors import PluginError
from ..core.plugins import get_guards, get_report
from ..core.runtime import get_runtime

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: Stands for an argument that was not given.
NOT_GIVEN: t.Any = object()


#: What to do about a plugin that a test names and nobody finds.
ELSEWHERE = (
    "A test finds the plugins that the application finds: those that are installed (pip install -e .), and those in"
    " MYAPP_PLUGIN_DIRS. One that lies elsewhere is given by its path: make_app(pathlib.Path(…))."
)


class CliRunner(FlaskCliRunner):
    """A runner whose results tell the output and the errors apart, as click 8.2 and newer do by themselves."""

    def __init__(self, app: Flask, **kwargs: t.Any) -> None:
        if "mix_stderr" in inspect.signature(click.testing.CliRunner).parameters:
            kwargs.setdefault("mix_stderr", False)
        super().__init__(app, **kwargs)


class Clock:
    """Seconds that only pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        #: What has a time of its own and moves along.
        self.followers: list[Callable[[float], None]] = []

    def __call__(self) -> float:
        """Return the seconds, as ``time.monotonic()`` would."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        :raises ValueError: for a negative number: it does not go back.
        """
        if seconds < 0:
            raise ValueError(f"Time does not go back, and not by {-seconds} s.")
        self.now += seconds
        for advance in self.followers:
            advance(seconds)


class AppFactory:
    """What the fixture ``make_app`` gives: a function that builds apps, each with an instance folder of its own.

    :param folder: where the instance folders are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._apps: list[CustomFlask] = []
        #: What the apps that are built from now on take the time from; None for that of the machine.
        self.clock: Clock | None = None

    def __call__(
        self,
        *wanted: t.Any,
        config: Mapping[str, t.Any] | None = None,
        strict: bool | None = True,
        plugins: Iterable[t.Any] | None = NOT_GIVEN,
    ) -> CustomFlask:
        """Build an app with exactly the plugins that are ``wanted``; without any, none is loaded.

        It is closed when the test ends: its database connections and whatever else has the life of its runtime.
        What the environment and ``.env`` say does not count, but for ``MYAPP_PLUGIN_DIRS`` and
        ``MYAPP_BLUEPRINT_PACKAGES``: a test is the same for everybody, and touches nobody's database.

        :param wanted: names, modules or objects with hooks, as ``create_app(plugins=…)`` takes them; paths of plugins;
            folders, for every plugin in them.
        :param config: settings, on top of ``TESTING``, a secret key and an empty instance folder.
        :param strict: whether a plugin that cannot be served is an error of the test.
        :param plugins: None to discover the plugins as the application does.
        """
        if wanted and plugins is not NOT_GIVEN:
            raise TypeError("make_app() takes plugins as its arguments or as `plugins`, not as both.")
        defaults = {
            "TESTING": True,
            "SECRET_KEY": "a key of the tests, and of nothing else",
            "MYAPP_INSTANCE_PATH": str(self._folder / f"instance{len(self._apps)}"),
        }
        chosen = wanted if plugins is NOT_GIVEN else plugins
        if chosen is not None:
            chosen = [plugin for one in chosen for plugin in expand(one)]
        try:
            app = create_app(IsolatedConfig({**defaults, **(config or {})}), strict=strict, plugins=chosen)
        except PluginError as error:
            if error.code == "not-found":
                error.add_note(ELSEWHERE)
            raise
        app.test_cli_runner_class = CliRunner
        # The least that argon2id can be asked for: these passwords guard nothing, and good hashes take 30 ms each.
        app.extensions["myapp.access"] = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self._apps.append(app)
        if self.clock is not None:
            get_guards(app).clock = self.clock
            self.clock.followers.append(work.get_state(app).clock.advance)
        refuse_second_load(app)
        return app

    def close(self) -> None:
        """Release what the apps hold."""
        for app in self._apps:
            get_runtime(app).close()


def expand(wanted: t.Any) -> Iterator[t.Any]:
    """Yield the plugins of a folder that is none itself; anything else as it is.

    :raises ValueError: for a folder without a plugin.
    """
    if not isinstance(wanted, os.PathLike) or not Path(wanted).is_dir() or (Path(wanted) / "__init__.py").is_file():
        yield wanted
        return
    plugins = [entry for entry in sorted(Path(wanted).iterdir()) if is_plugin(entry)]
    if not plugins:
        raise ValueError(
            f"There is no plugin in {wanted}: no file `name.py` and no folder `name` with an `__init__.py`."
        )
    yield from plugins


def is_plugin(entry: Path) -> bool:
    """Whether a file or a folder in a plugin folder is one; what the core skips is none."""
    if entry.name.startswith(("_", ".", "test_")) or entry.stem == "conftest":
        return False
    return entry.suffix == ".py" or (entry / "__init__.py").is_file()


def refuse_second_load(app: CustomFlask) -> None:
    """Fail the test when a plugin of ``app`` is there twice, under the name that the core uses and under another one.

    pytest imports a ``conftest.py`` or a test that lies in a plugin's folder as a part of that package, and so the
    plugin itself, a second time: its models and globals are then not those of the app.
    """
    own = {
        os.path.realpath(report.file): report
        for report in get_report(app)
        if report.file and report.module and report.state in ("active", "degraded")
    }
    if not own:
        return
    # Most modules are told apart by the end of their path, without asking the file system.
    ends = tuple(os.sep + os.path.join(*Path(file).parts[-2:]) for file in own)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(ends):
            continue
        report = own.get(os.path.realpath(file))
        if report is not None and name != report.module.partition(":")[0] and name != "__main__":
            pytest.fail(
                f"The plugin {report.name} is loaded twice: as {report.module}, by the app, and as {name}, by a test or"
                f" a conftest.py that imports it under that name or lies beside its __init__.py. Import"
                f" {report.module}, and keep conftest.py and tests in {Path(report.file).parent / 'tests'}, without an"
                " __init__.py there.",
                pytrace=False,
            )


def check_app(app: t.Any, *, of_myapp: bool = False) -> t.Any:
    """Return what the fixture ``app`` gave, which a ``conftest.py`` may have replaced, when it can be used.

    Fails the test otherwise, with what to write.

    :param of_myapp: whether it has to be of ``create_app()``. Clients and servers do with any application of Flask,
        because tests of other projects run in this environment too.
    """
    if isinstance(app, Flask) and (not of_myapp or "myapp.tasks" in app.extensions):
        return app
    kind = "an application that create_app() has not made" if isinstance(app, Flask) else f"{app!r}"
    pytest.fail(
        f"The fixture `app` of a conftest.py gave {kind}. It is to return an app of myapp:\n\n"
        '    @pytest.fixture\n    def app(make_app):\n        return make_app("shop")\n',
        pytrace=False,
    )
