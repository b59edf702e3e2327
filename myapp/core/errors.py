"""Every exception that myapp raises.

::

    MyappError
    ├── ConfigurationError          settings that cannot be used (shown by click, exit 2)
    ├── BlueprintError              a blueprint module that cannot be served (strict mode)
    ├── PluginError                 a plugin that cannot be served (strict mode, or while building)
    ├── ScaffoldError               a new plugin that cannot be written (shown by click, exit 2)
    ├── SchemaError                 tables that are older than the code, or a migration that cannot be done
    ├── JobError                    what is wrong with a background job
    │   ├── UnknownJobError         a row of the ledger names a function that this app does not have
    │   ├── JobLostError            the job was given to somebody else: what this worker did is rolled back
    │   └── JobCancelledError       somebody asked the running job to stop
    ├── UnavailableError            a service that does not answer (exit 3)
    ├── MailError                   (also a ValueError) a message that could not be sent to anybody as it is
    ├── MailServerError             the mail server was not reached, not trusted, or did not let us in
    └── TaskError                   (also a RuntimeError) the rules of a task
        ├── NoTaskError             nothing to bind to: no task, or one that cannot commit
        ├── TaskEndedError          the task has committed or rolled back already
        ├── TransactionControlError commit(), rollback() or begin() by hand
        ├── NestedWriteError        a writing task inside a writing task
        ├── ReadOnlyTaskError       a write in ``app.task(read_only=True)``
        └── TooManyCallbacksError   callbacks that register each other for ever
    ApiException                    (an HTTPException) an answer: raise it anywhere
    ├── PluginUnavailableError      503: a critical plugin has failed while it was asked
    └── ValidationError             422, with one entry for every failure
"""

from __future__ import annotations

import functools
import typing as t

import click
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, default_exceptions

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HeadersArgument: t.TypeAlias = "Mapping[str, str] | Iterable[tuple[str, str]]"


def end_sentence(text: str) -> str:
    """Return ``text`` with a full stop, unless it has an end: what Python says of an error has none."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def well_formed(text: str) -> str:
    """Return ``text`` as every database, terminal and JSON takes it: without NUL, and without half of a character.

    Python reads a file name, an argument or a variable of the environment that is not UTF-8 as such halves.
    """
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def is_own_failure(error: BaseException) -> bool:
    """Whether ``error`` is a failure of the code that raised it, and not the end of what it ran in.

    ``sys.exit()``, ``asyncio.CancelledError`` and whatever else is no :class:`Exception`, a panic of an extension in
    Rust for one, are failures. ^C ends the process, GeneratorExit a generator, and what gevent raises ends a greenlet
    or a wait.
    """
    families = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    return not isinstance(error, KeyboardInterrupt | GeneratorExit) and not families & {"gevent", "greenlet"}


class MyappError(Exception):
    """The base of the errors that tell a developer or an operator what to do."""


class ConfigurationError(MyappError, click.ClickException):
    """Raised by :func:`myapp.create_app` when settings cannot be used.

    :param problems: one sentence for each setting, all of them at once.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"The configuration cannot be used:{lines}")


class BlueprintError(MyappError, click.ClickException):
    """Raised in strict mode when a blueprint module cannot be served.

    :param module: dotted name of the module.
    :param summary: the error itself, with file and line.
    """

    exit_code = 2

    def __init__(self, module: str, summary: str) -> None:
        self.module = module
        self.summary = summary
        super().__init__(f"The blueprint module {module} cannot be served: {summary}")


class PluginError(MyappError, click.ClickException):
    """Raised when a plugin cannot be served and may not be skipped.

    :param plugin: name of the plugin.
    :param code: the stable problem code.
    :param summary: the error itself, with file and line where there is one.
    :param hint: the next step, where more is known than that of the code.
    :param is_critical: whether nothing may be served without it, in lenient mode either.
    :param traceback: of what was raised, as a text: an exception that is kept keeps everything alive that it has seen.
    """

    exit_code = 2

    def __init__(
        self, plugin: str, code: str, summary: str, *, hint: str = "", is_critical: bool = False, traceback: str = ""
    ) -> None:
        self.plugin = plugin
        self.code = code
        self.summary = summary
        self.hint = hint
        self.is_critical = is_critical
        self.traceback = traceback
        text = summary
        if is_critical:
            text = f"{end_sentence(summary)} It is critical: nothing is served without it. {hint}".rstrip()
        super().__init__(f"The plugin {plugin} cannot be served ({code}): {text}")

    def as_critical(self, hint: str) -> PluginError:
        """Return the same error of a plugin that nothing may be served without, with the next step."""
        return PluginError(self.plugin, self.code, self.summary, hint=hint, is_critical=True, traceback=self.traceback)


class ScaffoldError(MyappError, click.ClickException):
    """A new plugin cannot be written: its name cannot be used, or something is there already."""

    exit_code = 2


class SchemaError(MyappError, click.ClickException):
    """The tables are not what the code expects, or cannot be brought there."""


class JobError(MyappError):
    """The base of the errors about background jobs."""


class UnknownJobError(JobError):
    """A row of the ledger names a function that this app does not have, or arguments that it does not take."""


class JobLostError(JobError):
    """The job is not this worker's any more: what its attempt has not committed is rolled back, without a trace."""


class JobCancelledError(JobError):
    """Raised inside a running job that somebody has cancelled; let it pass."""


class UnavailableError(MyappError, click.ClickException):
    """A service that the app needs does not answer.

    :param service: its name and where it is, without a password.
    :param retry_after: in how many seconds somebody asks it again.
    """

    exit_code = 3

    def __init__(self, service: str, retry_after: float) -> None:
        self.service = service
        self.retry_after = retry_after
        super().__init__(f"{service} does not answer. Check that it runs, the network in between, and its URL.")


class MailError(MyappError, ValueError):
    """A message that its author has to complete or correct: no recipients, no subject, no text."""


class MailServerError(MyappError):
    """The mail server could not be asked about a mail: it was not reached, not trusted, or did not let us in.

    :param is_unreachable: whether nobody answered, rather than answered wrongly.
    """

    def __init__(self, message: str, *, is_unreachable: bool) -> None:
        self.is_unreachable = is_unreachable
        super().__init__(message)


class TaskError(MyappError, RuntimeError):
    """The base of the errors about the unit of work."""


class NoTaskError(TaskError):
    """There is no task, or only one that can never commit."""


class TaskEndedError(TaskError):
    """The task has committed or rolled back; what would be written now would vanish."""


class TransactionControlError(TaskError):
    """The transaction of a task is committed by the task, not by hand."""


class NestedWriteError(TaskError):
    """A task that writes waits for the write lock of a task around it, for ever."""


class ReadOnlyTaskError(TaskError):
    """A read-only task was asked to write."""


class TooManyCallbacksError(TaskError):
    """Callbacks kept registering callbacks."""


class ApiException(HTTPException):
    """Raise it anywhere in a task: a problem+json answer (:rfc:`9457`), and a rollback.

    :param message: what happened and what to do, for the client: the problem's ``detail``.
    :param status: the HTTP status, 400 to 599.
    :param type: the problem's ``type``, a URI reference; ``about:blank`` if not given.
    :param headers: headers of the answer.
    :param extra: further members of the problem.
    :raises ValueError: when the status is not one of an error.
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        type: str | None = None,
        headers: HeadersArgument | None = None,
        **extra: t.Any,
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"The status of an ApiException is 400 to 599, not {status}.")
        # Flask looks for a handler by the class alone. With Werkzeug's class of the status among the bases,
        # @app.errorhandler(404) and `except NotFound` get an ApiException("…", 404) too.
        own: t.Any = self.__class__
        self.__class__ = _with_code(own, status)
        super().__init__(description=message)
        self.message = message
        self.status = status
        self.type = type
        self.headers = Headers(headers)
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"

    def __reduce__(self) -> tuple[t.Any, ...]:
        # The class with the status is made at run time: copies and other processes make it again from its base.
        return _restore, (type(self).__bases__[0], self.status, self.__dict__.copy())


@functools.cache
def _with_code(cls: type[ApiException], status: int) -> type[ApiException]:
    bases = (cls, default_exceptions[status]) if status in default_exceptions else (cls,)
    return type(cls.__name__, bases, {"code": status, "__module__": cls.__module__, "__doc__": cls.__doc__})


def _restore(cls: type[ApiException], status: int, state: dict[str, t.Any]) -> ApiException:
    own: t.Any = cls
    error: ApiException = own.__new__(_with_code(own, status))
    error.__dict__.update(state)
    return error


class PluginUnavailableError(ApiException):
    """A critical plugin has failed: what it guards is not served without it. It has been logged.

    :param plugin: name of the plugin, which the client is not told.
    """

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        super().__init__(
            "A part of this site that every request needs has failed. Try again later.",
            503,
            headers={"Retry-After": "5"},
        )


class ValidationError(ApiException):
    """An :class:`ApiException` with status 422 that names each failure.

    :param field: name of the one member of the body that is at fault; it becomes the JSON Pointer ``/field``.
    :param message: what is wrong with it.
    :param errors: entries for several failures: ``{"pointer": "/field", "detail": …}`` for the body,
        ``{"parameter": "a", "detail": …}`` for the query, with a ``code`` where a program should tell them apart.
    """

    def __init__(
        self,
        field: str | None = None,
        message: str | None = None,
        *,
        errors: Iterable[Mapping[str, t.Any]] = (),
    ) -> None:
        entries = [dict(entry) for entry in errors]
        if field is not None:
            pointer = "/" + field.replace("~", "~0").replace("/", "~1")
            entries.insert(0, {"pointer": pointer, "detail": message or "The value is not valid."})
        if not entries and message is None:
            raise ValueError("A ValidationError names what is wrong: pass field and message, or errors=[…].")
        self.errors = entries
        self.field = field
        summary = message or "; ".join(str(entry.get("detail", "not valid")) for entry in entries)
        super().__init__(summary, 422)
