"""Blueprint modules: found, imported once, registered flat, reported honestly."""

from __future__ import annotations

import importlib
import logging
import typing as t
from http import HTTPStatus

import pytest

from myapp.core.discovery import ModuleReport, get_report, scan
from myapp.core.errors import BlueprintError

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"
PAGE = "from flask import Blueprint\nblueprint = Blueprint({name!r}, __name__)\n{more}\n"


def report_of(app: CustomFlask, name: str) -> ModuleReport:
    return next(report for report in get_report(app) if report.name == name)


def text_of(app: CustomFlask, path: str) -> str:
    response = app.test_client().get(path)
    assert response.status_code == HTTPStatus.OK, response.text
    return response.text


@pytest.mark.usefixtures("team")
def test_broken_module_is_executed_once(make_team_app: MakeApp) -> None:
    """However often the app is built again without what has failed, the body of a broken module runs once."""
    make_team_app()

    executed = importlib.import_module("team._log").executed

    assert sorted(executed) == ["team.api.v1.orders", "team.broken", "team.ruin"]


def test_true_error_is_reported_with_file_and_line(team: Path, make_team_app: MakeApp) -> None:
    """The report names the line that raised, not the one that imported."""
    app = make_team_app()

    report = report_of(app, "broken")

    assert report.state == "broken-import"
    assert report.problem is not None
    assert report.problem.summary.startswith(f"{team / 'broken.py'}:10: RuntimeError: the true error")


@pytest.mark.parametrize("error", ["asyncio.CancelledError", "type('Panic', (BaseException,), {})"])
def test_what_is_no_exception_stops_one_module(
    error: str, make_package: Callable[..., str], make_team_app: MakeApp
) -> None:
    """At the import and in ``enabled``."""
    raises = f"raise {error}"
    package = make_package(
        "crew",
        one=f"import asyncio\n{raises}\n",
        two=f"import asyncio\ndef enabled(app):\n    {raises}\n",
        good=PAGE.format(name="good", more="blueprint.add_url_rule('/good', 'good', lambda: 'good')"),
    )

    app = make_team_app(package)

    assert text_of(app, "/good") == "good"
    assert {name: report_of(app, name).state for name in ("one", "two")} == {
        "one": "broken-import",
        "two": "broken-register",
    }


def test_missing_dependency_is_reported_with_file_and_line(team: Path, make_team_app: MakeApp) -> None:
    """A module that imports what is not installed is told so, in the words of Python."""
    problem = report_of(make_team_app(), "api.v1.orders").problem

    assert problem is not None
    assert problem.summary == (
        f"{team / 'api/v1/orders.py'}:5: ModuleNotFoundError: No module named 'a_package_that_is_not_installed'"
    )


def test_error_in_an_imported_file_names_both(make_package: Callable[..., str], make_team_app: MakeApp) -> None:
    """The file that is wrong comes first, then the blueprint module that needed it."""
    package = make_package("crew", _deep="x = 1\nx.nothing\n", page="\nfrom . import _deep\n")

    problem = report_of(make_team_app(package), "page").problem

    assert problem is not None
    assert "_deep.py:2: AttributeError" in problem.summary
    assert "page.py:2)" in problem.summary


def test_syntax_error_is_reported_with_file_and_line(
    make_package: Callable[..., str], make_team_app: MakeApp, tmp_path: Path
) -> None:
    """A file that cannot be parsed has no traceback of its own."""
    package = make_package("crew", page="x = 1\ndef broken(:\n")

    problem = report_of(make_team_app(package), "page").problem

    assert problem is not None
    assert problem.summary.startswith(f"{tmp_path / 'crew/page.py'}:2: SyntaxError: invalid syntax")


@pytest.mark.usefixtures("team")
def test_neighbours_of_broken_modules_are_served(make_team_app: MakeApp) -> None:
    """What comes before and after a broken module or package is there."""
    app = make_team_app()

    assert text_of(app, "/people/") == "accounts"
    assert text_of(app, "/") == "zebra"
    assert text_of(app, "/shop/list") == "shop"


@pytest.mark.usefixtures("team")
def test_broken_child_leaves_parent_and_siblings_alive(make_team_app: MakeApp) -> None:
    """A broken ``api/v1/orders.py`` costs its own URLs only."""
    app = make_team_app()

    assert text_of(app, "/api/v1/") == "version one"
    assert text_of(app, "/api/v1/users/") == "users of one"
    assert text_of(app, "/api/v1/zones/") == "zones"
    assert text_of(app, "/api/v2/users/") == "users of two"


@pytest.mark.usefixtures("team")
def test_children_of_a_broken_package_are_reported(make_team_app: MakeApp) -> None:
    """They are not imported, which would run the package again, and the report says why."""
    app = make_team_app()

    child = report_of(app, "ruin.child")

    assert child.state == "broken-import"
    assert child.problem is not None
    assert child.problem.code == "broken-package"
    assert "team.ruin" in child.problem.summary


@pytest.mark.usefixtures("team")
def test_versions_have_their_own_users_and_error_handlers(make_team_app: MakeApp) -> None:
    """A handler in ``api/v1/__init__.py`` reaches everything below v1, and nothing else."""
    app = make_team_app()
    client = app.test_client()

    assert client.get("/api/v1/users/missing").json == {"handled_by": "v1"}
    assert client.get("/api/v2/users/missing").json == {"handled_by": "v2"}
    assert {"api.v1", "api.v1.users", "api.v2", "api.v2.users"} <= set(app.blueprints)


@pytest.mark.usefixtures("team")
def test_deprecated_version_says_farewell(make_team_app: MakeApp) -> None:
    """RFC 9745 and RFC 8594 headers are on everything below the version, and on nothing else."""
    client = make_team_app().test_client()

    old = client.get("/api/v1/zones/").headers
    new = client.get("/api/v2/users/").headers

    assert old["Deprecation"] == "@1769817600"
    assert old["Sunset"] == "Sun, 31 Jan 2027 00:00:00 GMT"
    assert old.getlist("Link") == ['<https://example.com/sunset>; rel="sunset"', '</api/v2>; rel="successor-version"']
    assert not {"Deprecation", "Sunset", "Link"} & set(new.keys())


@pytest.mark.usefixtures("team")
def test_reexported_blueprint_registers_once(make_team_app: MakeApp) -> None:
    """A package that re-exports ``views.py`` serves it; the module itself is reported as already served."""
    app = make_team_app()

    assert [rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.endswith("list_")] == ["/shop/list"]
    assert report_of(app, "shop").rules == ("GET /shop/list",)
    assert report_of(app, "shop.views").state == "ignored"
    assert "team.shop" in report_of(app, "shop.views").reason


def test_the_module_that_made_a_blueprint_decides(make_package: Callable[..., str], make_team_app: MakeApp) -> None:
    """An alphabetically earlier module that imports the object does not take its ``url_prefix`` away."""
    page = PAGE.format(name="page", more="url_prefix = '/own'\nblueprint.add_url_rule('/', view_func=lambda: 'page')")
    package = make_package("crew", another="from .page import blueprint\n", page=page)

    assert text_of(make_team_app(package), "/own/") == "page"


@pytest.mark.usefixtures("team")
def test_half_registered_blueprint_leaves_nothing(make_team_app: MakeApp) -> None:
    """Its route is not there and its ``before_app_request`` does not run, as if the module did not exist."""
    app = make_team_app()
    client = app.test_client()

    assert client.get("/half").status_code == HTTPStatus.NOT_FOUND
    assert client.get("/people/").status_code == HTTPStatus.OK
    assert report_of(app, "half").state == "broken-register"
    assert "half.py" in str(report_of(app, "half").problem)


@pytest.mark.usefixtures("team")
def test_strict_mode_raises_the_first_error(make_team_app: MakeApp) -> None:
    """The start fails with the module and the true error."""
    with pytest.raises(BlueprintError, match=r"orders\.py:5: ModuleNotFoundError") as caught:
        make_team_app(strict=True)

    assert caught.value.module == "team.api.v1.orders"


@pytest.mark.usefixtures("team")
def test_lenient_mode_is_loud(make_team_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """Each problem is logged once, with file and line, however often the app was built."""
    with caplog.at_level(logging.ERROR, "myapp.discovery"):
        make_team_app()

    messages = [record.getMessage() for record in caplog.records if record.name == "myapp.discovery"]
    assert len([message for message in messages if "team.broken is not served" in message]) == 1
    assert any("broken.py:10" in message for message in messages)


@pytest.mark.usefixtures("team")
def test_disabled_module_says_why(make_team_app: MakeApp) -> None:
    """``ENABLED = False`` is a state with a reason, and no problem."""
    app = make_team_app()

    report = report_of(app, "disabled")

    assert (report.state, report.problem) == ("skipped", None)
    assert "ENABLED is False" in report.reason
    assert app.test_client().get("/disabled").status_code == HTTPStatus.NOT_FOUND


def test_enabled_is_asked_with_the_app(make_package: Callable[..., str], make_team_app: MakeApp) -> None:
    """A package whose ``enabled(app)`` says no takes its modules with it, and they are not imported."""
    package = make_package(
        "crew",
        beta__slash____init__="def enabled(app):\n    return app.config.get('BETA')\n",
        beta__slash__page=PAGE.format(name="page", more="blueprint.add_url_rule('/', view_func=lambda: 'beta')"),
    )

    off, on = make_team_app(package), make_team_app(package, BETA=True)

    assert {report_of(off, "beta").state, report_of(off, "beta.page").state} == {"skipped"}
    assert text_of(on, "/beta/") == "beta"


@pytest.mark.usefixtures("team")
def test_misspelt_attribute_gets_a_suggestion(make_team_app: MakeApp) -> None:
    """A ``blue_print`` is not served, and the report says what it should be called."""
    report = report_of(make_team_app(), "misspelt")

    assert report.state == "ignored"
    assert report.problem is not None
    assert "blue_print" in report.problem.summary
    assert "Did you mean blueprint?" in report.problem.summary


@pytest.mark.usefixtures("team")
def test_module_without_a_blueprint_is_ignored_without_error(make_team_app: MakeApp) -> None:
    """A module of helpers is listed, and is no problem."""
    report = report_of(make_team_app(), "helpers")

    assert (report.state, report.problem) == ("ignored", None)
    assert report.reason


@pytest.mark.usefixtures("team")
def test_folder_without_init_is_a_warning(make_team_app: MakeApp) -> None:
    """Python files that nobody looks at are reported; a folder of templates is not."""
    app = make_team_app()

    problem = report_of(app, "loose").problem

    assert problem is not None
    assert problem.code == "no-init-file"
    assert not {"templates", "tests", "test_team", "conftest", "_log"} & {report.name for report in get_report(app)}


@pytest.mark.usefixtures("team")
def test_submodule_named_blueprint_is_no_attribute(make_team_app: MakeApp) -> None:
    """Importing ``inner/blueprint.py`` sets ``inner.blueprint``; a second app sees what the first saw."""
    apps = [make_team_app(), make_team_app()]

    assert [text_of(app, "/inner/page") for app in apps] == ["inner", "inner"]
    assert [report_of(app, "inner").state for app in apps] == ["active", "active"]


@pytest.mark.usefixtures("team")
def test_fallback_gets_only_what_nobody_claims(make_team_app: MakeApp) -> None:
    """A module that is alphabetically later serves ``/``; the rest of the fallback is there."""
    app = make_team_app()

    assert text_of(app, "/") == "zebra"
    assert text_of(app, "/about") == "about"


@pytest.mark.usefixtures("team")
def test_commands_of_a_blueprint_appear_under_its_name(make_team_app: MakeApp) -> None:
    """``bp.cli`` commands are ``flask <blueprint> <command>``."""
    result = make_team_app().test_cli_runner().invoke(args=["accounts", "count"])

    assert (result.exit_code, result.output) == (0, "three accounts\n")


@pytest.mark.usefixtures("team")
def test_operator_moves_modules_and_packages(make_team_app: MakeApp) -> None:
    """``MYAPP_BLUEPRINT_PREFIXES`` wins over the module, the package and the blueprint."""
    app = make_team_app(MYAPP_BLUEPRINT_PREFIXES={"accounts": "/staff", "api.v1": "/old", "api.v1.zones": "/"})

    assert text_of(app, "/staff/") == "accounts"
    assert text_of(app, "/api/old/users/") == "users of one"
    assert app.test_client().get("/people/").status_code == HTTPStatus.NOT_FOUND


def test_url_prefix_comes_from_the_module_then_the_blueprint(
    make_package: Callable[..., str], make_team_app: MakeApp
) -> None:
    """A module's ``url_prefix`` wins over its blueprint's; without either the rules say it all, as in Flask."""
    rule = "blueprint.add_url_rule('/page', view_func=lambda: __name__)"
    package = make_package(
        "crew",
        bare=PAGE.format(name="bare", more=rule),
        module=PAGE.format(name="module", more=f"url_prefix = '/module'\nblueprint.url_prefix = '/lost'\n{rule}"),
        own=PAGE.format(name="own", more=f"blueprint.url_prefix = '/own'\n{rule}"),
    )
    app = make_team_app(package)

    assert [text_of(app, path) for path in ("/page", "/module/page", "/own/page")] == [
        "crew.bare",
        "crew.module",
        "crew.own",
    ]
    assert [report_of(app, name).prefix for name in ("bare", "module", "own")] == ["", "/module", "/own"]


def test_init_app_runs_before_the_blueprint_is_registered(
    make_package: Callable[..., str], make_team_app: MakeApp
) -> None:
    """The module prepares the app that its blueprint is going to be registered on."""
    more = (
        "def init_app(app):\n    app.config['SEEN'] = 'page' in app.blueprints\n"
        "blueprint.record(lambda state: state.app.config.__setitem__('AFTER', 'SEEN' in state.app.config))"
    )
    app = make_team_app(make_package("crew", page=PAGE.format(name="page", more=more)))

    assert (app.config["SEEN"], app.config["AFTER"]) == (False, True)


def test_taken_name_is_a_problem_that_names_both(make_package: Callable[..., str], make_team_app: MakeApp) -> None:
    """Of two blueprints of one name the first is served, and the other's report says whose name it is."""
    first = PAGE.format(name="page", more="blueprint.add_url_rule('/one', view_func=lambda: 'one')")
    package = make_package("crew", first=first, second=PAGE.format(name="page", more=""))
    app = make_team_app(package)

    problem = report_of(app, "second").problem

    assert text_of(app, "/one") == "one"
    assert problem is not None
    assert "crew.first" in problem.summary


def test_wrong_object_is_a_problem(make_package: Callable[..., str], make_team_app: MakeApp) -> None:
    """``blueprint = "page"`` is told what belongs there."""
    problem = report_of(make_team_app(make_package("crew", page="blueprint = 'page'\n")), "page").problem

    assert problem is not None
    assert "blueprint holds a str, not a flask.Blueprint" in problem.summary


def test_package_that_is_not_there_is_reported(make_team_app: MakeApp) -> None:
    """A misspelt blueprint package does not stop the app, and is not passed over."""
    app = make_team_app("no_such_package")

    (report,) = get_report(app)

    assert report.state == "broken-import"
    assert "No module named 'no_such_package'" in str(report.problem)


@pytest.mark.usefixtures("team")
def test_two_apps_share_the_blueprints(make_team_app: MakeApp) -> None:
    """Built alternately, each app has its own prefixes, and neither changes the blueprint objects."""
    for _ in range(10):
        plain, moved = make_team_app(), make_team_app(MYAPP_BLUEPRINT_PREFIXES={"accounts": "/staff"})
        assert text_of(plain, "/people/") == text_of(moved, "/staff/") == "accounts"
        assert moved.test_client().get("/people/").status_code == HTTPStatus.NOT_FOUND
        assert plain.test_client().get("/api/v1/zones/").headers.getlist("Deprecation") == ["@1769817600"]


def test_reports_are_immutable_and_sorted(team: Path, make_team_app: MakeApp) -> None:
    """The report is a tuple in the order of import names, whatever happened in which order."""
    report = get_report(make_team_app())

    assert isinstance(report, tuple)
    assert [one.module for one in report] == sorted(one.module for one in report)


@pytest.mark.usefixtures("team")
def test_scan_names_the_modules_without_importing_one() -> None:
    """What can be said when the app cannot boot: broken packages and their modules included."""
    names = [report.name for report in scan("team")]

    assert {"accounts", "api.v1.orders", "ruin", "ruin.child", "zebra"} <= set(names)
    assert not {"_log", "tests", "conftest"} & set(names)


@pytest.mark.parametrize("name", ["json.decoder", "json.decoder.nothing", "json.nothing"])
def test_blueprint_package_that_is_none(name: str, make_app: MakeApp) -> None:
    """A module, or nothing at all, is a problem of that package; in strict mode it is said so."""
    config = {"MYAPP_BLUEPRINT_PACKAGES": name}

    app = make_app(config=config, strict=False)

    [report] = get_report(app)
    assert report.problem is not None
    assert name in report.problem.summary
    with pytest.raises(BlueprintError, match=name):
        make_app(config=config, strict=True)
