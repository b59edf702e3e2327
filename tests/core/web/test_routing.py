"""The URL adapter that is made with one look at the Host header is the one that Flask makes."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from flask import Flask, Request
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

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
