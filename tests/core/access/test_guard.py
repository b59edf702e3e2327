"""`scopes` and `public`: on every kind of view, and what is refused where it is written."""

from __future__ import annotations

import typing as t

import pytest
from flask import Blueprint
from flask.views import MethodView

from myapp import get_user, public, scopes
from myapp.testing import bearer

if t.TYPE_CHECKING:
    from myapp import CustomFlask

ANN = "ann@example.com"
KINDS = ["plain", "async", "method", "async-method", "decorators", "blueprint"]


@pytest.fixture
def app(db_app: CustomFlask) -> CustomFlask:
    """Return an app with a view of every kind, each for the scopes `a` and `b`."""

    @db_app.get("/plain")
    @scopes("a", "b")
    def plain() -> str:
        return str(get_user().address)  # type: ignore[union-attr]

    @db_app.get("/async")
    @scopes("a", "b")
    async def asynchronous() -> str:
        return str(get_user().address)  # type: ignore[union-attr]

    class Method(MethodView):
        @scopes("a", "b")
        def get(self) -> str:
            return str(get_user().address)  # type: ignore[union-attr]

    class AsyncMethod(MethodView):
        @scopes("a", "b")
        async def get(self) -> str:
            return str(get_user().address)  # type: ignore[union-attr]

    class Decorated(MethodView):
        decorators: t.ClassVar[list[t.Any]] = [scopes("a", "b")]

        def get(self) -> str:
            return str(get_user().address)  # type: ignore[union-attr]

    blueprint = Blueprint("things", __name__)
    blueprint.get("/blueprint")(scopes("a", "b")(lambda: str(get_user().address)))  # type: ignore[union-attr]
    db_app.add_url_rule("/method", view_func=Method.as_view("method"))
    db_app.add_url_rule("/async-method", view_func=AsyncMethod.as_view("async-method"))
    db_app.add_url_rule("/decorators", view_func=Decorated.as_view("decorators"))
    db_app.register_blueprint(blueprint)
    return db_app


@pytest.mark.parametrize("kind", KINDS)
def test_scopes_on_every_kind_of_view(app: CustomFlask, kind: str) -> None:
    """401 without a token, 403 that names what is missing, and the view for a token that has every scope."""
    client = app.test_client()
    missing = client.get(f"/{kind}")
    assert (missing.status_code, missing.headers["WWW-Authenticate"]) == (401, 'Bearer realm="myapp"')
    short = client.get(f"/{kind}", headers=bearer(app, ANN, "a"))
    assert short.status_code == 403
    assert short.headers["WWW-Authenticate"] == 'Bearer realm="myapp", error="insufficient_scope", scope="a b"'
    assert short.mimetype == "application/problem+json"
    assert client.get(f"/{kind}", headers=bearer(app, ANN, "a", "b", "c")).text == ANN


def test_scopes_without_names_takes_any_token(db_app: CustomFlask) -> None:
    """But none that is bad, and not nobody; HEAD and OPTIONS are what Flask makes of them."""
    ran: list[str] = []

    @db_app.get("/")
    @scopes()
    def view() -> str:
        ran.append("view")
        return "ok"

    client = db_app.test_client()
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"Authorization": "Bearer x"}).status_code == 401
    assert client.head("/").status_code == 401
    assert ran == []
    assert client.get("/", headers=bearer(db_app, ANN)).text == "ok"


def test_public_changes_nothing_for_the_view(db_app: CustomFlask) -> None:
    """Whoever sends a token is known in it."""

    @db_app.get("/")
    @public
    def view() -> t.Any:
        user = get_user()
        return {"user": user and user.address}

    client = db_app.test_client()
    assert client.get("/").json == {"user": None}
    assert client.get("/", headers=bearer(db_app, ANN)).json == {"user": ANN}


def test_guarded_view_keeps_its_name() -> None:
    """Flask makes the endpoint of it."""

    @scopes("a")
    def view() -> None:
        """Do it."""

    assert (view.__name__, view.__doc__) == ("view", "Do it.")


def test_mistakes_are_told_where_they_are_written() -> None:
    """No parentheses, a class, a name that is none, and both of the two."""
    with pytest.raises(TypeError, match=r"@scopes\(\)"):
        scopes(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="decorators ="):
        scopes("a")(MethodView)
    with pytest.raises(TypeError, match="decorators ="):
        public(MethodView)
    for name in ("", "a b", 'a"', "a\\", "a,b", "ä", "a\n", "x" * 101):
        with pytest.raises(ValueError, match="name of a scope"):
            scopes(name)
    with pytest.raises(TypeError, match="one of the two"):
        public(scopes("a")(lambda: None))
    with pytest.raises(TypeError, match="one of the two"):
        scopes("a")(public(lambda: None))
    scopes("a")(scopes("b")(lambda: None))
    public(public(lambda: None))
