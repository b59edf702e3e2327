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
PROCESSES = 20
#: Imports plugins by themselves, builds an app with as many others, the search for them included, and prints the
#: seconds of both; in one process, because a machine is quicker in one second than in another. What an app without
#: plugins takes is subtracted.
BUILD = """
import importlib, pathlib, sys, time
from myapp import create_app
from myapp.core.plugins import get_report
from myapp.core.plugins.finder import install_finder

folder, count, *order = sys.argv[1:]
config = {"SECRET_KEY": "benchmark " * 8, "MYAPP_INSTANCE_PATH": folder}


def import_plugins():
    started = time.perf_counter()
    for number in range(int(count)):
        importlib.import_module(f"myapp_plugins.mall{number:02}")
    return time.perf_counter() - started


def build():
    started = time.perf_counter()
    create_app(config, plugins=())
    between = time.perf_counter()
    app = create_app({**config, "MYAPP_PLUGIN_DIRS": (f"{folder}/shop",)})
    seconds = time.perf_counter() - between - (between - started)
    assert [report.state for report in get_report(app)] == ["active"] * int(count), get_report(app)
    return seconds


install_finder().add_folder(pathlib.Path(folder) / "mall")
create_app(config, plugins=())
seconds = {name: globals()[name]() for name in order}
print(seconds["import_plugins"], seconds["build"])
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
    given = kinds.UrlFunction(guards, "idle", nothing_else).wrap()
    yield Pair("a guarded url_value_preprocessor, given values", nothing_else, given, ("page", {"id": 1}), None)


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


def time_build(folder: Path, *, processes: int, count: int) -> tuple[list[float], list[float]]:
    """Return the seconds of importing plugins, and of building an app with as many; each comes first in turns."""
    for name in ("mall", "shop"):
        for number in range(count):
            # A blueprint, a command, a model, a migration: what ``flask plugins new`` writes.
            create_plugin(f"{name}{number:02}", folder / name)
    times: tuple[list[float], list[float]] = ([], [])
    # The first process compiles.
    for turn in range(processes + 1):
        order = ("import_plugins", "build") if turn % 2 else ("build", "import_plugins")
        command = [sys.executable, "-c", BUILD, str(folder), str(count), *order]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        output = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
        for side, seconds in zip(times, output.split(), strict=True):
            side.append(float(seconds))
    return times[0][1:], times[1][1:]


def ratio_of(times: tuple[list[float], list[float]]) -> float:
    """Return the median of the ratios of each round."""
    return statistics.median(ours / peer for peer, ours in zip(*times, strict=True))
