"""What a view may return besides Flask's own shapes."""

from __future__ import annotations

import typing as t

from flask import current_app
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RoutingException

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask, Response

    from ..errors import HeadersArgument


#: What a ``to_json`` must not return.
TEXT = (str, bytes, bytearray)


class ApiResult:
    """A result with a status and headers (founding document 002).

    :param value: anything that the JSON provider encodes: plain data, objects with ``to_json``, lists of them.
    :param status: the HTTP status.
    :param headers: further headers.
    """

    def __init__(self, value: t.Any, status: int = 200, headers: HeadersArgument | None = None) -> None:
        self.value = value
        self.status = status
        self.headers = headers

    def to_response(self) -> Response:
        """Return the response; needs an application context, whose JSON provider encodes the value."""
        response = t.cast("Response", current_app.json.response(self.value))
        response.status_code = self.status
        if self.headers is not None:
            add_headers(response, self.headers)
        return response

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as a WSGI application: to Flask's types, and to a plain Flask, that is what it is."""
        return self.to_response()(environ, start_response)

    def __repr__(self) -> str:
        return f"<ApiResult {self.status} {self.value!r}>"


def add_headers(response: Response, headers: HeadersArgument) -> None:
    """Set ``headers`` on ``response``, in the place of its own of the same names; a name may come several times."""
    given = Headers(headers)
    for name in {name.lower() for name, _ in given}:
        response.headers.setlist(name, given.getlist(name))


def unfold(app: Flask, value: t.Any) -> t.Any:
    """Return ``value`` in a shape that Flask's ``make_response`` knows.

    An object's ``to_response()`` comes first, then its ``to_json()``; everything else is returned as it is. In an app
    of ``create_app`` an ``HTTPException`` that is returned, not raised, is answered as a problem too.

    :raises TypeError: for a class, and for a ``to_json`` that returns text.
    """
    if isinstance(value, type):
        raise_for_class(value)
    if isinstance(value, HTTPException) and not isinstance(value, RoutingException):
        return app.extensions.get("myapp.answer", _same)(value)
    to_response = getattr(value, "to_response", None)
    if to_response is not None:
        return app.make_response(to_response())
    if hasattr(value, "to_json"):
        return app.json.response(plain_data(value))
    return value


def _same(error: HTTPException) -> HTTPException:
    return error


def raise_for_class(value: type[t.Any]) -> None:
    """Refuse a class that stands where an object should.

    :raises TypeError: when the class would be encoded by one of its own methods.
    """
    if hasattr(value, "to_json") or hasattr(value, "to_response"):
        raise TypeError(
            f"The class {value.__qualname__} was returned instead of an object of it. Return {value.__qualname__}(…)."
        )


def plain_data(value: t.Any) -> t.Any:
    """Return the result of ``value.to_json()``.

    :raises TypeError: when it is text: it would be encoded a second time.
    """
    plain = value.to_json()
    if isinstance(plain, TEXT):
        raise TypeError(
            f"{type(value).__qualname__}.to_json() returned text. Return plain data (a dict, a list, a number);"
            " the JSON provider encodes it."
        )
    return plain
