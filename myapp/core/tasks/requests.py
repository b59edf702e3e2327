"""A request is a task: where it begins, where it commits, and what its errors roll back.

The commit is the last fallible step of ``process_response``: after the ``after_request`` functions, after the session
is saved, before the first byte. Every override takes ``*args``: Flask 3.2 passes its context first.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import typing as t

from flask import request, session
from werkzeug.exceptions import HTTPException

from ..errors import TaskError
from .stream import StreamBody, is_stream
from .task import Task, current

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask, Response

logger = logging.getLogger("myapp.tasks")

#: Methods that do not write by contract (:rfc:`9110#section-9.2.1`): their transaction does not take the write lock.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def wrap(app: Flask) -> None:
    """Make every request of ``app`` a task; called last, so that nothing fallible comes after the commit."""
    _wrap_wsgi_app(app)
    _wrap_request_context(app)
    _wrap_error_handling(app)
    _wrap_dispatch(app)
    _wrap_process_response(app)
    _wrap_finalize(app)


def _wrap_wsgi_app(app: Flask) -> None:
    inner = app.wsgi_app

    def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Flask 3.1 reuses a context that is already pushed, and two requests would share their g: push a fresh one.
        context = app.app_context()
        context.push()
        writes = environ["REQUEST_METHOD"] not in SAFE_METHODS
        request_id = _trusted_request_id(app, environ) if "HTTP_X_REQUEST_ID" in environ else None
        task = Task(app, "request", (context,), current.get(), writes=writes, id=request_id)
        task.environ = environ
        token = current.set(task)
        try:
            return inner(environ, start_response)
        except BaseException as error:
            task.error = error
            raise
        finally:
            # A streamed body refers to this task: with its answer they would be a cycle, and garbage ends in any order.
            task.response = None
            try:
                context.pop(task.error)
            finally:
                current.reset(token)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def _wrap_request_context(app: Flask) -> None:
    """Learn the request's context: in Flask 3.2 it is the application context too, and another than the wrapper's."""
    inner = app.request_context

    def request_context(environ: WSGIEnvironment) -> t.Any:
        context = inner(environ)
        task = current.get()
        if task is not None and task.kind == "request" and len(task.contexts) == 1:
            task.contexts = (task.contexts[0], t.cast("t.Any", context))
        return context

    app.request_context = request_context  # type: ignore[method-assign]


def _wrap_error_handling(app: Flask) -> None:
    handle_user_exception, handle_exception = app.handle_user_exception, app.handle_exception

    def handled_user_exception(*args: t.Any) -> t.Any:
        task, error = _request_task(app), args[-1]
        if task is not None and task.is_open and _rolls_back(task, error):
            _roll_back_for_handler(task)
        return handle_user_exception(*args)

    def handled_exception(*args: t.Any) -> Response:
        task = _request_task(app)
        if task is not None:
            task.error = args[-1]
            task.is_answering_error = True
            if task.is_open:
                _roll_back_for_handler(task)
        return handle_exception(*args)

    app.handle_user_exception = handled_user_exception  # type: ignore[method-assign,assignment]
    app.handle_exception = handled_exception  # type: ignore[method-assign,assignment]


def _wrap_dispatch(app: Flask) -> None:
    """Send what the view has pending before its result becomes an answer: `return order, 201` shows the order's id."""
    dispatch_request = app.dispatch_request

    def dispatch_and_settle(*args: t.Any) -> t.Any:
        rv = dispatch_request(*args)
        task = _request_task(app)
        if task is not None and task.is_open:
            task.settle()
        return rv

    app.dispatch_request = dispatch_and_settle  # type: ignore[method-assign]


def _wrap_process_response(app: Flask) -> None:
    process_response = app.process_response

    def process_and_commit(*args: t.Any) -> Response:
        task = _request_task(app)
        # Flask swallows what is raised while it answers an error, and sends what was discarded.
        is_swallowed = task is not None and task.is_answering_error
        try:
            if task is not None and task.state.sends_early and (failure := _send_early(task, args[-1])) is not None:
                _close(args[-1])
                return _answer_failed_commit(app, task, failure, args[:-1], process_and_commit)
            response = process_response(*args)
            if task is None or not task.is_open:
                return response
            _refuse_open_block(task)
            response.headers["X-Request-ID"] = task.id
            try:
                _decide(task, response)
            except Exception as error:  # noqa: BLE001 - it becomes the app's own answer.
                _close(response)
                response = _answer_failed_commit(app, task, error, args[:-1], process_and_commit)
            else:
                if is_stream(response):
                    response.response = StreamBody(app, task, response)
        except Exception as error:
            if task is None or not is_swallowed:
                raise
            response = _last_resort(task, error)
        task.response = response
        return response

    app.process_response = process_and_commit  # type: ignore[method-assign,assignment]


def _wrap_finalize(app: Flask) -> None:
    """Let the answer stand when a receiver of ``request_finished`` raises: the task has ended by then."""
    finalize_request = app.finalize_request

    def finalize_for_good(*args: t.Any, **kwargs: t.Any) -> Response:
        try:
            return finalize_request(*args, **kwargs)
        except Exception:
            task = _request_task(app)
            if task is None or task.is_open or task.response is None:
                raise
            logger.exception("Task %s had ended when a receiver of request_finished failed.", task.id)
            return task.response

    app.finalize_request = finalize_for_good  # type: ignore[method-assign]


def _close(response: Response) -> None:
    """Close an answer that is thrown away: a stream would keep its context pushed on this thread."""
    try:
        response.close()
    except Exception:
        logger.exception("An answer that was thrown away could not be closed.")


def _refuse_open_block(task: Task) -> None:
    """Refuse to commit around a block that somebody has entered by hand and not left.

    :raises TaskError: then.
    """
    innermost = current.get()
    if innermost is not task and innermost is not None and innermost.is_open:
        raise TaskError(
            f"The block `with app.task():` of task {innermost.id} was entered and not left before the answer was made."
        )


def _send_early(task: Task, response: Response) -> Exception | None:
    """Send what the view has left pending, before other functions are called; return the error as a commit would."""
    if not task.is_touched or task.is_doomed or (response.status_code >= 400 and not task.is_kept):
        return None
    try:
        task.send_pending()
    except Exception as error:  # noqa: BLE001 - it becomes the app's own answer.
        task.rollback()
        return error
    return None


def _decide(task: Task, response: Response) -> None:
    if response.status_code >= 400 and not task.is_kept:
        task.rollback()
    else:
        task.commit(response)


def _answer_failed_commit(
    app: Flask, task: Task, error: Exception, leading: tuple[t.Any, ...], process_response: t.Any
) -> Response:
    """Return the answer to a commit that failed: a typed handler's, else Flask's own path to a 500."""
    task.failed_commits += 1
    task.is_answering_error = True
    task.reopen()
    if task.failed_commits > 1:
        # The commit of the handler that answered the first failure failed as well.
        return _last_resort(task, error)
    _restore_session(app)
    try:
        # Called inside an except block, where Flask expects it: it ends in a bare raise.
        raise error
    except Exception as raised:  # noqa: BLE001 - caught one line above, on purpose.
        # What has no handler goes on to Flask.handle_exception: logged, signalled, answered, or propagated to a test.
        answer = t.cast("t.Any", app.handle_user_exception)(*leading, raised)
        return t.cast("Response", process_response(*leading, app.make_response(answer)))


def _last_resort(task: Task, error: Exception) -> Response:
    logger.error("Task %s failed while an error was being answered.", task.id, exc_info=error)
    task.error = error
    task.rollback()
    response = task.state.last_resort()
    response.headers["X-Request-ID"] = task.id
    return response


def _restore_session(app: Flask) -> None:
    """Put the cookie session back to what the request brought; a server-side one needs a snapshot of its own."""
    actual = session._get_current_object()  # type: ignore[attr-defined]
    interface = app.session_interface
    if interface.is_null_session(actual):
        return
    fresh = interface.open_session(app, request._get_current_object())  # type: ignore[attr-defined]
    if fresh is None:
        return
    actual.clear()
    actual.update(fresh)
    actual.modified = False


def _roll_back_for_handler(task: Task) -> None:
    task.rollback()
    task.reopen()


def _rolls_back(task: Task, error: Exception) -> bool:
    """Whether a raised error rolls back before its handler runs."""
    if not isinstance(error, HTTPException):
        return True
    if task.is_kept and not task.is_doomed:
        return False
    status = error.response.status_code if error.response is not None else error.code
    # Redirects are raised too: what they follow is no failure.
    return status is None or status >= 400


def _request_task(app: Flask) -> Task | None:
    """Return the task of the request that ``app`` is answering, also from inside a block that was left open."""
    task = current.get()
    while task is not None and task.kind == "block" and task.parent is not None:
        task = task.parent
    if task is None or task.kind != "request" or task.app is not app:
        return None
    return task


def _trusted_request_id(app: Flask, environ: WSGIEnvironment) -> str | None:
    """Return the inbound id when a trusted proxy sent it and it cannot break a header or a log line."""
    value: str = environ["HTTP_X_REQUEST_ID"]
    networks = app.config["MYAPP_TRUSTED_PROXIES"]
    if not networks or not REQUEST_ID.fullmatch(value):
        return None
    try:
        # ProxyFix has put the client's address there, and keeps the proxy's.
        original = environ.get("werkzeug.proxy_fix.orig", {})
        peer = ipaddress.ip_address(original.get("REMOTE_ADDR") or environ.get("REMOTE_ADDR", ""))
    except ValueError:
        return None
    peer = getattr(peer, "ipv4_mapped", None) or peer
    return value if any(peer in network for network in networks) else None
