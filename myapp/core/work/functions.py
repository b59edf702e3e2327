"""``job``: functions that run as background jobs, and how a row of the ledger finds its function."""

from __future__ import annotations

import functools
import inspect
import json
import typing as t
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from ..errors import JobError, UnknownJobError
from .ledger import NewJob, enqueue

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = t.ParamSpec("P")
R = t.TypeVar("R")

#: What the columns, and an index of PostgreSQL, can hold.
QUEUE_LENGTH, NAME_LENGTH, KEY_LENGTH = 64, 300, 500
#: Centuries later a moment is beyond the last year of a datetime.
MAXIMUM_DELAY = timedelta(days=36_500)
DEFAULT_RETRIES = 4
DEFAULT_TIMEOUT_SECONDS = 3600.0

# Made once: json.dumps makes an encoder at each call that does not ask for its defaults.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode

#: What a parameter is annotated with that takes no None; as text where annotations are not evaluated.
_NEVER_NONE = (bool, int, float, str, "bool", "int", "float", "str")

# Functions belong to the process, because Python modules do. A row names its function and this finds it: what is not
# here does not run, whatever the table says. Weak: a function that nothing can call any more is no job.
_functions: WeakValueDictionary[str, JobFunction[t.Any, t.Any]] = WeakValueDictionary()


@dataclass(frozen=True)
class Options:
    """How the jobs of a function are run; see :func:`job`."""

    queue: str = "default"
    priority: int = 0
    retries: int = DEFAULT_RETRIES
    retry_on: tuple[type[Exception], ...] = (Exception,)
    unique_key: str | Callable[..., str | None] | None = None
    run_at: datetime | None = None
    delay: float | timedelta | None = None
    atomic: bool = True
    timeout: float | None = DEFAULT_TIMEOUT_SECONDS
    #: Whether it belongs to whoever asks, who may see and cancel it; False for what the core does by itself.
    on_behalf: bool = True

    def __post_init__(self) -> None:
        """Refuse what could not be kept, where it is written.

        :raises TypeError: for a value of another type.
        :raises ValueError: for a value out of range.
        """
        if not isinstance(self.queue, str) or not 0 < len(self.queue) <= QUEUE_LENGTH or not self.queue.isprintable():
            raise ValueError(f"A queue has a name of at most {QUEUE_LENGTH} printable characters, not {self.queue!r}.")
        for name, value, least in (("priority", self.priority, -1000), ("retries", self.retries, 0)):
            if type(value) is not int:
                raise TypeError(f"{name} is a whole number, not {value!r}.")
            if not least <= value <= 1000:
                raise ValueError(f"{name} is {least} to 1,000, not {value}.")
        if not all(isinstance(one, type) and issubclass(one, Exception) for one in self.retry_on):
            raise TypeError(f"retry_on lists exceptions, not {self.retry_on!r}.")
        delay = self.delay.total_seconds() if isinstance(self.delay, timedelta) else self.delay
        for name, seconds, takes in (
            ("timeout", self.timeout, "a number of seconds, or None for no limit"),
            ("delay", delay, "a number of seconds, or a timedelta"),
        ):
            if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
                raise TypeError(f"{name} is {takes}, not {seconds!r}.")
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout is a number of seconds, or None for no limit, not {self.timeout!r}.")
        if delay is not None and not abs(delay) <= MAXIMUM_DELAY.total_seconds():
            raise ValueError(f"delay is at most {MAXIMUM_DELAY.days:,} days, not {self.delay!r}.")
        if not isinstance(self.run_at, datetime | None):
            raise TypeError(f"run_at is a datetime with a time zone, not {self.run_at!r}.")
        if self.run_at is not None and (self.delay is not None or self.run_at.tzinfo is None):
            raise ValueError("run_at is a moment with a time zone, and stands alone: leave delay out.")
        if not (isinstance(self.unique_key, str | None) or callable(self.unique_key)):
            raise TypeError(f"unique_key is a text, or a function of the arguments, not {self.unique_key!r}.")
        if type(self.atomic) is not bool:
            raise TypeError(f"atomic is True or False, not {self.atomic!r}.")


class JobFunction(t.Generic[P, R]):
    """What :func:`job` makes of a function: a plain call runs it here and now, :meth:`enqueue` later."""

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[P, R], name: str, options: Options) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        #: The name by which rows of the ledger refer to it.
        self.name = name
        self.options = options
        self.signature = inspect.signature(function)
        #: How many positional arguments alone fit: binding them to the signature takes as long as the insert.
        self._least, self._most = _positional(self.signature)
        self._never_none = _never_none(self.signature)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it here and now, in the task that is open, as if it were no job."""
        return self.function(*args, **kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Let a worker run it after the current task has committed; return the id of the job.

        The job is a row of the task's transaction: a rollback takes it back, and an error here fails the task. With a
        ``unique_key`` that a waiting or running job has, that job's id is returned and nothing is written.

        :raises NoTaskError: outside of a task.
        :raises TypeError: when the arguments do not fit the function, or are not JSON; for None where the function says
            ``int``, ``float``, ``bool`` or ``str``: the id of a row that has not been flushed.
        """
        return enqueue(self._make(args, kwargs))

    def with_options(self, **options: t.Any) -> JobFunction[P, R]:
        """Return the same function with other options: ``send.with_options(delay=60).enqueue(1)``.

        :param options: those of :func:`job` but ``name`` and ``retry_on``, and ``run_at``, an aware datetime.
        :raises TypeError: for others.
        """
        return JobFunction(self.function, self.name, _changed(self.options, options))

    def _make(self, args: tuple[t.Any, ...], kwargs: Mapping[str, t.Any]) -> NewJob:
        known = _functions.get(self.name)
        if known is None or known.function is not self.function:
            raise JobError(
                f"There are two job functions {self.name}, and a worker could run the other one. Give each a name of"
                " its own: @job(name=…)."
            )
        if kwargs or not self._least <= len(args) <= self._most:
            self.signature.bind(*args, **kwargs)
        encoded = encode_arguments(args, kwargs)
        if None in args or None in kwargs.values():
            self._refuse_none(args, kwargs)
        options = self.options
        return NewJob(
            func=self.name,
            args=encoded,
            queue=options.queue,
            priority=options.priority,
            unique_key=self._unique_key(args, kwargs),
            run_at=options.run_at,
            delay=options.delay,
            max_attempts=options.retries + 1,
            timeout=options.timeout,
            atomic=options.atomic,
            on_behalf=options.on_behalf,
        )

    def _refuse_none(self, args: tuple[t.Any, ...], kwargs: Mapping[str, t.Any]) -> None:
        given = self.signature.bind(*args, **kwargs).arguments
        for name in self._never_none:
            if name in given and given[name] is None:
                raise TypeError(
                    f"{self.name} was to be enqueued with None as {name}, which it annotates as a value. A new row has"
                    " its id after get_db().add(row) and get_db().flush(): enqueue behind that."
                )

    def _unique_key(self, args: tuple[t.Any, ...], kwargs: Mapping[str, t.Any]) -> str | None:
        key = self.options.unique_key
        text = key(*args, **kwargs) if callable(key) else key
        if text is None:
            return None
        if not isinstance(text, str) or not 0 < len(text) <= KEY_LENGTH or "\0" in text:
            raise TypeError(f"A unique_key is a text of 1 to {KEY_LENGTH} characters, not {text!r}.")
        # Two functions that say "nightly" mean two jobs.
        return f"{self.name} {text}"

    def __repr__(self) -> str:
        return f"<job {self.name}>"


@t.overload
def job(f: Callable[P, R], /) -> JobFunction[P, R]: ...
@t.overload
def job(
    f: None = None,
    /,
    *,
    name: str | None = None,
    queue: str = "default",
    priority: int = 0,
    retries: int = DEFAULT_RETRIES,
    retry_on: type[Exception] | tuple[type[Exception], ...] = Exception,
    unique_key: str | Callable[..., str | None] | None = None,
    delay: float | timedelta | None = None,
    atomic: bool = True,
    timeout: float | None = DEFAULT_TIMEOUT_SECONDS,
) -> Callable[[Callable[P, R]], JobFunction[P, R]]: ...
def job(
    f: t.Any = None,
    /,
    *,
    name: str | None = None,
    queue: str = "default",
    priority: int = 0,
    retries: int = DEFAULT_RETRIES,
    retry_on: type[Exception] | tuple[type[Exception], ...] = Exception,
    unique_key: str | Callable[..., str | None] | None = None,
    delay: float | timedelta | None = None,
    atomic: bool = True,
    timeout: float | None = DEFAULT_TIMEOUT_SECONDS,
) -> t.Any:
    """Make a function one that can run as a background job, in a task of its own. With and without parentheses.

    It runs at least once for each commit that enqueued it; what it writes to the database, its own jobs and mails
    included, happens exactly once. Its arguments are JSON, and its result is what a view may return as JSON.

    :param name: what the ledger calls it; give one to be free to rename or move the function. Default:
        ``module:qualname``.
    :param queue: workers can be told which queues they serve.
    :param priority: within a queue the larger is taken first.
    :param retries: how often it is tried again, after 2, 4, 8, … seconds.
    :param retry_on: the exceptions after which it is; any other one ends the job. An ``ApiException`` always does.
    :param unique_key: a text, or a function of the arguments that returns one: while a job of this function with this
        key waits or runs, enqueuing gives the id of that one.
    :param delay: seconds, or a timedelta, after which it may begin.
    :param atomic: False for a job that takes long: it runs in a task that only reads, and writes in blocks of its own,
        ``with current_app.task():``, which a second attempt repeats.
    :param timeout: seconds for one attempt, enforced by ``flask jobs work``; None for no limit.
    :raises TypeError: for what is not a plain or async function.
    """
    exceptions = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    options = Options(queue, priority, retries, exceptions, unique_key, None, delay, atomic, timeout)

    def decorate(function: Callable[..., t.Any]) -> JobFunction[..., t.Any]:
        if not inspect.isroutine(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"@job takes a plain or an async function, not {function!r}.")
        own = name or f"{function.__module__}:{function.__qualname__}"
        if not isinstance(own, str):
            raise TypeError(f"The name of a job is a text, not {own!r}.")
        if len(own) > NAME_LENGTH or not own.isprintable():
            raise ValueError(f"The name of a job has at most {NAME_LENGTH} printable characters, not {own!r}.")
        made = JobFunction(function, own, options)
        _functions[own] = made
        return made

    return decorate if f is None else decorate(f)


def find_function(name: str) -> JobFunction[t.Any, t.Any]:
    """Return the function that rows call ``name``; nothing is ever imported because the table says so.

    :raises UnknownJobError: when no module that is imported has it.
    """
    function = _functions.get(name)
    if function is None:
        raise UnknownJobError(
            f"There is no job function {name}. Was it renamed or moved? Then give it its old name: @job(name={name!r})."
            " Is its module imported only later? Import it where its blueprint or plugin is built. Afterwards: flask"
            " jobs retry ID."
        )
    return function


def queues() -> list[str]:
    """Return the queues that functions of this process use, sorted."""
    return sorted({function.options.queue for function in list(_functions.values())})


def encode_arguments(args: t.Sequence[t.Any], kwargs: Mapping[str, t.Any]) -> str:
    """Return the arguments as the ledger keeps them.

    :raises TypeError: for what would not come back as it was: only None, booleans, numbers, text, lists and dicts with
        text as keys are JSON. A tuple comes back as a list.
    """
    try:
        for value in (*args, *kwargs.values()):
            _check_json(value)
        return _encode([args, kwargs])
    except (ValueError, RecursionError) as error:
        raise TypeError(f"The arguments of a job are JSON: {error}.") from error


def _positional(signature: inspect.Signature) -> tuple[int, float]:
    """Return how few and how many positional arguments a call without keywords takes; nothing fits (1, 0)."""
    least, most = 0, 0.0
    for parameter in signature.parameters.values():
        is_required = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = float("inf")
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            least, most = least + is_required, most + 1
        elif parameter.kind is parameter.KEYWORD_ONLY and is_required:
            return 1, 0.0
    return least, most


def _never_none(signature: inspect.Signature) -> tuple[str, ...]:
    """Return the parameters that say themselves that None is nothing they take."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(
        name
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type | str)
        and parameter.annotation in _NEVER_NONE
        and parameter.default is not None
        and parameter.kind not in several
    )


def _check_json(value: t.Any) -> None:
    kind = type(value)
    if value is None or kind in (str, int, bool, float):
        return
    if kind in (list, tuple):
        for item in value:
            _check_json(item)
        return
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"The arguments of a job are JSON, whose keys are text: {key!r} would become one.")
            _check_json(item)
        return
    raise TypeError(
        f"The arguments of a job are JSON, and {kind.__qualname__} is not. Pass an id and load the object in the job,"
        " or a text that it can be made from."
    )


def _changed(options: Options, changes: Mapping[str, t.Any]) -> Options:
    changes = dict(changes)
    if "retry_on" in changes:
        # Exceptions cannot be written into the row, so that only the function can say it.
        raise TypeError("retry_on is an option of all jobs of a function: @job(retry_on=…).")
    if changes.get("run_at") is not None:
        changes.setdefault("delay", None)
    return replace(options, **changes)
