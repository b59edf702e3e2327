"""The task: one unit of work with its resources, its one commit and its callbacks."""

from __future__ import annotations

import logging
import typing as t
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import has_app_context
from flask.globals import app_ctx

from ..errors import NoTaskError, TaskEndedError, TaskError, TooManyCallbacksError
from ..signals import task_committed, task_rolled_back
from .effects import MAXIMUM_CALLBACKS, Callback, Effects, drain
from .ids import new_id

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from _typeshed.wsgi import WSGIEnvironment
    from blinker import NamedSignal
    from flask import Flask, Response
    from flask.ctx import AppContext
    from werkzeug.routing import MapAdapter

    from .guards import OpenGuard

logger = logging.getLogger("myapp.tasks")

T = t.TypeVar("T")
BeforeCommit = t.TypeVar("BeforeCommit", bound="Callable[[Response | None], t.Any]")

#: How a task came to be: it decides how it ends and how its transaction begins.
Kind: t.TypeAlias = t.Literal["request", "stream", "command", "job", "block", "callback", "bare"]

current: ContextVar[Task | None] = ContextVar("myapp.task", default=None)
#: Where a bare application context keeps its rollback-only task.
BARE = "_myapp_task"


class Explanation(t.Protocol):
    """An error that is nobody's mistake, in words."""

    @property
    def remedy(self) -> str:
        """What an operator does about it."""


@dataclass
class TaskState:
    """What the tasks of one app share: what upper parts attach, and what went wrong since the start."""

    #: The 500 for an error that comes up while an error is being answered; no handler of the app is asked for it.
    last_resort: Callable[[], Response]
    #: How the database makes a savepoint.
    savepoint: Callable[[], AbstractContextManager[t.Any]] | None = None
    #: What an error of the database means for an operator, if it is an outage and nobody's mistake.
    explain: Callable[[BaseException], Explanation | None] | None = None
    #: How the database sends what is pending.
    flush: Callable[[Task], None] | None = None
    #: How the database refuses a transaction that cannot go on, because an error in it was swallowed.
    check: Callable[[Task], None] | None = None
    #: How the database ends what a guarded function did: undone or not.
    end_guard: Callable[[OpenGuard, bool], None] | None = None
    #: Whether what a view has left pending is sent before the ``after_request`` functions run: some are guarded.
    sends_early: bool = False
    callbacks_failed: int = 0
    partial_commits: int = 0


@dataclass(slots=True)
class Resource:
    """A thing that is bound to a task, and how it takes part in the task's end."""

    name: str
    value: t.Any
    close: Callable[[t.Any], None]
    prepare: Callable[[t.Any], None] | None
    commit: Callable[[t.Any], None] | None
    rollback: Callable[[t.Any], None] | None
    #: The SQL database commits last: after it nothing may fail.
    commits_last: bool = False
    #: Sends what is pending, without committing it.
    settle: Callable[[t.Any], None] | None = None
    #: Released when the others are: others learn of the task's end by it, and may want what it has held.
    closes_last: bool = False
    is_committed: bool = False


class Task:
    """One unit of work; :data:`myapp.task` is the current one.

    It is open until it has committed or rolled back. A request whose error was rolled back is opened again, for the
    error handler.
    """

    __slots__ = (
        "__weakref__",
        "_commits",
        "_committed",
        "_frames",
        "_id",
        "_is_open",
        "_is_reopened",
        "_released",
        "_resources",
        "app",
        "behalf",
        "contexts",
        "environ",
        "error",
        "failed_commits",
        "guard",
        "is_answering_error",
        "is_doomed",
        "is_kept",
        "is_read_only",
        "is_touched",
        "kind",
        "parent",
        "principal",
        "response",
        "writes",
    )

    def __init__(
        self,
        app: Flask,
        kind: Kind,
        contexts: tuple[AppContext, ...],
        parent: Task | None,
        *,
        writes: bool,
        is_read_only: bool = False,
        id: str | None = None,
    ) -> None:
        self.app = app
        self.kind = kind
        #: The application contexts in which this task is the current one, compared by identity.
        self.contexts = contexts
        self.parent = parent
        #: Whether its transaction begins as one that writes.
        self.writes = writes
        self.is_read_only = is_read_only
        self.is_kept = False
        self.is_doomed = False
        self.is_answering_error = False
        #: Whether anything has been done that a rollback would undo. Read for every call of a guarded function.
        self.is_touched = False
        #: The guarded function that runs, if others had touched the task before.
        self.guard: OpenGuard | None = None
        self.failed_commits = 0
        self.error: BaseException | None = None
        #: What the request of a request task brought; its callbacks and its streamed body find it there.
        self.environ: WSGIEnvironment | None = None
        #: Who asks, as the access part has found out; None until somebody wants to know.
        self.principal: t.Any = None
        #: On whose behalf a job runs: the id of a user, and the scopes of whoever asked for it.
        self.behalf: tuple[int, frozenset[str]] | None = None
        self._id = id
        self._is_open = True
        self._is_reopened = False
        self._commits = False
        #: The answer, once the task has ended with it.
        self.response: Response | None = None
        self._resources: dict[str, Resource] | None = None
        self._released: dict[str, Resource] | None = None
        self._frames: list[Effects] | None = None
        self._committed: list[Callback] | None = None

    # What authors use.

    @property
    def id(self) -> str:
        """A UUIDv7; for a request also its request id, for a callback the id of the task that registered it."""
        if self._id is None:
            self._id = self.parent.id if self.kind == "callback" and self.parent is not None else new_id()
        return self._id

    def keep(self) -> None:
        """Commit although the answer's status is 400 or more: the counter of failed logins survives the 401.

        It holds for a returned error and for a raised ``HTTPException`` or ``ApiException``; any other exception
        rolls back all the same.

        :raises TaskEndedError: when the task has ended.
        """
        self.check_open("keep()")
        self.is_kept = self.is_touched = True

    def doom(self) -> None:
        """Roll back at the end, whatever the status; this wins over :meth:`keep`.

        :raises TaskEndedError: when the task has ended.
        """
        self.check_open("doom()")
        self.is_doomed = self.is_touched = True

    def before_commit(self, f: BeforeCommit, /) -> BeforeCommit:
        """Run ``f`` in the prepare step: with the final response, or None outside a request, before anything commits.

        What it writes is in the task's transaction; when it raises, the task rolls back and its answer is that of a
        failed commit. Functions run in the order in which they were registered, those that they register themselves
        behind them. A rollback discards them, that of the savepoint in which they were registered too.

        :return: ``f``, so that this is a decorator.
        :raises TypeError: when ``f`` is not callable.
        :raises NoTaskError: in a bare application context, which never commits.
        :raises TaskEndedError: when the task has ended or its commits have begun: ``f`` would never run.
        """
        if not callable(f):
            raise TypeError(f"before_commit() takes a function, not {f!r}. Pass the function, do not call it.")
        frame = self._frame("before_commit()")
        if self._commits:
            raise TaskEndedError(
                f"before_commit() was called while task {self.id} commits: the function would never run. A resource"
                " writes in its prepare step, not when it commits."
            )
        frame.prepare.append(f)
        return f

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block wrote to the database when it raises, and nothing else.

        Callbacks that the block registered are discarded with it; its ``after_rollback`` functions run at once.

        :raises TaskEndedError: when the task has ended.
        """
        self.check_open("savepoint()")
        if find_task() is not self:
            raise NoTaskError(f"{self!r} is not the current task: a savepoint belongs to the innermost one.")
        savepoint = self.state.savepoint
        with self._bound_effects() if savepoint is None else savepoint():
            yield

    def __repr__(self) -> str:
        state = "open" if self._is_open else "ended"
        return f"<Task {self.kind} {self.id} {state}>"

    # What the parts of the core use.

    @property
    def is_open(self) -> bool:
        """Whether it has neither committed nor rolled back."""
        return self._is_open

    @property
    def state(self) -> TaskState:
        """What the tasks of the app share."""
        return t.cast("TaskState", self.app.extensions["myapp.tasks"])

    def iter_ancestors(self) -> Iterator[Task]:
        """Yield the tasks around this one, the nearest first."""
        task = self.parent
        while task is not None:
            yield task
            task = task.parent

    def check_open(self, what: str) -> None:
        """Refuse ``what`` when the task has ended.

        :raises TaskEndedError: then.
        """
        if not self._is_open:
            raise TaskEndedError(
                f"{what} was called after task {self.id} had ended: its transaction is committed or rolled back, and"
                " what would be written now would be lost. Do it before the answer is made, or open a task of its"
                " own: with app.task(): …"
            )

    def resource(self, name: str) -> t.Any:
        """Return the value of the open resource ``name``, or None."""
        resource = self.find_resource(name)
        return None if resource is None else resource.value

    def find_resource(self, name: str) -> Resource | None:
        """Return the open resource ``name``, or None."""
        return None if self._resources is None else self._resources.get(name)

    def bind(self, resource: Resource) -> None:
        """Bind a resource that has just been opened.

        :raises TaskError: when the name is taken: by the function that opened it, say.
        :raises TaskEndedError: when the commits have begun, in which it could not take part.
        """
        if self._commits:
            raise TaskEndedError(
                f"The resource {resource.name} was opened while task {self.id} commits. Open it before."
            )
        if self._resources is None:
            self._resources = {}
        if resource.name in self._resources:
            raise TaskError(f"The resource {resource.name} is bound already. Give each resource a name of its own.")
        self._resources[resource.name] = resource
        self.is_touched = True

    def unbind(self, name: str) -> None:
        """Release the resource ``name`` before the end, as if it had not been opened."""
        resource = (self._resources or {}).pop(name)
        _isolated(resource.close, resource, "released")

    def signal(self, signal: NamedSignal, **details: t.Any) -> None:
        """Send ``signal`` about this task; a receiver that raises is logged, because what it is told has happened."""
        if not signal.receivers:
            return
        try:
            signal.send(self.app, task=self, **details)
        except Exception:
            logger.exception("A receiver of the signal %s failed for task %s.", signal.name, self.id)

    def settle(self) -> None:
        """Send what is pending to the resources, so that the answer is made from what is there: ids, defaults."""
        for resource in list((self._resources or {}).values()):
            if resource.settle is not None:
                resource.settle(resource.value)

    def send_pending(self) -> None:
        """Send what is pending to the database, so that an error in it is the error of whoever has left it."""
        flush = self.state.flush
        if flush is not None and self._is_open:
            flush(self)

    def send_and_check(self) -> None:
        """Send what is pending, of whoever was alone with the task, and refuse what nobody can go on with.

        :raises Exception: when a transaction is left in which everything fails.
        """
        self.send_pending()
        if self.state.check is not None and self._is_open:
            self.state.check(self)

    def register(self, callback: Callback, *, on_commit: bool) -> None:
        """Bind a callback to the innermost savepoint.

        :raises NoTaskError: in a bare application context, which can only roll back.
        """
        frame = self._frame("after_commit()" if on_commit else "after_rollback()")
        (frame.commit if on_commit else frame.rollback).append(callback)

    def push_effects(self) -> Effects:
        """Begin a savepoint for callbacks; end it with :meth:`pop_effects`."""
        if self._frames is None:
            self._frames = [Effects()]
        self._frames.append(Effects())
        self.is_touched = True
        return self._frames[-1]

    def pop_effects(self, effects: Effects, *, rolled_back: bool) -> None:
        """End a savepoint: hand its callbacks to the one around it, or discard them and run its ``after_rollback``."""
        if self._frames is None or not any(effects is frame for frame in self._frames):
            return  # The whole task was rolled back meanwhile, and with it the savepoint.
        while (frame := self._frames.pop()) is not effects:
            effects.absorb(frame)
        if rolled_back:
            # This task may hold the write lock, so they can look and not write.
            drain(self, effects.rollback, is_read_only=True)
        else:
            self._frames[-1].absorb(effects)

    def take_committed(self) -> list[Callback]:
        """Return the callbacks that a committed child leaves to the drain that runs it."""
        callbacks, self._committed = self._committed or [], None
        return callbacks

    def commit(self, response: Response | None = None) -> None:
        """Prepare, commit, release the resources, run the callbacks; a doomed or read-only task is rolled back.

        :raises Exception: whatever a prepare step or a commit raised; everything is rolled back then.
        """
        self.check_open("commit")
        if self.is_doomed or self.kind == "bare":
            self.rollback()
            return
        if self._frames is not None or self._resources is not None:
            self._commit_resources(response)
        self._is_open = False
        self._release()
        self.signal(task_committed)
        if self._frames is None:
            return
        callbacks, self._frames = self._frames[0].commit, None
        if self.kind == "callback":
            self._committed = callbacks
        else:
            drain(self, callbacks)

    def rollback(self) -> None:
        """Roll back and release the resources, then run the ``after_rollback`` callbacks; nothing is raised."""
        if not self._is_open:
            return
        is_untouched = self._is_reopened and not (self._resources or self._frames)
        self._is_open = False
        self._commits = False
        self.is_kept = False
        for resource in reversed(list((self._resources or {}).values())):
            if resource.rollback is not None and not resource.is_committed:
                _isolated(resource.rollback, resource, "rolled back")
        self._release()
        frames, self._frames = self._frames or [], None
        self.is_touched = False
        if not is_untouched:
            self.signal(task_rolled_back)
        callbacks = [callback for frame in frames for callback in frame.rollback]
        if callbacks:
            drain(self, callbacks)

    def reopen(self) -> None:
        """Open the task again after a rollback: the error handler gets a transaction of its own."""
        self._is_open = True
        self._is_reopened = True

    def start_over(self) -> None:
        """Undo all that was done in this task; it goes on as if it had just begun."""
        if self._is_open and self.is_touched:
            self.rollback()
            self.reopen()
            self.is_doomed = False
            # Whoever asks is an object of the session that has gone.
            self.principal = None

    @contextmanager
    def child(self, *, is_read_only: bool = False) -> Iterator[Task]:
        """Open the task of one callback: a context of its own, the same id, its own commit."""
        with pushed_context(self.app) as context:
            child = Task(self.app, "callback", (context,), self, writes=not is_read_only, is_read_only=is_read_only)
            with entered(child):
                yield child

    # Private.

    def _commit_resources(self, response: Response | None) -> None:
        committed: list[str] = []
        try:
            self._prepare(response)
            self._commits = True
            for resource in sorted((self._resources or {}).values(), key=lambda resource: resource.commits_last):
                if resource.commit is not None:
                    resource.commit(resource.value)
                    resource.is_committed = True
                    committed.append(resource.name)
        except BaseException:
            if committed:
                self.state.partial_commits += 1
                logger.critical(
                    "Task %s committed %s and then failed to commit the rest; the two have to be brought together by"
                    " hand.",
                    self.id,
                    ", ".join(committed),
                    exc_info=True,
                )
            self.rollback()
            raise

    def _frame(self, what: str) -> Effects:
        """Return what the innermost savepoint, or the task itself, has registered.

        :raises NoTaskError: in a bare application context.
        """
        self.check_open(what)
        if self.kind == "bare":
            raise NoTaskError(
                "This application context is not a task: nothing in it is ever committed, so no callback would run."
                " Open a task around it: with app.task(): …"
            )
        if self._frames is None:
            self._frames = [Effects()]
        self.is_touched = True
        return self._frames[-1]

    def _prepare(self, response: Response | None) -> None:
        """Run the functions of ``before_commit`` and prepare every resource, until nothing is left to do.

        A function may write, and a resource may register a function when it is prepared; what was written is prepared.
        The database comes last, with all that the others wrote.
        """
        prepared: set[str] = set()
        rounds = 0
        while True:
            # Those of a savepoint that was left open too: the commit releases it.
            functions = [f for frame in self._frames or () for f in frame.take_prepare()]
            if functions:
                rounds += 1
                if rounds > MAXIMUM_CALLBACKS:
                    raise TooManyCallbacksError(
                        f"{Callback(functions[-1], (), {}).name} was registered before a commit for the"
                        f" {MAXIMUM_CALLBACKS:,}th time. A function that registers itself again never ends."
                    )
                for f in functions:
                    self.app.ensure_sync(f)(response)
                prepared = {name for name in prepared if not (self._resources or {})[name].commits_last}
                continue
            left = [resource for name, resource in (self._resources or {}).items() if name not in prepared]
            if not left:
                return
            resource = min(left, key=lambda resource: resource.commits_last)
            prepared.add(resource.name)
            if resource.prepare is not None:
                resource.prepare(resource.value)

    def _release(self) -> None:
        # What was released is kept for as long as the task is: an object that a callback loads from lazily can then say
        # that its task has ended, instead of that it belongs to nothing.
        self._released, self._resources = self._resources, None
        if self._released is None:
            return
        newest_first = reversed(list(self._released.values()))
        for resource in sorted(newest_first, key=lambda resource: resource.closes_last):
            _isolated(resource.close, resource, "released")

    @contextmanager
    def _bound_effects(self) -> Iterator[None]:
        effects = self.push_effects()
        try:
            yield
        except BaseException:
            self.pop_effects(effects, rolled_back=True)
            raise
        self.pop_effects(effects, rolled_back=False)


def _isolated(f: Callable[[t.Any], None], resource: Resource, what: str) -> None:
    """Call ``f`` so that its failure does not keep the others from being released."""
    try:
        f(resource.value)
    except Exception:
        logger.exception("The resource %s could not be %s.", resource.name, what)


@contextmanager
def entered(task: Task) -> Iterator[Task]:
    """Make ``task`` the current one; commit it at the end of the block, roll it back when the block raises."""
    token = current.set(task)
    try:
        yield task
        task.commit()
    except BaseException:
        task.rollback()
        raise
    finally:
        current.reset(token)


def public_url_adapter(app: Flask) -> MapAdapter:
    """Return an adapter that builds URLs outside of a request, from ``MYAPP_PUBLIC_URL``."""
    parts = urlsplit(app.config["MYAPP_PUBLIC_URL"])
    return app.url_map.bind(parts.netloc, script_name=parts.path or "/", url_scheme=parts.scheme)


@contextmanager
def pushed_context(app: Flask) -> Iterator[AppContext]:
    """Push an application context of its own, in which ``url_for`` works."""
    context = app.app_context()
    if context.url_adapter is None:
        context.url_adapter = public_url_adapter(app)
    with context:
        yield context


def find_task() -> Task | None:
    """Return the task of the current application context, or None in a bare one and outside of any."""
    task = current.get()
    if task is not None and has_app_context() and app_ctx._get_current_object() in task.contexts:  # type: ignore[attr-defined]
        return task
    return None
