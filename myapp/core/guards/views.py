"""Where the view of an endpoint is, for a worker that has no request to dispatch."""

from __future__ import annotations

import inspect
import typing as t
from urllib.parse import unquote

from flask.views import MethodView, View

from ..access import asked_scopes, scopes
from ..errors import UnknownJobError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from werkzeug.routing import BaseConverter, Rule

    from .background import Background

#: The attribute of a view that runs as a job. ``functools.wraps`` copies it to whatever is around the view.
MARK = "_myapp_background"
#: What comes back from JSON as it was.
_JSON_TYPES = (str, int, float, bool, type(None))
#: What `as_view` makes, and what `scopes` makes, of a view.
_AS_VIEW = frozenset(const for const in View.as_view.__code__.co_consts if inspect.iscode(const))
_SCOPES = scopes()(lambda: None).__code__


class Found(t.NamedTuple):
    """The view behind an endpoint and a method that runs as a job."""

    endpoint: str
    method: str
    background: Background
    #: What is registered for the endpoint.
    view: Callable[..., t.Any]
    #: The class, if it is one.
    cls: type[View] | None
    #: Whether the mark is on a method of the class, rather than around the whole.
    is_method: bool

    @property
    def scopes(self) -> list[tuple[str, ...]]:
        """What guards below the mark ask of whoever calls."""
        functions = [self.background.function]
        if self.cls is not None:
            functions.append(getattr(self.cls, _name_of(self.cls, self.method)))
        return [names for names in map(asked_scopes, functions) if names is not None]

    @property
    def chooses_method(self) -> bool:
        """Whether the mark is around a ``MethodView``, which looks at the request to choose its method."""
        return self.cls is not None and not self.is_method and issubclass(self.cls, MethodView)

    def check(self) -> None:
        """Make sure that the job can call all of it.

        :raises TypeError: when something would be left out, which may be what asks who may.
        """
        if self.chooses_method and not _is_plain(self.background.function):
            raise TypeError(
                f"{t.cast('t.Any', self.cls).__qualname__} has @background in its `decorators`, around one that is not"
                " of myapp and would not run. Put @background around the methods, or first into the list."
            )

    def bind(self) -> Callable[..., t.Any]:
        """Return what the job calls.

        :raises TypeError: as :meth:`check`.
        """
        self.check()
        function = self.background.function
        if self.cls is None or not (self.is_method or self.chooses_method):
            return function
        instance = _make_instance(self.view, self.cls)
        if self.is_method:
            return t.cast("Callable[..., t.Any]", function.__get__(instance))
        return t.cast("Callable[..., t.Any]", getattr(instance, _name_of(self.cls, self.method)))


def find(app: Flask, endpoint: str, method: str) -> Found | None:
    """Return the view that runs as a job behind ``endpoint``, or None."""
    view = app.view_functions.get(endpoint)
    cls: type[View] | None = getattr(view, "view_class", None)
    mark, is_method = getattr(view, MARK, None), False
    if mark is None and cls is not None:
        mark, is_method = getattr(getattr(cls, _name_of(cls, method), None), MARK, None), True
    if view is None or mark is None:
        return None
    return Found(endpoint, method, mark, view, cls, is_method)


def find_or_fail(app: Flask, endpoint: str, method: str) -> Found:
    """Return the view as :func:`find` does.

    :raises UnknownJobError: when there is none.
    """
    found = find(app, endpoint, method)
    if found is None:
        raise UnknownJobError(
            f"There is no view behind {method} of the endpoint {endpoint} that is @background. Was it renamed, or is"
            " its blueprint or plugin not loaded here? Bring it back, and then: flask jobs retry ID."
        )
    return found


def to_texts(rule: Rule | None, values: dict[str, t.Any]) -> tuple[dict[str, str], dict[str, t.Any]]:
    """Split the arguments of a view: as texts of the URL those that are no JSON (a UUID, an object of a converter)."""
    texts: dict[str, str] = {}
    for name, value in values.items():
        converter = _converter(rule, name)
        # Not isinstance: a member of a StrEnum would come back as a plain text.
        if converter is not None and type(value) not in _JSON_TYPES:
            texts[name] = converter.to_url(value)
    return texts, {name: value for name, value in values.items() if name not in texts}


def to_values(app: Flask, endpoint: str, texts: dict[str, str]) -> dict[str, t.Any]:
    """Return the arguments that :func:`to_texts` has split off, made by the converters of the endpoint's rule."""
    values: dict[str, t.Any] = {}
    for name, text in texts.items():
        converters = [_converter(rule, name) for rule in app.url_map.iter_rules(endpoint)]
        converter = next((one for one in converters if one is not None), None)
        if converter is None:
            raise UnknownJobError(f"No rule of the endpoint {endpoint} has an argument {name} any more.")
        values[name] = converter.to_python(unquote(text))
    return values


def _converter(rule: Rule | None, name: str) -> BaseConverter | None:
    return None if rule is None else rule._converters.get(name)


def _name_of(cls: type[View], method: str) -> str:
    """Return the name of the method of ``cls`` that answers requests with ``method``."""
    if not issubclass(cls, MethodView):
        return "dispatch_request"
    name = method.lower()
    return "get" if name == "head" and not hasattr(cls, "head") else name


def _make_instance(view: Callable[..., t.Any], cls: type[View]) -> View:
    """Return an object of ``cls`` as ``as_view`` makes it for a request, with the arguments that it was given."""
    known = inspect.getclosurevars(_innermost(view)).nonlocals
    if "self" in known:
        return t.cast("View", known["self"])
    return cls(*known["class_args"], **known["class_kwargs"])


def _innermost(view: Callable[..., t.Any]) -> t.Any:
    return inspect.unwrap(view, stop=lambda function: getattr(function, "__code__", None) in _AS_VIEW)


def _is_plain(function: t.Any) -> bool:
    """Whether there is nothing but guards of ours between ``function`` and what ``as_view`` made."""
    while function.__code__ not in _AS_VIEW:
        if function.__code__ is not _SCOPES:
            return False
        function = function.__wrapped__
    return True
