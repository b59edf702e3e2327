"""The start of an application with many blueprint modules, beside plain imports with ``register_blueprint``."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

Sizes: t.TypeAlias = tuple[tuple[int, float | None], ...]

ROOT = Path(__file__).resolve().parent.parent
#: The numbers of modules, and the ratio that we want to stay below; an empty app is nothing but our imports.
SIZES: Sizes = ((0, None), (100, None), (1000, 1.2))
#: Where only the running counts.
SMOKE_SIZES: Sizes = ((0, None), (10, None), (20, None))
ROUTES = 5

MODULE = """from flask import Blueprint

blueprint = Blueprint("{name}", __name__, url_prefix="/{name}")
"""
VIEW = """

@blueprint.get("/{number}/<int:item_id>")
def view{number}(item_id):
    return {{"item": item_id}}
"""
#: The loop that people write who have no discovery.
PEER = """from importlib import import_module

from flask import Flask

app = Flask("peer")
app.config["SECRET_KEY"] = "benchmark " * 8
for number in range({count}):
    app.register_blueprint(import_module(f"modules.module{{number:04}}").blueprint)
"""
OURS = """from myapp import create_app

app = create_app({{
    "SECRET_KEY": "benchmark " * 8,
    "MYAPP_BLUEPRINT_PACKAGES": ("modules",),
    "MYAPP_INSTANCE_PATH": "{folder}/instance",
}}, plugins=())
"""
CHECK = """
assert len(list(app.url_map.iter_rules())) == {count} * {routes} + 1, app.url_map
"""


class Start(t.NamedTuple):
    """Two functions that each start a process, and return the seconds from its begin to its end."""

    name: str
    goal: float | None
    peer: t.Callable[[], float]
    ours: t.Callable[[], float]


def iter_starts(folder: Path, sizes: Sizes = SIZES) -> t.Iterator[Start]:
    """Write the modules and both applications for each size into ``folder``, compiled for both."""
    for count, goal in sizes:
        tree = folder / f"start-{count}"
        package = tree / "modules"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        for number in range(count):
            name = f"module{number:04}"
            views = "".join(VIEW.format(number=number) for number in range(ROUTES))
            (package / f"{name}.py").write_text(MODULE.format(name=name) + views, encoding="utf-8")
        check = CHECK.format(count=count, routes=ROUTES)
        (tree / "peer.py").write_text(PEER.format(count=count) + check, encoding="utf-8")
        (tree / "ours.py").write_text(OURS.format(folder=tree) + check, encoding="utf-8")
        compileall.compile_dir(tree, quiet=1)
        yield Start(f"start with {count:,} modules", goal, _starter(tree, "peer"), _starter(tree, "ours"))


def _starter(tree: Path, name: str) -> t.Callable[[], float]:
    environ = {**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{ROOT}"}

    def start() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {name}"], cwd=tree, env=environ, check=True)
        return time.perf_counter() - started

    return start
