"""A job is a row of the transaction that enqueues it."""

from __future__ import annotations

import re
import typing as t
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from myapp import ApiException, get_db, get_user, job, task
from myapp.core.access import create_user
from myapp.core.errors import JobError, ReadOnlyTaskError
from myapp.core.work import Enqueued, Failure, Job, LedgerTransport, drain, get_state
from myapp.testing import bearer
from tests.conftest import Item

if t.TYPE_CHECKING:
    from flask import Flask

    from myapp import CustomFlask


@job
def add(name: str, *, secret: str | None = None) -> dict[str, str]:
    """Insert one row."""
    get_db().add(Item(name=name, secret=secret))
    return {"added": name}


@job(retries=2)
def add_and_fail(name: str) -> None:
    get_db().add(Item(name=name))
    get_db().flush()
    raise ArithmeticError("after the write")


@job(unique_key=lambda name: f"one {name}")
def add_once(name: str) -> None:
    get_db().add(Item(name=name))


@job(retry_on=ArithmeticError)
def picky(kind: str) -> None:
    raise {"retried": ArithmeticError, "final": KeyError}[kind](kind)


@job
def refuse() -> None:
    raise ApiException("The meter is unknown.", 404, meter="south")


@job
def who() -> str | None:
    user = get_user()
    return None if user is None else user.address


@job
def rename(
    item_id: int,
    name: str,
    *,
    note: str | None,
    tag: str = None,  # type: ignore[assignment]  # noqa: RUF013 - Some write it so.
    **more: str,
) -> None: ...


def find(app: CustomFlask, job_id: str) -> Job:
    with app.task(read_only=True):
        return t.cast("Job", get_db().get(Job, job_id))


def count(app: CustomFlask) -> int:
    with app.task(read_only=True):
        return get_db().scalar(sa.select(sa.func.count()).select_from(Job)) or 0


def test_job_runs_after_the_commit_and_leaves_its_result(db_app: CustomFlask, names: t.Any) -> None:
    """Its row has what a reader wants to know: arguments, result, times, the task that enqueued it."""
    with db_app.task():
        id_ = add.enqueue("a", secret="x")
        enqueuer = task.id
    assert names() == []

    [ended] = drain(db_app)

    assert (ended.claim.id, ended.state, names()) == (id_, "done", ["a"])
    row = find(db_app, id_)
    assert (row.state, row.attempts, row.value, row.error, row.owner) == ("done", 1, {"added": "a"}, None, None)
    assert row.arguments == (["a"], {"secret": "x"})
    assert row.task_id == enqueuer
    assert row.created <= t.cast("datetime", row.started) <= t.cast("datetime", row.finished)
    assert row.expires_at == t.cast("datetime", row.finished) + timedelta(hours=24)


def test_job_is_not_written_when_the_task_rolls_back(db_app: CustomFlask) -> None:
    """An error after enqueue(), a savepoint that fails, a doomed task: no row, ever."""
    with pytest.raises(ZeroDivisionError), db_app.task():
        add.enqueue("a")
        raise ZeroDivisionError
    with db_app.task():
        with pytest.raises(ZeroDivisionError), task.savepoint():
            add.enqueue("b")
            raise ZeroDivisionError
        add.enqueue("c")
        task.doom()
    assert count(db_app) == 0


def test_enqueue_outside_of_a_task_says_what_to_do(db_app: CustomFlask) -> None:
    """Also in a bare context, in a task that only reads, and in one that has ended."""
    with pytest.raises(RuntimeError, match=r"with app\.task\(\)"):
        add.enqueue("a")
    with db_app.app_context(), pytest.raises(RuntimeError, match=r"with app\.task\(\)"):
        add.enqueue("a")
    with db_app.task(read_only=True), pytest.raises(ReadOnlyTaskError):
        add.enqueue("a")
    assert count(db_app) == 0


@pytest.mark.parametrize(
    "value",
    [datetime.now(UTC), {1: "a"}, float("nan"), object(), b"x", {"a": {2}}, Item(name="a")],
    ids=["datetime", "key", "nan", "object", "bytes", "set", "model"],
)
def test_arguments_that_are_no_json_are_refused_at_once(db_app: CustomFlask, value: t.Any) -> None:
    """What would not come back as it went is a TypeError where it is enqueued, and so are too many arguments."""
    with db_app.task():
        with pytest.raises(TypeError, match="JSON"):
            add.enqueue(value)
        with pytest.raises(TypeError, match="argument"):
            add.enqueue("a", "b")  # type: ignore[call-arg]


def test_arguments_come_back_as_they_were(db_app: CustomFlask) -> None:
    """Whatever JSON can hold: long numbers, control characters, half of a character."""

    @job
    def compare(*values: t.Any) -> None:
        assert list(values) == sent

    sent = [10**30, 0.1, "\0 \ud800 ü 🦉", None, True, {"a": [1, {}]}, ""]
    with db_app.task():
        compare.enqueue(*sent)
    assert [ended.state for ended in drain(db_app)] == ["done"]


def test_plain_call_runs_here_and_now(db_app: CustomFlask, names: t.Any) -> None:
    """In the task that is open, as if it were no job."""
    with db_app.task():
        assert add("a") == {"added": "a"}
    assert (names(), count(db_app)) == (["a"], 0)


def test_failed_attempt_leaves_nothing_and_is_tried_again(db_app: CustomFlask, names: t.Any) -> None:
    """After 2 s, then 4 s, ± 20 %; then it is dead, with the error."""
    clock = get_state(db_app).clock
    with db_app.task():
        id_ = add_and_fail.enqueue("a")
    for attempt, seconds in ((1, 2), (2, 4)):
        [ended] = drain(db_app)
        row = find(db_app, id_)
        assert (ended.state, row.state, row.attempts) == ("ready", "ready", attempt)
        assert isinstance(ended.error, ArithmeticError)
        wait = (row.run_at - clock.now()).total_seconds()
        assert seconds * 0.7 < wait <= seconds * 1.2
        assert drain(db_app) == []
        clock.advance(seconds * 1.2)
    assert [ended.state for ended in drain(db_app)] == ["dead"]
    row = find(db_app, id_)
    failure = t.cast("Failure", Failure.from_text(row.error))
    assert (row.state, failure.kind, failure.summary) == ("dead", "exception", "ArithmeticError: after the write")
    assert "after the write" in t.cast("str", failure.traceback)
    assert names() == []


def test_only_listed_exceptions_are_retried(db_app: CustomFlask) -> None:
    """Any other one ends the job, and so does an answer that is raised on purpose, whose problem is kept."""
    with db_app.task():
        picky.enqueue("retried")
        picky.enqueue("final")
        id_ = refuse.enqueue()
    assert [ended.state for ended in drain(db_app)] == ["ready", "failed", "failed"]
    failure = t.cast("Failure", Failure.from_text(find(db_app, id_).error))
    assert failure.kind == "problem"
    assert failure.problem == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "The meter is unknown.",
        "meter": "south",
    }


def test_unknown_function_is_dead_and_nothing_is_imported(db_app: CustomFlask) -> None:
    """A row that names any callable of the standard library runs nothing; the error says what to do."""
    with db_app.task():
        id_ = add.enqueue("a")
        get_db().execute(sa.update(Job).values(func="os:getcwd"))
    assert [ended.state for ended in drain(db_app)] == ["dead"]
    failure = t.cast("Failure", Failure.from_text(find(db_app, id_).error))
    assert failure.kind == "unknown"
    assert "no job function os:getcwd" in failure.summary


def test_arguments_of_older_code_are_dead_letters(db_app: CustomFlask) -> None:
    """A function that does not take them any more is not tried five times."""
    with db_app.task():
        id_ = add.enqueue("a")
        get_db().execute(sa.update(Job).values(args='[["a","b"],{}]'))
    assert [ended.state for ended in drain(db_app)] == ["dead"]
    assert "arguments" in t.cast("Failure", Failure.from_text(find(db_app, id_).error)).summary


def test_fifty_threads_with_one_key_make_one_job(db_app: CustomFlask, names: t.Any) -> None:
    """Each of them gets its id; once it is done there is room for the next."""

    def enqueue(_number: int) -> str:
        with db_app.task():
            return add_once.enqueue("a")

    with ThreadPoolExecutor(max_workers=50) as pool:
        ids = set(pool.map(enqueue, range(50)))
    assert len(ids) == 1
    assert len(drain(db_app)) == 1
    assert names() == ["a"]
    with db_app.task():
        assert add_once.enqueue("a") not in ids


def test_job_waits_for_its_time_and_the_larger_priority_goes_first(db_app: CustomFlask, names: t.Any) -> None:
    """``run_at``, ``delay`` and ``priority``, each for one call."""
    clock = get_state(db_app).clock
    with db_app.task():
        add.with_options(run_at=clock.now() + timedelta(seconds=60)).enqueue("later")
        add.with_options(delay=30).enqueue("soon")
        add.enqueue("now")
        add.with_options(priority=5).enqueue("first")
    drain(db_app)
    assert names() == ["first", "now"]
    clock.advance(45)
    drain(db_app)
    assert names() == ["first", "now", "soon"]
    clock.advance(45)
    drain(db_app)
    assert names() == ["first", "now", "soon", "later"]


def test_transport_is_told_when_the_database_is_released(db_app: CustomFlask, names: t.Any) -> None:
    """A transport that takes its time keeps SQLite's only write lock from nobody."""

    class Slow(LedgerTransport):
        def announce(self, app: Flask, jobs: t.Sequence[Enqueued]) -> None:
            with app.task():
                get_db().add(Item(name="written meanwhile"))

    get_state(db_app).transport = Slow()
    with db_app.task():
        get_db().add(Item(name="a"))
        add.enqueue("b")
    assert names() == ["a", "written meanwhile"]


def test_zombie_leaves_no_trace(db_app: CustomFlask, names: t.Any) -> None:
    """A job that was given to another worker while it ran commits nothing."""

    @job
    def slow() -> None:
        get_db().add(Item(name="zombie"))
        get_db().flush()
        get_db().execute(sa.update(Job).values(owner="another worker", attempts=2))

    with db_app.task():
        id_ = slow.enqueue()
    assert [ended.state for ended in drain(db_app)] == ["lost"]
    assert names() == []
    # The row is as the claim left it: the update above was rolled back too.
    assert (find(db_app, id_).state, find(db_app, id_).attempts) == ("running", 1)


def test_job_runs_for_whoever_enqueued_it(make_db_app: t.Any) -> None:
    """With the scopes of the token; a disabled user is nobody."""
    app = make_db_app()
    app.post("/")(lambda: {"id": who.enqueue()})
    headers = bearer(app, "ann@example.com", "meters:read")
    id_ = app.test_client().post("/", headers=headers).json["id"]
    with app.task():
        create_user("bob@example.com", "correct horse battery")
        other = who.enqueue()
    drain(app)
    assert (find(app, id_).value, find(app, id_).scopes, find(app, id_).user_id) == (
        "ann@example.com",
        "meters:read",
        1,
    )
    assert (find(app, other).value, find(app, other).user_id) == (None, None)


def test_job_outside_of_atomic_writes_in_blocks_of_its_own(db_app: CustomFlask, names: t.Any) -> None:
    """Each block commits alone, and stays when the job fails afterwards; a write outside of one is refused."""

    @job(atomic=False, retries=0)
    def long() -> None:
        assert get_db().scalar(sa.select(sa.func.count()).select_from(Item)) == 0
        with db_app.task():
            get_db().add(Item(name="kept"))
        with pytest.raises(ReadOnlyTaskError):
            add.enqueue("a")
        raise ArithmeticError

    with db_app.task():
        long.enqueue()
    assert [ended.state for ended in drain(db_app)] == ["dead"]
    assert names() == ["kept"]


def test_two_functions_of_one_name_are_told_apart(db_app: CustomFlask) -> None:
    """A worker could run the wrong one: the first cannot be enqueued any more, until one has a name of its own."""

    def make(value: int, **options: t.Any) -> t.Any:
        @job(**options)
        def same() -> int:
            return value

        return same

    first, second = make(1), make(2)
    third = make(3, name="the third")
    with db_app.task():
        with pytest.raises(JobError, match="name="):
            first.enqueue()
        second.enqueue()
        third.enqueue()
    assert [ended.state for ended in drain(db_app)] == ["done", "done"]


def test_doomed_job_is_failed_and_sys_exit_is_an_error(db_app: CustomFlask, names: t.Any) -> None:
    """Neither ends the worker, neither leaves a row behind."""

    @job
    def doomed() -> None:
        get_db().add(Item(name="doomed"))
        task.doom()

    @job
    def leaves() -> None:
        get_db().add(Item(name="gone"))
        raise SystemExit(0)

    with db_app.task():
        doomed.enqueue()
        leaves.enqueue()
    assert [ended.state for ended in drain(db_app)] == ["failed", "ready"]
    assert names() == []


def test_result_that_is_no_json_fails_the_job(db_app: CustomFlask, names: t.Any) -> None:
    """Before anything is committed."""

    @job(retries=0)
    def odd() -> object:
        get_db().add(Item(name="odd"))
        return object()

    with db_app.task():
        odd.enqueue()
    assert [ended.state for ended in drain(db_app)] == ["dead"]
    assert names() == []


def test_drain_inside_a_task_is_refused(db_app: CustomFlask) -> None:
    """What this task has enqueued is not committed yet."""
    with db_app.task(), pytest.raises(JobError, match="after the task"):
        drain(db_app)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"queue": ""}, ValueError),
        ({"priority": "high"}, TypeError),
        ({"retries": -1}, ValueError),
        ({"retry_on": ("ValueError",)}, TypeError),
        ({"retry_on": KeyboardInterrupt}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"timeout": "5"}, TypeError),
        ({"timeout": timedelta(seconds=5)}, TypeError),
        ({"delay": "60"}, TypeError),
        ({"delay": True}, TypeError),
        ({"delay": float("nan")}, ValueError),
        ({"delay": 1e12}, ValueError),
        ({"delay": timedelta.max}, ValueError),
        ({"unique_key": 5}, TypeError),
        ({"atomic": "no"}, TypeError),
        ({"name": "x" * 400}, ValueError),
        ({"name": 5}, TypeError),
        ({"unknown": 1}, TypeError),
    ],
    ids=str,
)
def test_options_are_checked_where_they_are_written(options: dict[str, t.Any], error: type[Exception]) -> None:
    """Not when the first job runs; the message names the option."""
    with pytest.raises(error, match=next(iter(options))):
        job(**options)(lambda: None)


@pytest.mark.parametrize("run_at", ["2030", 1_900_000_000])
def test_what_is_no_moment_is_refused(run_at: t.Any) -> None:
    """Where the options of one job are written."""
    with pytest.raises(TypeError, match="run_at is a datetime with a time zone"):
        add.with_options(run_at=run_at)


def test_id_of_a_row_that_was_not_flushed_is_refused(db_app: CustomFlask) -> None:
    """It is None, and the job would be about nothing; None passes where the function does not rule it out."""
    with db_app.task():
        item = Item(name="a")
        get_db().add(item)
        for arguments in ((item.id, "b"), (1, None)):
            with pytest.raises(TypeError, match=r"with None as (item_id|name), .*get_db\(\)\.flush\(\)"):
                rename.enqueue(*arguments, note="x")
        with pytest.raises(TypeError, match="None as item_id"):
            rename.enqueue(item_id=item.id, name="b", note="x")
        get_db().flush()
        rename.enqueue(item.id, "b", note=None, tag=None, more=None)  # type: ignore[arg-type]
    assert count(db_app) == 1


def test_log_says_when_a_job_is_tried_again(db_app: CustomFlask, caplog: pytest.LogCaptureFixture) -> None:
    """And what became of it when it is not."""
    with db_app.task():
        add_and_fail.enqueue("a")
    for seconds in (2, 4, 0):
        drain(db_app)
        get_state(db_app).clock.advance(seconds * 1.3)

    said = [record.getMessage() for record in caplog.records if "its attempt" in record.getMessage()]

    assert [re.sub(r"^.*its ", "", line) for line in said[2:]] == [
        "attempt 3 of 3, failed and is dead now: ArithmeticError: after the write"
    ]
    for line, pattern in zip(said, (r"again in 2 s:", r"again in [345] s:"), strict=False):
        assert re.search(pattern, line), line


@pytest.mark.parametrize("options", [{"retry_on": ValueError}, {"name": "other"}], ids=str)
def test_options_that_no_row_can_have_are_refused_for_one_job(options: dict[str, t.Any]) -> None:
    """They would be ignored: whoever runs the job knows its function only."""
    with pytest.raises(TypeError):
        add.with_options(**options)
