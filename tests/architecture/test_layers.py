"""Imports go strictly downward, and plugins and blueprints know only what is public: docs/architecture.md."""

from __future__ import annotations

import ast
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
#: The parts of the core, the lowest first.
PARTS = (
    *("errors", "config", "signals", "runtime", "policy", "redis", "tasks", "data", "web", "access", "work", "events"),
    *("guards", "discovery", "plugins", "ops", "cli", "app"),
)
CORE, BLUEPRINTS, PLUGINS = "myapp.core.", "myapp.blueprints.", "myapp_plugins."


class Import(t.NamedTuple):
    """An imported name, with its absolute dotted path."""

    line: int
    target: str
    is_in_function: bool


def iter_modules() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the file of every module of the project and of the plugins beside it."""
    for path in sorted(ROOT.glob("myapp/**/*.py")):
        yield dotted(path.relative_to(ROOT)), path
    for path in sorted(ROOT.glob("plugins/**/*.py")):
        yield dotted(Path("myapp_plugins") / path.relative_to(ROOT / "plugins")), path


def dotted(path: Path) -> str:
    """Return the name under which a file is imported."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def iter_imports(module: str, source: str, *, is_package: bool) -> Iterator[Import]:
    """Yield every import, those for type checkers included; a name that is imported from a package counts with it."""
    package = module if is_package else module.rpartition(".")[0]
    tree = ast.parse(source)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (Import(node.lineno, f"{base}.{alias.name}", id(node) in inside) for alias in node.names)


def part_of(name: str) -> str | None:
    """Return the part of the core that a dotted path leads into."""
    return name.removeprefix(CORE).split(".")[0] if name.startswith(CORE) else None


def objection(module: str, target: str, *, modules: frozenset[str]) -> str | None:
    """Say why ``module`` may not import ``target``, if so."""
    if target.split(".")[0] not in ("myapp", "myapp_plugins"):
        return None
    # What a blueprint or a plugin consists of may import each other.
    unit = ".".join(module.split(".")[: 3 if module.startswith(BLUEPRINTS) else 2])
    if module.startswith(PLUGINS):
        is_public = target.startswith("myapp.") and target not in modules and target.count(".") == 1
        is_own = f"{target}.".startswith(f"{unit}.")
        return None if is_public or is_own or target == "myapp" else "a plugin imports from `myapp` only"
    if module.startswith(BLUEPRINTS):
        if target.startswith(BLUEPRINTS):
            return None if f"{target}.".startswith(f"{unit}.") else "no blueprint imports another"
        part = part_of(target)
        # `myapp.core.web.ApiResult` is a name of the part; `myapp.core.web.json` is a module inside of it.
        is_inner = part is not None and target != CORE + part and target in modules
        is_deep = part is not None and target.count(".") > 3
        return "a blueprint imports the `__init__` of a part only" if is_inner or is_deep else None
    if target.startswith((BLUEPRINTS, PLUGINS)) or target in ("myapp.blueprints", "myapp_plugins"):
        return "blueprints and plugins are found, never imported"
    if not module.startswith(CORE):
        return None
    own, part = part_of(module), part_of(target)
    if part is None:
        return "the core lies below what `myapp` shows to others"
    if own not in PARTS or part not in PARTS:
        return "the part has no place in the order of the layers"
    return None if PARTS.index(part) <= PARTS.index(own) else f"{part} lies above {own}"


def iter_violations(
    module: str, source: str, *, is_package: bool, modules: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Yield one sentence for each import that the rules forbid."""
    for line, target, is_in_function in iter_imports(module, source, is_package=is_package):
        reason = objection(module, target, modules=modules)
        if reason is None and is_in_function and target.split(".")[0] == "myapp":
            reason = "myapp is imported at the top of a module, not inside a function"
        if reason is not None:
            yield f"{module}:{line} imports {target}: {reason}."


def test_imports_go_strictly_downward() -> None:
    """Every module of the core, of its blueprints and of the plugins obeys; there is no list of exceptions."""
    files = dict(iter_modules())
    modules = frozenset(files)
    violations = [
        violation
        for module, path in files.items()
        for violation in iter_violations(
            module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py", modules=modules
        )
    ]
    assert len(files) > 30
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("myapp.core.tasks.task", "from ..web import ApiResult"),
        ("myapp.core.tasks.task", "from .. import web"),
        ("myapp.core.tasks.task", "import myapp.core.web.json"),
        ("myapp.core.tasks.task", "from myapp import Model"),
        ("myapp.core.tasks.task", "def f():\n    from ..errors import TaskError"),
        ("myapp.core.errors", "if t.TYPE_CHECKING:\n    from .config import Settings"),
        ("myapp.core.novelty", "from .errors import TaskError"),
        ("myapp.core.app", "from ..blueprints import home"),
        ("myapp.blueprints.demo", "from . import home"),
        ("myapp.blueprints.demo", "from myapp.core.web.json import StrictJSONProvider"),
        ("myapp.blueprints.demo", "from myapp.core.web import json"),
        ("myapp_plugins.realmon.routes", "from myapp.core.data import Model"),
        ("myapp_plugins.realmon.routes", "from myapp_plugins.other import thing"),
    ],
)
def test_forbidden_imports_are_seen(module: str, source: str) -> None:
    """The test above would notice each of these."""
    modules = frozenset({"myapp.core.web.json"})
    assert list(iter_violations(module, source, is_package=False, modules=modules))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("myapp.core.data.session", "from ..tasks import Task\nfrom . import sqlite\nimport sqlalchemy"),
        ("myapp.core.data.session", "def f():\n    import alembic"),
        ("myapp.blueprints.demo", "from myapp import ApiResult\nfrom myapp.core.errors import ApiException"),
        ("myapp.blueprints.api.v1.users", "from ...api import shared"),
        ("myapp_plugins.realmon.routes", "from myapp import Model\nfrom .models import Meter"),
    ],
)
def test_allowed_imports_pass(module: str, source: str) -> None:
    """Downward, inside one's own part, from the public surface, and lazily from third parties."""
    assert not list(iter_violations(module, source, is_package=False))


def test_every_part_is_in_the_order() -> None:
    """A new part gets a place in the order before it can import anything."""
    parts = {path.stem for path in ROOT.glob("myapp/core/*") if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} <= set(PARTS)
