"""The 404 of debug mode: what the path may have been meant for, and what would serve it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from flask import Blueprint, abort
from flask.views import MethodView

from myapp.core.ops import explain_path
from myapp.core.ops.explain import find_closest, owner_of

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask
MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

HTML = {"Accept": "text/html"}


@pytest.fixture
def debug_app(make_app: MakeApp) -> CustomFlask:
    """Return an app with the core's blueprints in debug mode."""
    return make_app(config={"PROPAGATE_EXCEPTIONS": False, "DEBUG": True})


def test_miss_names_the_closest_rules(debug_app: CustomFlask) -> None:
    """As a problem and as a page."""
    client = debug_app.test_client()

    problem, page = client.get("/demo/ad"), client.get("/demo/ad", headers=HTML)

    assert (problem.status_code, problem.mimetype) == (404, "application/problem+json")
    assert problem.json["closest"] == ["/demo/add"]
    assert problem.json["not_served"] == []
    assert "Did you mean <code>/demo/add</code>?" in page.text


def test_miss_says_nothing_outside_of_debug(make_team_app: MakeApp, team: Path) -> None:
    """Neither rules nor files nor what is off."""
    client = make_team_app(PROPAGATE_EXCEPTIONS=False).test_client()

    for path in ("/accounts/x", "/broken/x"):
        problem, page = client.get(path), client.get(path, headers=HTML)
        assert {"closest", "not_served"}.isdisjoint(problem.json)
        for text in (problem.text, page.text):
            assert "team" not in text
            assert "Did you mean" not in text


def test_404_of_a_view_is_its_own(debug_app: CustomFlask) -> None:
    """A record that is not there is no misspelt path, and other errors are no misses."""

    @debug_app.get("/demo/<int:number>")
    def show(number: int) -> t.Any:
        abort(404)

    client = debug_app.test_client()
    assert "closest" not in client.get("/demo/7").json
    assert "closest" not in client.post("/demo/7").json
    assert "closest" in client.get("/demo/seven").json


@pytest.mark.parametrize(
    ("path", "module", "state", "reason"),
    [
        ("/broken", "team.broken", "broken-import", "broken.py:10: RuntimeError: the true error"),
        ("/broken/deep/x", "team.broken", "broken-import", "broken.py:10: RuntimeError: the true error"),
        ("/half", "team.half", "broken-register", "half.py:18: RuntimeError: the blueprint cannot be registered"),
        ("/disabled", "team.disabled", "skipped", "ENABLED is False"),
        ("/ruin/child", "team.ruin.child", "broken-import", "its package team.ruin is broken"),
        ("/misspelt", "team.misspelt", "ignored", "blue_print"),
    ],
)
def test_miss_names_what_would_serve_it(
    path: str, module: str, state: str, reason: str, make_team_app: MakeApp, team: Path
) -> None:
    """Failed, switched off or misspelt: the module, its state and what stopped it, with file and line."""
    client = make_team_app(PROPAGATE_EXCEPTIONS=False, DEBUG=True).test_client()

    problem, page = client.get(path), client.get(path, headers=HTML)

    found = next(one for one in problem.json["not_served"] if one["module"] == module)
    assert found["state"] == state
    assert reason in found["reason"]
    assert module in page.text


def test_miss_names_a_module_that_is_no_python(make_team_app: MakeApp, make_package: Callable[..., str]) -> None:
    """The prefix that it would have is read from its text; the operator's and the package's count."""
    package = make_package(
        "missed",
        one='blueprint = Blueprint("one", __name__, url_prefix="/first")\ndef (:\n',
        two='url_prefix = "/second"\ndef (:\n',
        three="def (:\n",
        api__slash____init__='url_prefix = "/service"',
        api__slash__four='@bp.get("/fourth/<int:id>")\ndef (:\n',
    )
    app = make_team_app(
        package, PROPAGATE_EXCEPTIONS=False, DEBUG=True, MYAPP_BLUEPRINT_PREFIXES={"three": "/operator"}
    )

    def names(path: str) -> list[str]:
        return [one["name"] for one in app.test_client().get(path).json["not_served"]]

    assert names("/first/x") == ["one"]
    assert names("/second") == ["two"]
    assert names("/operator/y") == ["three"]
    assert names("/service/fourth/7") == ["api.four"]
    assert names("/firstly") == names("/three") == names("/service/other") == names("/fourth") == []


def test_miss_names_plugins(make_plugin_app: MakeApp, make_folder: Callable[..., Path]) -> None:
    """By the mount of the manifest, by that of the operator, or by the name."""
    folder = make_folder(
        "plugins",
        {
            "shop.py": '__plugin__ = {"name": "shop", "mount": "/store"}\nraise RuntimeError("no stock")\n',
            "blog.py": "def (:\n",
            "wiki.py": "",
            "fine.py": "",
        },
    )
    app = make_plugin_app(
        folder,
        PROPAGATE_EXCEPTIONS=False,
        DEBUG=True,
        MYAPP_PLUGINS_DISABLED="wiki",
        MYAPP_BLUEPRINT_PREFIXES={"wiki": "/know"},
        wanted=None,
    )

    def find(path: str) -> list[tuple[str, str, str]]:
        answer = app.test_client().get(path).json
        return [(one["name"], one["state"], one["reason"]) for one in answer["not_served"]]

    [(name, state, reason)] = find("/store/x")
    assert (name, state) == ("shop", "broken-import")
    assert reason.endswith("shop.py:2: RuntimeError: no stock")
    [(name, state, reason)] = find("/blog")
    assert (name, state) == ("blog", "broken-import")
    assert "blog.py:1: SyntaxError" in reason
    assert find("/know/x") == [("wiki", "disabled", "MYAPP_PLUGINS_DISABLED names it.")]
    assert find("/fine/x") == find("/shop") == []


def test_closest_takes_the_path_for_variables(app: CustomFlask) -> None:
    """What stands for a variable is never misspelt; the wrong type of one is a miss of its rule."""
    app.add_url_rule("/users/<int:user_id>/orders", endpoint="orders")

    assert find_closest(app, "/users/12/order")[0] == "/users/<int:user_id>/orders"
    assert find_closest(app, "/users/x/orders")[0] == "/users/<int:user_id>/orders"
    assert find_closest(app, "/nothing/like/that/here") == []


def test_path_report_names_view_and_owner(app: CustomFlask) -> None:
    """Functions and class-based views; methods of every rule of the path."""

    class Shelf(MethodView):
        def get(self) -> str:
            return ""

    app.add_url_rule("/shelf", view_func=Shelf.as_view("shelf"))
    app.add_url_rule("/shelf", view_func=lambda: "", endpoint="put", methods=["PUT"])

    report, own = explain_path(app, "/shelf"), explain_path(app, "/demo/add")

    assert (report.status, report.endpoint, report.owner) == (200, "shelf", "the application")
    assert {"GET", "PUT"} <= set(report.methods)
    assert report.view.startswith(f"{Path(__file__)}:")
    assert own.owner == "the blueprint module myapp.blueprints.demo"
    assert Path(own.view.rpartition(":")[0]).name == "demo.py"
    assert explain_path(app, "/shelf", "DELETE").status == 405
    assert explain_path(app, "/static/x").endpoint == "static"
    assert explain_path(app, "/demo/add?a=1&b=/2") == own


def test_redirect_is_explained(app: CustomFlask) -> None:
    """A missing slash."""
    app.add_url_rule("/folder/", endpoint="folder", view_func=lambda: "")

    report = explain_path(app, "/folder")

    assert (report.status, report.reason) == (308, "It is redirected to http://localhost/folder/.")


def test_owner_of_nested_blueprints_and_plugins(make_app: MakeApp) -> None:
    """A plugin owns what lies below its name."""
    inner, outer = Blueprint("inner", __name__), Blueprint("shop", __name__)
    inner.add_url_rule("/x", endpoint="x", view_func=lambda: "")
    outer.register_blueprint(inner)

    class Shop:
        name = "shop"

        def myapp_blueprints(self, app: CustomFlask, plugin: t.Any) -> Blueprint:
            return outer

    assert owner_of(make_app(Shop()), "shop.inner.x") == "the plugin shop"
