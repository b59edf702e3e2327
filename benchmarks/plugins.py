"""What plugins cost: a call through a guard, a request with idle plugins, the start with many of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import types
import typing as t
from pathlib import Path

from flask import Blueprint, Response

from benchmarks import peers
from myapp import create_app
from myapp.core.plugins import create_plugin
from myapp.core.plugins import guards as kinds
from myapp.core.plugins.breaker import get_guards

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask

    F: t.TypeAlias = Callable[..., t.Any]

ROOT = Path(__file__).resolve().parent.parent
IDLE = 20
PLUGINS = 50
PROCESSES = 3
#: What ``flask plugins new`` writes: a blueprint, a command, a model, a migration. Their import is what the build, the
#: search for them included, is compared with.
IMPORT = """
import importlib, pathlib, sys, time
from myapp import create_app
from myapp.core.plugins.finder import install_finder

config = {{"SECRET_KEY": "benchmark " * 8, "MYAPP_INSTANCE_PATH": "{folder}/instance"}}
create_app(config, plugins=())
create_app(config, plugins=())
install_finder().add_folder(pathlib.Path("{folder}/plugins"))
started = time.perf_counter()
for number in range({count}):
    importlib.import_module(f"myapp_plugins.shop{{number:02}}")
print(time.perf_counter() - started)
"""
BUILD = """
import time
from myapp import create_app
from myapp.core.plugins import get_report

config = {{"SECRET_KEY": "benchmark " * 8, "MYAPP_INSTANCE_PATH": "{folder}/instance"}}
create_app(config, plugins=())
started = time.perf_counter()
create_app(config, plugins=())
without = time.perf_counter() - started
started = time.perf_counter()
app = create_app({{**config, "MYAPP_PLUGIN_DIRS": ("{folder}/plugins",)}})
print(time.perf_counter() - started - without)
assert [report.state for report in get_report(app)] == ["active"] * {count}, get_report(app)
"""


class Pair(t.NamedTuple):
    """A function, the same with a guard around it, and their arguments."""

    name: str
    bare: F
    guarded: F
    arguments: tuple[t.Any, ...]
    goal: float | None = 3.0


def iter_pairs(app: Flask) -> Iterator[Pair]:
    """Yield the functions that a plugin may register for the whole app, doing nothing."""
    guards = get_guards(app)

    def nothing() -> None: ...

    def no_variables() -> dict[str, t.Any]:
        return {}

    def same(response: Response) -> Response:
        return response

    def nothing_else(endpoint: str, values: dict[str, t.Any]) -> None: ...

    for kind, function, arguments in (
        (kinds.BeforeRequest, nothing, ()),
        (kinds.ContextProcessor, no_variables, ()),
        (kinds.AfterRequest, same, (Response(),)),
        (kinds.UrlFunction, nothing_else, ("page", {})),
    ):
        yield Pair(f"a guarded {kind.kind}", function, kind(guards, "idle", function).wrap(), arguments)


def time_pair(pair: Pair, rounds: int) -> tuple[list[float], list[float]]:
    """Return the nanoseconds of a call of each, in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for index, function in enumerate((pair.bare, pair.guarded)):
            times[index].append(_time_calls(function, pair.arguments))
    return times


def _time_calls(function: F, arguments: tuple[t.Any, ...], count: int = 2000) -> float:
    numbers = range(count)
    # Written out: unpacking the arguments would cost as much as the call.
    if len(arguments) == 0:
        started = time.perf_counter_ns()
        for _ in numbers:
            function()
    elif len(arguments) == 1:
        (one,) = arguments
        started = time.perf_counter_ns()
        for _ in numbers:
            function(one)
    else:
        one, two = arguments
        started = time.perf_counter_ns()
        for _ in numbers:
            function(one, two)
    return (time.perf_counter_ns() - started) / count


def make_idle(folder: Path) -> tuple[Flask, Flask]:
    """Return an app without plugins, and one with :data:`IDLE` of them, which the request does not concern."""
    apps = []
    for plugins in ([], [_make_plugin(f"idle{number:02}") for number in range(IDLE)]):
        app = create_app({"MYAPP_INSTANCE_PATH": str(folder), "SECRET_KEY": peers.SECRET_KEY}, plugins=plugins)
        app.add_url_rule("/dict", "dict", lambda: {"id": 1, "name": "one", "is_new": True})
        apps.append(app)
    return apps[0], apps[1]


def _make_plugin(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    blueprint = Blueprint(name, __name__)
    blueprint.add_url_rule("/", "index", lambda: name)
    blueprint.before_request(lambda: None)
    module.__dict__["myapp_blueprints"] = lambda app, plugin: blueprint
    return module


def write_plugins(folder: Path, count: int = PLUGINS) -> None:
    """Write plugins as ``flask plugins new`` does."""
    for number in range(count):
        create_plugin(f"shop{number:02}", folder / "plugins")


def time_build(folder: Path, *, rounds: int, count: int = PLUGINS) -> tuple[list[float], list[float]]:
    """Return the seconds of importing plugins, and of building an app with them: the fastest of some processes each."""
    sources = [source.format(folder=folder, count=count) for source in (IMPORT, BUILD)]
    for source in sources:
        # The first of each compiles.
        _run(source)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        # A process is a single shot, and what disturbs one of them makes it slower, never faster.
        pairs = [[_run(source) for source in sources] for _ in range(PROCESSES)]
        for side, seconds in zip(times, zip(*pairs, strict=True), strict=True):
            side.append(min(seconds))
    return times


def _run(source: str) -> float:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    output = subprocess.run([sys.executable, "-c", source], env=environ, capture_output=True, text=True, check=True)
    return float(output.stdout)


def ratio_of(times: tuple[list[float], list[float]]) -> float:
    """Return the median of the ratios of each round."""
    return statistics.median(ours / peer for peer, ours in zip(*times, strict=True))
