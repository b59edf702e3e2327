"""The law: an app with a broken plugin is the app with that plugin disabled, whatever way it has to fail."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import typing as t
import weakref
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest
import sqlalchemy as sa
from flask import request_started

from myapp import User, get_db
from myapp.core.data import drop_models, iter_mappers
from myapp.core.errors import BlueprintError, PluginError
from myapp.core.plugins import get_report
from myapp.core.plugins.finder import install_finder
from myapp.testing import EVIL_PLUGINS
from myapp.testing.fingerprint import differences, fingerprint, process_fingerprint

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

GOOD = """
from flask import Blueprint
from sqlalchemy.orm import Mapped, mapped_column
from myapp import Model

bp = Blueprint("good", __name__)
bp.add_url_rule("/", "index", lambda: "good")


class Row(Model):
    __tablename__ = "good_rows"

    id: Mapped[int] = mapped_column(primary_key=True)


def myapp_configure(app, plugin):
    app.jinja_env.filters["good"] = str


def myapp_blueprints(app, plugin):
    return bp
"""


HALF_IMPORTED = {
    "half_imported/__init__.py": "from . import models\nraise RuntimeError('halfway')\n",
    "half_imported/models.py": """
from sqlalchemy.orm import Mapped, mapped_column
from myapp import Model


class Half(Model):
    __tablename__ = "half_imported_rows"

    id: Mapped[int] = mapped_column(primary_key=True)
""",
}
BREAKS = """
def myapp_commands(app, plugin):
    assert "BREAK" not in app.config
"""
CHANGES = """
def myapp_configure(app, plugin):
    app.config["HOSTS"].append("evil")
    app.config["MAP"]["a"] = 2
    raise RuntimeError
"""


@pytest.mark.parametrize("name", [*sorted(EVIL_PLUGINS), "half_imported"])
def test_broken_is_disabled(name: str, zoo: Path, make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """In everything that a plugin can add to an app or leave in the process."""
    good = make_folder("good", {"good.py": GOOD})
    make_folder("zoo", HALF_IMPORTED)
    disabled, process = fingerprint(make_plugin_app(zoo, good, MYAPP_PLUGINS="good")), process_fingerprint()
    before = set(sys.modules)

    broken = make_plugin_app(zoo, good, MYAPP_PLUGINS=f"{name},good")

    assert differences(disabled, fingerprint(broken)) == []
    assert differences(process, process_fingerprint()) == []
    assert differences(disabled, fingerprint(make_plugin_app(zoo, good, MYAPP_PLUGINS="good"))) == []
    assert broken.test_client().get(f"/{name}/").status_code == HTTPStatus.NOT_FOUND
    assert broken.test_client().get("/good/").text == "good"
    assert not {module for module in set(sys.modules) - before if name in module}
    assert not [module for module in vars(importlib.import_module("myapp_plugins")) if name in module]


def test_fingerprint_sees_each_kind_of_thing(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The law above would notice each of these."""
    text = """
import click
from flask import Blueprint, request_finished
from sqlalchemy.orm import Mapped, mapped_column, relationship
import sqlalchemy as sa
from myapp import Model, User

bp = Blueprint("thing", __name__)
bp.add_url_rule("/", "index", lambda: "")


class Row(Model):
    __tablename__ = "thing_rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.__table__.c.id))
    user = relationship(User, backref="things")


def f(*args, **kwargs):
    return {}


def myapp_configure(app, plugin):
    for register in (app.before_request, app.after_request, app.teardown_request, app.teardown_appcontext,
                     app.context_processor, app.shell_context_processor, app.url_value_preprocessor,
                     app.url_defaults, app.template_filter("thing"), app.template_global("thing"),
                     app.template_test("thing"), app.errorhandler(410), app.cli.command("thing-top")):
        register(f)
    app.config["THING"] = 1
    app.extensions["thing"] = 1
    app.url_map.converters["thing"] = app.url_map.converters["int"]
    app.url_build_error_handlers.append(f)
    app.jinja_env.add_extension("jinja2.ext.do")
    request_finished.connect(f)
    app.wsgi_app = f


def myapp_blueprints(app, plugin):
    return bp


def myapp_migrations(plugin):
    return "versions"
"""
    folder = make_folder("plugins", {"thing/__init__.py": text, "thing/versions/.keep": ""})

    without = fingerprint(make_plugin_app(folder, MYAPP_PLUGINS=""))
    app = make_plugin_app(folder)
    found = differences(without, fingerprint(app))

    assert get_report(app)[0].state == "active"
    kinds = {line.split()[1].rstrip(":") for line in found}
    # What wraps the app is wrapped again by the core, which is why the outermost function is the same.
    assert set(without) - kinds == {"wsgi"}
    # Its backref would stay on the core's model, and every test that comes later would need its table.
    drop_models(frozenset({get_report(app)[0].module}))


def test_half_registered_plugin_does_nothing(zoo: Path, make_plugin_app: MakeApp) -> None:
    """Its route is a 404, and its functions for the whole app never run, nor do its receivers."""
    before = set(request_started.receivers)
    app = make_plugin_app(zoo, MYAPP_PLUGINS="record_raises,mapper_broken,configure_raises,duplicate_endpoint")
    client = app.test_client()
    app.add_url_rule("/own", view_func=lambda: "own", endpoint="own")

    assert client.get("/own").text == "own"
    for name in ("record_raises", "mapper_broken", "configure_raises", "duplicate_endpoint"):
        assert client.get(f"/{name}/").status_code == HTTPStatus.NOT_FOUND
    assert request_started.receivers.keys() <= before


def test_queries_of_the_core_survive_a_broken_relative(zoo: Path, make_plugin_app: MakeApp) -> None:
    """A model that cannot be configured, with a backref on the core's: that alone would make every query fail."""
    app = make_plugin_app(zoo, MYAPP_PLUGINS="mapper_broken")

    with app.task():
        assert get_db().scalars(sa.select(User)).all() == []
    assert not hasattr(User, "mapper_broken_orders")
    problem = next(report.problem for report in get_report(app) if report.name == "mapper_broken")
    assert problem is not None
    assert problem.code == "mapper-failed"
    assert "'Nope'" in problem.summary
    assert str(zoo / "mapper_broken.py") in problem.summary


def test_other_relatives_of_the_core_are_not_blamed(
    zoo: Path, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """A plugin with a sound relationship to the core's model is loaded beside the broken one, before it or after it."""
    sound = """
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship
from myapp import Model, User


class Row(Model):
    __tablename__ = "NAME_rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.__table__.c.id))
    user = relationship(User, backref="NAME")
"""
    folder = make_folder("kin", {f"{name}.py": sound.replace("NAME", name) for name in ("aa_kin", "zz_kin")})
    states = [
        {report.name: report.state for report in get_report(make_plugin_app(*folders, MYAPP_PLUGINS=names))}
        for folders in ((zoo, folder), (folder, zoo))
        for names in ("aa_kin,mapper_broken,zz_kin",)
    ]

    for found in states:
        assert [found[name] for name in ("aa_kin", "zz_kin", "mapper_broken")] == [
            "active",
            "active",
            "broken-register",
        ]
    drop_models(frozenset({"myapp_plugins.aa_kin", "myapp_plugins.zz_kin"}))


def test_receivers_of_the_others_survive_a_second_build(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """What a module connects when it is imported stays: it is not imported again. A hook connects once."""
    text = """
from flask import request_started

CALLS = []


@request_started.connect
def imported(sender, **extra):
    CALLS.append("imported")


def myapp_configure(app, plugin):
    request_started.connect(lambda sender, **extra: CALLS.append("configured"), app, weak=False)
"""
    folder = make_folder("plugins", {"listener.py": text, "zzz.py": BREAKS})
    before = set(request_started.receivers)
    app = make_plugin_app(folder, BREAK=True)
    app.add_url_rule("/own", view_func=lambda: "own", endpoint="own")

    app.test_client().get("/own")

    module = importlib.import_module(get_report(app)[0].module)
    assert sorted(module.CALLS) == ["configured", "imported"]
    assert len(request_started.receivers.keys() - before) == 2
    for receiver in list(request_started.receivers_for(app)):
        request_started.disconnect(receiver)


def test_body_runs_once_however_often_the_app_is_built(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Once for each ``create_app``, of a plugin that fails at the import and of one that fails later."""
    count = "import builtins\nbuiltins.body_runs = [*getattr(builtins, 'body_runs', ()), __name__]\n"
    files = {f"fails_{number}.py": f"{count}raise RuntimeError" for number in range(3)}
    files |= {"late.py": f"{count}def myapp_commands(app, plugin):\n    raise RuntimeError\n", "zzz.py": count}
    folder = make_folder("plugins", files)
    import builtins

    runs: t.Any = builtins
    for expected in (1, 2):
        make_plugin_app(folder)
        counts = {name: [run.split("__")[0] for run in runs.body_runs].count(name) for name in runs.body_runs}
        del counts["myapp_plugins.zzz"]
        assert set(counts.values()) == {expected}
        assert len(counts) == 4
    # It was registered, and stays imported.
    assert runs.body_runs.count("myapp_plugins.zzz") == 1
    del runs.body_runs


def test_repaired_plugin_is_loaded_by_the_next_app(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Nothing of the broken one is in the way: neither its module, nor its submodules, nor its tables."""
    model = "from .models import Row\n"
    row = GOOD.partition("def myapp")[0].replace('"good', '"mended')
    folder = make_folder("plugins", {"mended/__init__.py": f"{model}raise RuntimeError", "mended/models.py": row})
    assert get_report(make_plugin_app(folder))[0].state == "broken-import"

    make_folder("plugins", {"mended/__init__.py": f"{model}VALUE = 'a longer text than before'\n"})
    make_folder("plugins", {"mended/models.py": row + "EXTRA = 'this one is longer as well'\n"})
    app = make_plugin_app(folder)

    report = get_report(app)[0]
    assert (report.state, report.module) == ("active", "myapp_plugins.mended")
    assert importlib.import_module("myapp_plugins.mended.models").EXTRA


def test_failed_build_keeps_no_app_alive(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """The traceback is kept as a text: the exception would hold every frame, and each frame the app."""
    seen: list[weakref.ref[t.Any]] = []

    class Watcher:
        name = "aaa_watcher"

        def myapp_configure(self, app: CustomFlask, plugin: t.Any) -> None:
            seen.append(weakref.ref(app))

    class Fails:
        name = "fails"

        def myapp_commands(self, app: CustomFlask, plugin: t.Any) -> None:
            raise RuntimeError("no commands")

    app = make_plugin_app(wanted=[Watcher(), Fails()])
    gc.collect()

    assert [one() is not None for one in seen] == [False, True]
    report = next(report for report in get_report(app) if report.name == "fails")
    assert report.traceback.startswith("Traceback (most recent call last)")
    assert "no commands" in report.traceback
    assert report.steps == ("found", "planned", "imported", "configured", "blueprints")


def test_dependents_of_a_broken_plugin_leave_no_trace(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """They were imported, and hold what is gone: the next app imports both anew."""
    base = f"{BREAKS}\nclass Thing: pass\n"
    kin = "__plugin__ = {'requires': {'basis': ''}}\nfrom myapp_plugins.basis import Thing\n"
    folder = make_folder("plugins", {"basis.py": base, "kin.py": kin})

    broken = make_plugin_app(folder, BREAK=True)
    assert [report.state for report in get_report(broken)] == ["broken-register", "missing-dependency"]
    whole = make_plugin_app(folder)

    assert [report.state for report in get_report(whole)] == ["active", "active"]
    basis, relative = (importlib.import_module(f"myapp_plugins.{name}") for name in ("basis", "kin"))
    assert relative.Thing is basis.Thing


def test_plugin_of_another_app_is_left_alone(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """It fails here and serves there: its module and its models stay, because they are used."""
    text = (
        GOOD.replace('"good', '"shared') + "\ndef myapp_commands(app, plugin):\n    assert 'BREAK' not in app.config\n"
    )
    folder = make_folder("plugins", {"shared.py": text})
    first = make_plugin_app(folder)
    module = importlib.import_module("myapp_plugins.shared")

    second = make_plugin_app(folder, BREAK=True)

    assert get_report(second)[0].state == "broken-register"
    assert sys.modules["myapp_plugins.shared"] is module
    assert module.Row in [mapper.class_ for _, mapper in iter_mappers()]
    assert first.test_client().get("/shared/").status_code == HTTPStatus.OK


def test_threads_build_one_after_the_other(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """What fails in one is not taken away from another that has just found it: each has a whole plugin, or none."""
    text = GOOD.replace('"good', '"threaded') + BREAKS
    folder = make_folder("plugins", {"threaded.py": text})
    start = threading.Barrier(4)

    def build(number: int) -> tuple[str, bool]:
        start.wait(timeout=30)
        app = make_plugin_app(folder, **({"BREAK": True} if number % 2 else {}))
        report = get_report(app)[0]
        module = sys.modules.get(report.module)
        is_mapped = module is not None and module.Row in [mapper.class_ for _, mapper in iter_mappers()]
        return report.state, is_mapped

    with ThreadPoolExecutor(max_workers=4) as pool:
        results = list(pool.map(build, range(4)))

    assert results == [("active", True), ("broken-register", False)] * 2


def test_strict_start_that_fails_leaves_no_trace(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """There is no app: neither the broken one nor the others stay imported."""
    folder = make_folder("plugins", {"strict_good.py": "", "strict_zzz.py": "raise RuntimeError"})

    with pytest.raises(PluginError):
        make_plugin_app(folder, strict=True)

    assert not [name for name in sys.modules if "strict_" in name and name.startswith("myapp_plugins")]
    assert not [name for name in install_finder()._modules if "strict_" in name]


@pytest.mark.parametrize("interrupt", ["KeyboardInterrupt", "GeneratorExit"])
def test_interrupt_passes_and_leaves_no_trace(
    interrupt: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """Who presses Ctrl-C wants to stop; what was half imported is not found by the next try."""
    folder = make_folder("plugins", {"stop/__init__.py": f"from . import part\nraise {interrupt}", "stop/part.py": ""})

    with pytest.raises((KeyboardInterrupt, GeneratorExit)):
        make_plugin_app(folder)

    assert not [name for name in sys.modules if name.startswith("myapp_plugins.stop")]


def test_configuration_that_a_failed_plugin_changed_is_as_before(
    make_folder: MakeFolder, make_plugin_app: MakeApp, tmp_path: Path
) -> None:
    """Also inside of a list: each build begins with the values that were loaded."""
    folder = make_folder("plugins", {"changes.py": CHANGES})

    app = make_plugin_app(folder, HOSTS=["good"], MAP={"a": 1})

    assert (app.config["HOSTS"], app.config["MAP"]) == (["good"], {"a": 1})


READY_FAILS = """
from flask import request_started
__plugin__ = {"name": "unready", "critical": CRITICAL}


def heard(sender, **extra):
    pass


def myapp_configure(app):
    request_started.connect(heard)


def myapp_ready(app):
    raise RuntimeError
"""


@pytest.mark.parametrize("is_critical", [True, False])
def test_start_that_fails_at_the_last_hook_leaves_no_trace(
    is_critical: bool, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """In strict mode, and of a critical plugin: there is no app, though all of it was built."""
    folder = make_folder("plugins", {"unready.py": READY_FAILS.replace("CRITICAL", str(is_critical)), "good.py": GOOD})
    process = process_fingerprint()

    with pytest.raises(PluginError):
        make_plugin_app(folder, strict=not is_critical)

    assert differences(process, process_fingerprint()) == []


@pytest.mark.parametrize("strict", [True, False])
def test_broken_blueprint_module_hears_nothing(strict: bool, fake_dist: Callable[..., Path], make_app: MakeApp) -> None:
    """It stays imported, and the app that it has connected its receiver for is thrown away."""
    source = """
from flask import Blueprint, request_started
bp = Blueprint("NAME", __name__)
SEEN = []


def heard(sender, **extra):
    SEEN.append(sender)


def init_app(app):
    request_started.connect(heard)
    FAIL
"""
    files = {"team_heard/__init__.py": ""}
    for name, fail in (("broken", "raise RuntimeError"), ("whole", "")):
        files[f"team_heard/{name}.py"] = source.replace("NAME", name).replace("FAIL", fail)
    fake_dist("team-heard", "1.0", "", files)
    config = {"MYAPP_BLUEPRINT_PACKAGES": "team_heard"}
    if strict:
        with pytest.raises(BlueprintError):
            make_app(config=config, strict=True)

    app = make_app(config=config, strict=False)
    app.test_client().get("/")

    seen = {name: importlib.import_module(f"team_heard.{name}").SEEN for name in ("broken", "whole")}
    assert seen == {"broken": [], "whole": [app]}
