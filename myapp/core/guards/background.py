"""``background``: a view that runs as a job, and what a client gets meanwhile."""

from __future__ import annotations

import functools
import inspect
import types
import typing as t
from dataclasses import dataclass

import pydantic
from flask import current_app, has_request_context, request, url_for
from flask.views import View
from werkzeug.routing import BuildError

from ..access import require
from ..web import ApiResult, read_json, validate
from ..work import job
from . import results, views

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ..work import JobFunction
    from .views import Found

V = t.TypeVar("V", bound="Callable[..., t.Any]")

#: What may be said of how the job is run.
OPTIONS = frozenset({"queue", "priority", "retries", "atomic", "timeout"})
#: The parameter of a view that is given what the request's body said.
BODY = "body"


@dataclass
class Background:
    """A view that runs as a job.

    :param function: what runs in the job.
    :param job: what runs it, with the options that were given.
    """

    function: Callable[..., t.Any]
    job: JobFunction[..., t.Any]

    @functools.cached_property
    def body(self) -> inspect.Parameter | None:
        """The parameter that takes the body, with its annotation as a type; None when the view wants none."""
        function = inspect.unwrap(self.function)
        parameter = inspect.signature(function).parameters.get(BODY)
        if parameter is None or parameter.annotation is inspect.Parameter.empty:
            return parameter
        # Of this parameter alone: another's annotation may be there for type checkers only.
        annotated = types.SimpleNamespace(__annotations__={BODY: parameter.annotation})
        try:
            hints = t.get_type_hints(annotated, globalns=getattr(function, "__globals__", None))
        except NameError as error:
            raise TypeError(
                f"The annotation of {BODY} in {function.__qualname__} cannot be resolved: {error}. Import or define"
                " it at the top of the module, outside of `if TYPE_CHECKING`."
            ) from error
        return parameter.replace(annotation=hints[BODY])

    @property
    def model(self) -> type[pydantic.BaseModel] | None:
        """What the body is validated with."""
        annotation = None if self.body is None else self.body.annotation
        return annotation if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel) else None

    def enqueue(self, args: tuple[t.Any, ...], kwargs: dict[str, t.Any]) -> ApiResult:
        """Ask what the guards below this one ask, enqueue the job and return the answer that says so.

        :raises ApiException: 401, 403, 415, 400.
        :raises ValidationError: for a body that the view would not take.
        """
        found = views.find(current_app, str(request.endpoint), request.method)
        if found is None or found.background is not self:
            raise TypeError(
                f"A worker would not find {self.function.__qualname__} behind the endpoint {request.endpoint}: a"
                " decorator above @background does not use functools.wraps. Let it, or write it below."
            )
        found.check()
        # Guards that stand below run in the job, too late for the client to be told.
        for names in found.scopes:
            require(names)
        body = self._read_body()
        if args and isinstance(args[0], View):
            args = args[1:]
        texts, plain = views.to_texts(request.url_rule, kwargs)
        return accept(self.job.enqueue(found.endpoint, request.method, [*args], plain, texts=texts, **body))

    def run(self, found: Found, args: list[t.Any], kwargs: dict[str, t.Any]) -> t.Any:
        """Run the view, in the job, and return what it said as plain data."""
        if BODY in kwargs and self.model is not None:
            kwargs[BODY] = validate(self.model, kwargs[BODY])
        return results.to_plain(current_app.ensure_sync(found.bind())(*args, **kwargs))

    def _read_body(self) -> dict[str, t.Any]:
        # Not by its length, which a chunked body does not say.
        if self.body is None or (self.body.default is not inspect.Parameter.empty and not request.get_data()):
            return {}
        value = read_json()
        if self.model is not None:
            validate(self.model, value)
        return {BODY: value}


@job(name="myapp:view")
def run_view(
    endpoint: str,
    method: str,
    args: list[t.Any],
    kwargs: dict[str, t.Any],
    texts: dict[str, str],
    **body: t.Any,
) -> t.Any:
    """Run the view of ``endpoint`` that was enqueued.

    :raises UnknownJobError: when the app has no such view any more.
    """
    found = views.find_or_fail(current_app, endpoint, method)
    return found.background.run(found, args, {**kwargs, **views.to_values(current_app, endpoint, texts), **body})


def accept(job_id: str) -> ApiResult:
    """Return the answer to a request whose work will be done by the job ``job_id``: 202, and where to look."""
    body = {"job": job_id, "status": "queued"}
    headers = {"Retry-After": "1"}
    try:
        body["href"] = headers["Location"] = url_for("jobs.show", job_id=job_id)
    except BuildError:
        # An app without the blueprint `jobs`: the client has the id, and somebody else to ask.
        return ApiResult(body, 202, headers)
    return ApiResult(body, 202, headers)


def background(f: t.Any = None, /, **options: t.Any) -> t.Any:
    """Let a view run as a background job: the client gets 202 and the address of the job at once.

    It goes around functions, around methods of a ``MethodView`` or into its ``decorators``; plain and ``async``; with
    and without parentheses. The arguments of the URL travel as JSON, and so does the JSON body, if the view has a
    parameter ``body``; one that is annotated with a pydantic model is validated before the answer, and is that model in
    the job. :func:`myapp.get_user` is there who it is here. There is no ``request``, ``session`` or ``g`` of the
    request. What the view returns is the result of the job, as JSON; what it writes commits with it. An
    ``ApiException``, or an answer of 400 or more, is its failure, and is not tried again.

    ``scopes`` and ``public`` stand above or below, as you like. Any other decorator runs with the request when it
    stands above, and in the job when it stands below. Outside of a request a plain call runs the view.

    :param options: ``queue``, ``priority``, ``retries``, ``atomic`` and ``timeout``, as :func:`myapp.job`
        has them.
    :raises TypeError: around a class, and for an option that there is not.
    """
    unknown = sorted(options.keys() - OPTIONS)
    if unknown:
        raise TypeError(f"@background has no option {unknown[0]}; it has {', '.join(sorted(OPTIONS))}.")
    # Here, so that wrong values are found where they are written.
    run = run_view.with_options(**options)

    def decorate(view: V) -> V:
        if inspect.isclass(view) or not callable(view):
            raise TypeError(f"@background goes around views, not around {view!r}. Write: decorators = [background].")
        deferred = Background(view, run)

        # Not async for an `async def` view: it runs in the job.
        @functools.wraps(view)
        def enqueued(*args: t.Any, **kwargs: t.Any) -> t.Any:
            if not has_request_context():
                return current_app.ensure_sync(view)(*args, **kwargs)
            return deferred.enqueue(args, kwargs)

        setattr(enqueued, views.MARK, deferred)
        return t.cast("V", enqueued)

    return decorate if f is None else decorate(f)
