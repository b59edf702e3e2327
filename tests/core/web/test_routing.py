"""The URL adapter that is made with one look at the Host header is the one that Flask makes, and so are the rules."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from flask import Flask, Request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BuildError, Map, Rule
from werkzeug.test import EnvironBuilder

from myapp.core.web import LazyRule

if t.TYPE_CHECKING:
    from myapp import CustomFlask

HOSTS = [
    "localhost",
    "LOCALHOST:5000",
    "example.com:80",
    "bücher.example",
    "a" * 70 + ".com",
    "bad host",
    "[::1]:8000",
    "",
]
PATHS = ["/", "//double", "/a/b?x=1&y=ü", "/ü", "/%2e%2e"]
ROOTS = ["", "/base", "/base/"]


def adapter_of(app: Flask, environ: dict[str, t.Any]) -> t.Any:
    request = Request(environ)
    try:
        adapter = app.create_url_adapter(request)
    except HTTPException as error:
        return type(error)
    assert adapter is not None
    return {name: value for name, value in vars(adapter).items() if name != "map"}, request.host


@pytest.mark.parametrize(
    "settings", [{}, {"TRUSTED_HOSTS": ["localhost", "example.com"]}, {"SERVER_NAME": "example.com"}]
)
def test_same_adapter_as_flask(make_app: t.Any, settings: dict[str, t.Any]) -> None:
    """For every combination of host, path, root, scheme and method."""
    app = make_app(config=settings)
    plain = Flask(__name__)
    plain.config.update(settings)
    for host, path, root, scheme in itertools.product(HOSTS, PATHS, ROOTS, ["http", "https"]):
        environ = EnvironBuilder(path=path, base_url=f"{scheme}://localhost{root}", method="POST").get_environ()
        environ["HTTP_HOST"] = host
        assert adapter_of(app, dict(environ)) == adapter_of(plain, dict(environ)), (host, path, root, scheme)


RULES: tuple[tuple[str, dict[str, t.Any]], ...] = (
    ("/plain", {}),
    ("/<int:number>/<name>", {}),
    ("/<path:rest>/end", {}),
    ("/default/", {"defaults": {"page": 1}}),
    ("/default/<int:page>", {}),
    ("/ü/<float(min=1):size>", {}),
    ("/host", {"subdomain": "<lang>"}),
)
VALUES: tuple[dict[str, t.Any], ...] = (
    {},
    {"number": 7, "name": "a b/c"},
    {"rest": "x/y", "q": ["1", "2"]},
    {"page": 1},
    {"page": 2, "more": "ä"},
    {"size": 1.5},
    {"lang": "de", "x": None},
)


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_lazy_rule_builds_what_a_rule_builds(rule: str, options: dict[str, t.Any]) -> None:
    """Whatever it is called with, the first time and later; also a copy, with and without unknown values."""
    lazy, eager = LazyRule(rule, endpoint="x", **options), Rule(rule, endpoint="x", **options)
    adapters = [Map([one]).bind("example.com") for one in (lazy, eager)]
    copies = [Map([one.empty()]).bind("example.com") for one in (lazy, eager)]

    for values in (*VALUES, *VALUES):
        for unknown in (True, False):
            built = []
            for adapter in (*adapters, *copies):
                try:
                    built.append(adapter.build("x", values, append_unknown=unknown))
                except BuildError as error:
                    built.append(type(error).__name__)
            assert len(set(built)) == 1


def test_rules_are_compiled_when_a_url_is_built(app: CustomFlask) -> None:
    """Not when they are added, which every start pays for; and then once."""
    app.add_url_rule("/lazy/<int:number>", "lazy", lambda number: "")
    (rule,) = app.url_map.iter_rules("lazy")
    before = rule._build_unknown

    with app.test_request_context():
        assert url_for("lazy", number=3) == "/lazy/3"
        after = rule._build_unknown
        assert url_for("lazy", number=4) == "/lazy/4"

    assert before is not after
    assert rule._build_unknown is after
    assert app.test_client().get("/lazy/5").status_code == 200
