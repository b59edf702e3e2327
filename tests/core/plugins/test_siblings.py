"""The law for plugins that share a package: the one that fails costs itself, and not its siblings."""

from __future__ import annotations

import gc
import importlib
import sys
import typing as t

import pytest

from myapp.core.data import ensure_schema, find_differences, get_schema, iter_mappers
from myapp.core.plugins import get_report
from myapp.testing.fingerprint import differences, fingerprint, process_fingerprint

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"
Distribution: t.TypeAlias = "Callable[..., None]"

MODEL = """
from sqlalchemy.orm import Mapped, mapped_column, relationship
from myapp import Model


class NAME(Model):
    __tablename__ = "NAME_rows"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
#: The one that nothing may be served without. It listens from the import on, and from the build on.
GATE = """
from flask import request_started
from .. import shared
from . import models

__plugin__ = {"name": "gate", "version": "1", "critical": True}
SEEN = []


@request_started.connect
def imported(sender, **extra):
    SEEN.append("imported")


def built(sender, **extra):
    SEEN.append("built")


def myapp_configure(app, plugin):
    request_started.connect(built, app)


def myapp_migrations(plugin):
    return "versions"
"""
#: Its sibling, which sorts before it, and is imported before it.
EARLY = """
from flask import request_started
from .. import shared
from . import models

__plugin__ = {"name": "early", "version": "1"}


def heard(sender, **extra):
    raise AssertionError("Nobody is to hear this.")


"""
FAILS = {
    "import": "request_started.connect(heard)\nraise RuntimeError\n",
    "configure": "def myapp_configure(app):\n    request_started.connect(heard)\n    raise RuntimeError\n",
    "commands": "def myapp_commands(app):\n    request_started.connect(heard)\n    raise RuntimeError\n",
    "skipped": "request_started.connect(heard)\nENABLED = False\n",
    "mapper": "models.early.nope = relationship('Nope')\n",
    "exit": "request_started.connect(heard)\nraise SystemExit\n",
    "attribute": "",
}


def install(fake_dist: Distribution, name: str, early: str, gate: str = GATE, is_broken: bool = False) -> None:
    """Install a package with two plugins."""
    # What listened in the package of the test before is gone, and not counted here.
    gc.collect()
    files = {
        f"{name}/__init__.py": "",
        f"{name}/shared.py": "",
        f"{name}/early/__init__.py": EARLY + early,
        f"{name}/early/models.py": MODEL.replace("NAME", "early"),
        f"{name}/gate/__init__.py": gate,
        f"{name}/gate/models.py": MODEL.replace("NAME", "gate"),
        f"{name}/gate/versions/.keep": "",
    }
    tail = ":nothing" if is_broken else ""
    entries = f"[myapp.plugins]\nearly = {name}.early{tail}\ngate = {name}.gate\n"
    fake_dist(name, "1.0", entries, files)


def modules_of(package: str) -> list[str]:
    """Return what is imported of a package."""
    return sorted(name for name in sys.modules if name.split(".")[0] == package)


@pytest.mark.parametrize("way", sorted(FAILS))
def test_broken_sibling_is_a_disabled_one(way: str, fake_dist: Distribution, make_plugin_app: MakeApp) -> None:
    """Whatever way it fails; the critical one beside it keeps its modules, its models and what it listens to."""
    package = f"suite_{way}"
    install(fake_dist, package, FAILS[way], is_broken=way == "attribute")
    disabled, process = fingerprint(make_plugin_app(MYAPP_PLUGINS="gate")), process_fingerprint()
    for module in modules_of(package):
        assert ".early" not in module

    for _ in range(2):
        app = make_plugin_app(MYAPP_PLUGINS="early,gate")

        assert {report.name: report.state == "active" for report in get_report(app)} == {"early": False, "gate": True}
        assert differences(disabled, fingerprint(app)) == []
        assert differences(process, process_fingerprint()) == []
        gate: t.Any = sys.modules[f"{package}.gate"]
        gate.SEEN.clear()
        app.test_client().get("/")
        assert sorted(gate.SEEN) == ["built", "imported"]
        assert modules_of(package) == [package, *(f"{package}.{name}" for name in ("gate", "gate.models", "shared"))]


@pytest.mark.parametrize("way", sorted(FAILS))
def test_sibling_that_comes_first_is_not_in_the_way(
    way: str, fake_dist: Distribution, make_plugin_app: MakeApp
) -> None:
    """It also fails where nobody has imported the package before, so that it is the first to do so."""
    package = f"first_{way}"
    install(fake_dist, package, FAILS[way], is_broken=way == "attribute")

    app = make_plugin_app(MYAPP_PLUGINS="early,gate")
    assert {report.name: report.state == "active" for report in get_report(app)} == {"early": False, "gate": True}
    app.test_client().get("/")

    assert sorted(importlib.import_module(f"{package}.gate").SEEN) == ["built", "imported"]
    assert modules_of(package) == [package, *(f"{package}.{name}" for name in ("gate", "gate.models", "shared"))]
    assert [str(mapper.class_.__module__) for root, mapper in iter_mappers() if package in root] == [
        f"{package}.gate.models"
    ]
    assert get_schema(app).owners["gate"].package == f"{package}.gate"


def test_last_of_a_package_takes_the_rest_with_it(fake_dist: Distribution, make_plugin_app: MakeApp) -> None:
    """What they share is nobody's any more when each of them has failed."""
    gate = GATE.replace(', "critical": True', "") + "\n\ndef myapp_commands(app):\n    raise RuntimeError\n"
    install(fake_dist, "suite_none", FAILS["commands"], gate=gate)
    process = process_fingerprint()

    app = make_plugin_app(MYAPP_PLUGINS="early,gate")

    assert [report.state for report in get_report(app)] == ["broken-register", "broken-register"]
    assert modules_of("suite_none") == []
    assert differences(process, process_fingerprint()) == []


def test_failure_in_a_later_attempt_takes_the_whole_package(
    fake_dist: Distribution, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """A plugin that has its package to itself still has it when another one has failed before it."""
    source = "from . import models\n__plugin__ = {'name': 'lonely'}\ndef myapp_commands(app):\n    raise RuntimeError\n"
    files = {"lonely/__init__.py": "", "lonely/plugin.py": source, "lonely/models.py": MODEL.replace("NAME", "lonely")}
    fake_dist("lonely", "1.0", "[myapp.plugins]\nlonely = lonely.plugin\n", files)
    folder = make_folder("plugins", {"aaa.py": "def myapp_configure(app):\n    raise RuntimeError\n"})
    process = process_fingerprint()

    for _ in range(2):
        app = make_plugin_app(folder)

        assert {report.state for report in get_report(app)} == {"broken-register"}
        assert modules_of("lonely") == []
        assert differences(process, process_fingerprint()) == []


def test_plugin_around_another_one(fake_dist: Distribution, make_plugin_app: MakeApp) -> None:
    """The package itself may be a plugin, and stays imported for the one in it, which is served when it fails."""
    around = "from flask import request_started\n__plugin__ = {'name': 'around'}\n"
    around += "def heard(sender, **extra):\n    raise AssertionError\n"
    around += "def myapp_configure(app):\n    request_started.connect(heard)\n    raise RuntimeError\n"
    files = {
        "suite_around/__init__.py": around,
        "suite_around/shared.py": "",
        "suite_around/deep/gate/__init__.py": GATE.replace("from ..", "from ..."),
        "suite_around/deep/gate/models.py": MODEL.replace("NAME", "around"),
        "suite_around/deep/gate/versions/.keep": "",
        "suite_around/deep/__init__.py": "",
    }
    entries = "[myapp.plugins]\naround = suite_around\ngate = suite_around.deep.gate\n"
    gc.collect()
    fake_dist("suite-around", "1.0", entries, files)

    app = make_plugin_app()
    app.test_client().get("/")

    assert {report.name: report.state for report in get_report(app)} == {"around": "broken-register", "gate": "active"}
    assert "suite_around" in sys.modules
    assert sorted(importlib.import_module("suite_around.deep.gate").SEEN) == ["built", "imported"]
    assert get_schema(app).owners["gate"].package == "suite_around.deep"
    assert [str(mapper.class_) for root, mapper in iter_mappers() if root == "suite_around.deep"]


def test_tables_of_shared_models_are_their_owners(fake_dist: Distribution, make_plugin_app: MakeApp) -> None:
    """Models beside the plugins count for whoever has the tables: nothing is to be dropped, and nothing is added."""
    migration = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "keeper_0001", None, None, None


def upgrade():
    op.create_table("keeper_rows", sa.Column("id", sa.Integer, nullable=False), sa.PrimaryKeyConstraint("id"))


def downgrade():
    op.drop_table("keeper_rows")
"""
    model = MODEL.replace("class NAME", "class Keeper").replace("NAME", "keeper")
    files = {
        "suite_tables/__init__.py": "",
        "suite_tables/models.py": model,
        "suite_tables/keeper.py": "from . import models\ndef myapp_migrations(plugin):\n    return 'versions'\n",
        "suite_tables/reader.py": "from . import models\n",
        "suite_tables/versions/0001_rows.py": migration,
    }
    entries = "[myapp.plugins]\nkeeper = suite_tables.keeper\nreader = suite_tables.reader\n"
    fake_dist("suite-tables", "1.0", entries, files)
    app = make_plugin_app()
    ensure_schema(app)

    assert [report.state for report in get_report(app)] == ["active", "active"]
    assert find_differences(app, "keeper") == []


def test_broken_model_that_siblings_share_is_found_at_the_start(
    fake_dist: Distribution, make_plugin_app: MakeApp
) -> None:
    """And not at the first query; whoever shares it is not served, and nothing of it stays."""
    files = {
        "suite_shares/__init__.py": "",
        "suite_shares/models.py": MODEL.replace("NAME", "shares") + "    nope = relationship('Nope')\n",
        "suite_shares/one.py": "from . import models\n",
        "suite_shares/two.py": "from . import models\n",
    }
    fake_dist("suite-shares", "1.0", "[myapp.plugins]\none = suite_shares.one\ntwo = suite_shares.two\n", files)
    process = process_fingerprint()

    problems = [report.problem for report in get_report(make_plugin_app())]

    assert [problem.code for problem in problems if problem is not None] == ["mapper-failed", "mapper-failed"]
    assert modules_of("suite_shares") == []
    assert differences(process, process_fingerprint()) == []


def test_models_are_where_they_are_in_every_app_of_a_process(fake_dist: Distribution, make_plugin_app: MakeApp) -> None:
    """Also when the first one wants only one of the siblings."""
    install(fake_dist, "suite_wanted", "")
    owners = [
        get_schema(make_plugin_app(wanted=wanted)).owners["gate"].package for wanted in (["gate"], None, ["gate"])
    ]

    assert owners == ["suite_wanted.gate"] * 3
    assert [root for root, mapper in iter_mappers() if "suite_wanted.gate" in str(mapper.class_)] == owners[:1]
