"""The loops that are skipped where there is nothing to run run where there is."""

from __future__ import annotations

import typing as t

import pytest
from flask import Blueprint

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask


@pytest.mark.parametrize("method", ["before_request", "url_value_preprocessor"])
def test_functions_of_a_blueprint_run_for_its_requests(make_app: Callable[..., CustomFlask], method: str) -> None:
    """Those of the blueprints around it too, and for no other request; those of the app for every one."""
    ran: list[str] = []
    app = make_app(config={"MYAPP_BLUEPRINT_PACKAGES": ()})
    outer, inner, other = (Blueprint(name, __name__, url_prefix=f"/{name}") for name in ("outer", "inner", "other"))
    for blueprint in (outer, inner, other):
        blueprint.add_url_rule("/", "index", lambda: "")
        getattr(blueprint, method)(lambda *_, name=blueprint.name: ran.append(name))
    bare = Blueprint("bare", __name__, url_prefix="/bare")
    bare.add_url_rule("/", "index", lambda: "")
    inner.register_blueprint(bare)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    app.register_blueprint(other)
    app.add_url_rule("/", "index", lambda: "")

    def ask(path: str) -> list[str]:
        ran.clear()
        app.test_client().get(path)
        return list(ran)

    assert [ask(path) for path in ("/", "/other/", "/outer/", "/outer/inner/", "/outer/inner/bare/")] == [
        [],
        ["other"],
        ["outer"],
        ["outer", "inner"],
        ["outer", "inner"],
    ]
    app._got_first_request = False
    getattr(app, method)(lambda *_: ran.append("app"))
    assert [ask(path) for path in ("/", "/nothing", "/outer/")] == [["app"], ["app"], ["app", "outer"]]
