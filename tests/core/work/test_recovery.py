"""Workers that are gone, results that have expired, and how a worker is known to the others."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
import threading
import time
import typing as t
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from myapp import ApiException, after_commit, get_db, job, progress
from myapp.core.data import get_engine, sqlite
from myapp.core.errors import JobError, JobLostError
from myapp.core.signals import job_changed
from myapp.core.work import Attempt, Failure, Job, Taker, cancel, drain, find_job, get_state, retry
from myapp.core.work.advisory import key_of
from myapp.core.work.failure import describe
from myapp.core.work.link import Link
from myapp.core.work.progress import find_attempt
from myapp.core.work.recovery import expire, give_back, requeue_dead
from myapp.core.work.worker import Worker
from myapp.testing import Jobs
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask
    from myapp.core.work.advisory import AdvisoryPresence
    from myapp.core.work.ledger import Claim


@job(retries=1)
def add(name: str) -> str:
    get_db().add(Item(name=name))
    return name


def enqueue(app: CustomFlask, *names: str, **options: t.Any) -> list[str]:
    with app.task():
        return [add.with_options(**options).enqueue(name) for name in names]


def die(taker: Taker) -> None:
    """End a worker as a kill does: its connection closes, nothing is cleared away."""
    taker.link.close()
    presence: t.Any = taker.presence
    if hasattr(presence, "abandon"):
        presence.abandon()
        return
    presence.release()
    # PostgreSQL frees the lock when it has noticed that the connection has ended: whoever asks for it waits for that.
    with get_engine(taker.app).connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key_of(taker.owner))))


def requeue(taker: Taker) -> list[str]:
    """Look for the jobs of dead workers; on PostgreSQL twice, because the first look ends their leases only."""
    found = requeue_dead(taker)
    get_state(taker.app).clock.advance(1)
    return found + requeue_dead(taker)


def test_job_of_a_dead_worker_is_ready_at_once(db_app: CustomFlask) -> None:
    """And dead after its last try; the job of one that lives is left alone."""
    one, two = enqueue(db_app, "a", "b")
    living = Taker(db_app)
    with living, Taker(db_app) as other:
        dying = Taker(db_app)
        dying.__enter__()
        assert [taker.take().id for taker in (living, dying)] == [one, two]  # type: ignore[union-attr]
        assert requeue_dead(other) == []
        die(dying)
        assert requeue(other) == [two]
        assert requeue_dead(other) == []
        row = Jobs(db_app).find(two)
        assert (row.state, row.attempts, row.owner) == ("ready", 1, None)
        again = Taker(db_app)
        again.__enter__()
        assert again.take() is not None
        die(again)
        assert requeue(other) == [two]
        failure = t.cast("Failure", Failure.from_text(Jobs(db_app).find(two).error))
        assert (Jobs(db_app).find(two).state, failure.kind) == ("dead", "lost")
        assert Jobs(db_app).find(one).state == "running"


def test_parts_above_hear_of_jobs_that_nobody_runs(db_app: CustomFlask) -> None:
    """Of one that waits and is cancelled, and of one whose worker has died: ready, and then dead."""
    heard: list[tuple[str, str]] = []

    def hear(_app: t.Any, *, job_id: str, state: str) -> None:
        heard.append((job_id, state))

    waiting, orphan = enqueue(db_app, "a", "b")
    with job_changed.connected_to(hear, sender=db_app), Taker(db_app) as other:
        with db_app.app_context():
            assert cancel(waiting) == "cancelled"
        for _ in range(2):
            dying = Taker(db_app)
            dying.__enter__()
            assert dying.take() is not None
            die(dying)
            requeue(other)
    assert heard == [(waiting, "cancelled"), (orphan, "ready"), (orphan, "dead")]


def test_zombie_that_comes_back_commits_nothing(db_app: CustomFlask, names: t.Any) -> None:
    """Its job was given to another worker, which has done it meanwhile: one row, of the other one."""
    [id_] = enqueue(db_app, "once")
    with Taker(db_app) as zombie, Taker(db_app) as other:
        claim = zombie.take()
        assert claim is not None
        give_back(other.link, db_app, zombie.owner)
        assert (Jobs(db_app).find(id_).state, Jobs(db_app).find(id_).attempts) == ("ready", 0)
        taken = other.take()
        assert taken is not None
        assert Attempt(taken, other).run().state == "done"
        assert Attempt(claim, zombie).run().state == "lost"
    assert names() == ["once"]
    assert Jobs(db_app).find(id_).state == "done"


def test_job_that_is_given_back_after_it_was_cancelled_does_not_run_again(db_app: CustomFlask) -> None:
    """Somebody did not want it any more: of what its worker had taken the rest is ready."""
    wanted, unwanted = enqueue(db_app, "a", "b")
    dying = Taker(db_app)
    with dying, Taker(db_app) as other:
        assert [t.cast("Claim", dying.take()).id for _ in range(2)] == [wanted, unwanted]
        with db_app.app_context():
            assert cancel(unwanted) == "running"
        assert give_back(other.link, db_app, dying.owner) == 1
    rows = [Jobs(db_app).find(id_) for id_ in (wanted, unwanted)]
    assert [(row.state, row.attempts) for row in rows] == [("ready", 0), ("cancelled", 1)]


def test_two_workers_never_take_the_same_job(db_app: CustomFlask) -> None:
    """Four threads, forty jobs, each of them once."""
    ids = enqueue(db_app, *(f"row {number}" for number in range(40)))
    taken: list[str] = []

    def take_all() -> None:
        with Taker(db_app) as taker:
            while True:
                taker.look()
                claim = taker.take()
                if claim is None and not taker.has_due:
                    return
                if claim is not None:
                    taken.append(claim.id)

    threads = [threading.Thread(target=take_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(taken) == sorted(ids)


def test_queues_take_turns(db_app: CustomFlask) -> None:
    """A long queue keeps no other waiting; in each the larger priority comes first."""
    enqueue(db_app, "a1", "a2", "a3", queue="a")
    enqueue(db_app, "b1", queue="b")
    enqueue(db_app, "a0", queue="a", priority=1)
    assert [ended.claim.args for ended in drain(db_app, queues=["b"])] == ['[["b1"],{}]']
    enqueue(db_app, "b2", "b3", queue="b")
    with Taker(db_app) as taker:
        taken = []
        while (claim := taker.take()) is not None:
            taken.append(claim.args[3:5])
    assert taken == ["a0", "b2", "a1", "b3", "a2", "a3"]


def test_job_is_not_taken_with_the_one_before_it(db_app: CustomFlask) -> None:
    """One that waits for its time stands in the same line as one that is due."""
    [due] = enqueue(db_app, "now")
    enqueue(db_app, "later", delay=60)
    with Taker(db_app) as taker, taker.link.begin() as execute:
        taker.look()
        claim = taker.take_in(execute)
        assert claim is not None
        assert claim.id == due
        assert taker.take_in(execute) is None


def test_expired_results_are_cleared_and_then_forgotten(db_app: CustomFlask) -> None:
    """At once where nobody is the owner; the owner finds an empty row for a week."""
    clock = get_state(db_app).clock
    owned, other, waiting = enqueue(db_app, "a", "b") + enqueue(db_app, "c", delay=10**7)
    with db_app.task():
        get_db().execute(sa.update(Job).where(Job.id == owned).values(user_id=1))
    drain(db_app)
    with Taker(db_app) as taker:
        expire(taker.link, db_app)
        assert Jobs(db_app).find(other).value == "b"
        clock.advance(timedelta(hours=25).total_seconds())
        expire(taker.link, db_app)
        assert {one.id for one in Jobs(db_app).list()} == {owned, waiting}
        assert (Jobs(db_app).find(owned).value, Jobs(db_app).find(owned).args) == (None, "[[],{}]")
        clock.advance(timedelta(days=8).total_seconds())
        expire(taker.link, db_app)
    assert [one.id for one in Jobs(db_app).list()] == [waiting]


def test_progress_is_seen_by_others_and_kept(db_app: CustomFlask) -> None:
    """While the job's transaction has nothing committed; a fraction that is none is refused."""
    seen: list[t.Any] = []

    @job(retries=0)
    def work() -> None:
        get_db().add(Item(name="a"))
        get_db().flush()
        progress(0.25, "a quarter")
        with pytest.raises(ValueError, match="from 0 to 1"):
            progress(1.5)
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(timeout=30)

    def look() -> None:
        with db_app.app_context():
            found = t.cast("Job", find_job(id_))
        seen.append((found.state, found.progress, found.progress_text))

    with db_app.task():
        id_ = work.enqueue()
    [ended] = drain(db_app)
    assert ended.state == "done", ended.error
    assert seen == [("running", 0.25, "a quarter")]
    assert Jobs(db_app).find(id_).progress == 0.25


def test_progress_outside_of_a_job_does_nothing(db_app: CustomFlask) -> None:
    """A function that is called here and now may call it."""
    progress(0.5)
    with db_app.task():
        progress(1)


@pytest.mark.backend("postgresql")
@pytest.mark.parametrize("notices", ["progress", "cancel", "beat"])
def test_job_goes_on_when_the_connection_beside_it_is_cut(
    db_app: CustomFlask, notices: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The one that says that the worker lives: whatever finds out, the next beat opens another one.

    Nobody who looks in between takes the worker for dead, then or later; the log says what has happened.
    """
    enqueue(db_app, "a")
    with Taker(db_app) as taker, Taker(db_app) as other:
        claim = taker.take()
        assert claim is not None
        presence = t.cast("AdvisoryPresence", taker.presence)
        backend = t.cast("sa.Connection", presence._connection).scalar(sa.text("SELECT pg_backend_pid()"))
        with db_app.task():
            get_db().execute(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": backend})
        if notices == "progress":
            presence.report(claim, (0.5, None))
        elif notices == "cancel":
            assert not presence.is_cancel_asked(claim)
        assert not other.presence.is_alive(taker.owner)
        assert requeue_dead(other) == []
        presence.beat(get_state(db_app).clock.now())
        assert "terminating connection" in caplog.text
        assert other.presence.is_alive(taker.owner)
        assert requeue_dead(other) == []
        get_state(db_app).clock.advance(1)
        assert requeue_dead(other) == []
        assert Attempt(claim, taker).run().state == "done"


def test_running_job_that_is_cancelled_stops_at_its_next_progress(db_app: CustomFlask, names: t.Any) -> None:
    """Asked for by another thread while SQLite's only write lock is the job's."""

    @job
    def work() -> None:
        get_db().add(Item(name="a"))
        get_db().flush()
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(timeout=30)
        progress(0.5)
        get_db().add(Item(name="never"))

    answers = []

    def ask() -> None:
        with db_app.app_context():
            answers.append(cancel(id_))

    with db_app.task():
        id_ = work.enqueue()
    assert [ended.state for ended in drain(db_app)] == ["cancelled"]
    assert (answers, names()) == (["running"], [])


def test_cancelled_job_that_fails_is_not_tried_again(db_app: CustomFlask) -> None:
    """Somebody asked it to stop, and it has; tried again by hand, it is not cancelled by what was asked before."""

    @job
    def work() -> str:
        if not answers:
            with db_app.app_context():
                answers.append(cancel(id_))
            raise ArithmeticError
        progress(1)
        return "done this time"

    answers: list[t.Any] = []
    with db_app.task():
        id_ = work.enqueue()
    with Taker(db_app) as taker:
        claim = taker.take()
        assert claim is not None
        assert Attempt(claim, taker).run().state == "cancelled"
        with db_app.task():
            assert retry(id_) == "cancelled"
        again = taker.take()
        assert again is not None
        assert Attempt(again, taker).run().state == "done"


@pytest.mark.backend("postgresql")
def test_job_that_was_tried_again_by_two_runs_once_more(db_app: CustomFlask) -> None:
    """What the second one has seen is not so any more: the job is done by then."""

    @job(retries=0)
    def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ArithmeticError

    runs: list[int] = []
    with db_app.task():
        id_ = work.enqueue()
    drain(db_app)
    with db_app.task():
        seen = get_db().get_one(Job, id_)
        assert seen.state == "dead"
        with db_app.task():
            assert retry(id_) == "dead"
        with Taker(db_app) as taker:
            claim = taker.take()
            assert claim is not None
            assert Attempt(claim, taker).run().state == "done"
        with pytest.raises(JobError, match="is done"):
            retry(id_)
    assert (len(runs), drain(db_app)) == (2, [])


@pytest.mark.backend("postgresql")
def test_job_that_is_tried_again_is_locked(db_app: CustomFlask) -> None:
    """Until the commit: who tries it again at the same time waits before looking at it, and not afterwards."""
    [id_] = enqueue(db_app, "a")
    with db_app.app_context():
        assert cancel(id_) == "cancelled"
    with db_app.task():
        assert retry(id_) == "cancelled"
        with pytest.raises(OperationalError, match="FOR UPDATE"), db_app.task():
            get_db().execute(sa.text("SET LOCAL lock_timeout = '50ms'"))
            retry(id_)


@pytest.mark.backend("sqlite")
def test_link_waits_for_other_processes(db_app: CustomFlask) -> None:
    """Also where SQLite does not, because other greenlets could not run meanwhile."""
    path = get_engine(db_app).url.database
    link = Link(db_app)
    link.raw().execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(str(path), isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.1, other.rollback)
        timer.start()
        with link.begin() as execute:
            execute("UPDATE jobs SET priority = 0", {})
        timer.join()
    link.close()


def test_cancelling_a_job_that_comes_back_at_this_moment(db_app: CustomFlask) -> None:
    """Somebody takes it while it is cancelled, and gives it back: nobody hears that it is "ready"."""
    [id_] = enqueue(db_app, "a")

    def take(_conn: t.Any, _cursor: t.Any, statement: str, parameters: t.Any, *_more: t.Any) -> tuple[str, t.Any]:
        is_first = statement.startswith("UPDATE jobs") and not taken
        taken.extend([statement] if is_first else [])
        return f"{statement} AND 1 = 0" if is_first else statement, parameters

    taken: list[str] = []
    sa.event.listen(get_engine(db_app), "before_cursor_execute", take, retval=True)
    with db_app.app_context():
        assert cancel(id_) == "cancelled"
    assert (len(taken), Jobs(db_app).find(id_).state) == (1, "cancelled")


def test_link_goes_on_after_an_error(db_app: CustomFlask, names: t.Any) -> None:
    """The error is SQLAlchemy's, whatever the driver raised; the next use opens another connection."""
    enqueue(db_app, "a")
    with Taker(db_app) as taker:
        claim = taker.take()
        assert claim is not None
        with pytest.raises(DBAPIError, match="no_such_table"), taker.link.begin() as execute:
            execute("SELECT * FROM no_such_table", {})
        assert Attempt(claim, taker).run().state == "done"
    assert names() == ["a"]


def test_worker_thread_takes_what_is_committed_and_stops(db_app: CustomFlask, names: t.Any) -> None:
    """Woken at once by a commit of this process; stop() lets it finish."""
    worker = Worker(db_app)
    done = threading.Event()

    @job
    def tell() -> None:
        get_db().add(Item(name="told"))
        done.set()

    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        with db_app.task():
            tell.enqueue()
        assert done.wait(timeout=30)
    finally:
        worker.stop()
        thread.join(timeout=30)
    assert not thread.is_alive()
    assert names() == ["told"]


@contextmanager
def working(app: CustomFlask) -> Iterator[threading.Thread]:
    """Run a worker in a thread until the block ends."""
    worker = Worker(app)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield thread
    finally:
        worker.stop()
        thread.join(timeout=30)


def wait_for(app: CustomFlask, *ids: str) -> list[tuple[str, int]]:
    """Wait until the jobs are over, at most 10 s; return their states and attempts."""
    bell, deadline = threading.Event(), time.monotonic() + 10
    while True:
        rows = [Jobs(app).find(id_) for id_ in ids]
        if all(row.is_over for row in rows) or time.monotonic() > deadline:
            return [(row.state, row.attempts) for row in rows]
        bell.wait(0.01)


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("end", ["it is done", "it has left a row", "it fails"])
@pytest.mark.parametrize("holder", ["this process", "another one"])
def test_end_of_a_job_waits_for_the_write_lock(
    db_app: CustomFlask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, end: str, holder: str
) -> None:
    """However long somebody else holds it: the job is not run again, and the log says once what is waited for."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    # The others would wait for 10 s inside SQLite.
    get_engine(db_app).dispose()
    began, locked, bell = threading.Event(), threading.Event(), threading.Event()
    runs = []

    @job(atomic=end == "it has left a row", retries=0)
    def work() -> None:
        runs.append(1)
        began.set()
        locked.wait(timeout=30)
        if end == "it has left a row":
            get_db().add(Item(name="left"))
        elif end == "it fails":
            raise ArithmeticError

    with db_app.task():
        id_ = work.enqueue()
    with working(db_app) as thread:
        assert began.wait(timeout=30)
        with holding(db_app, holder):
            locked.set()
            while "database is locked" not in caplog.text and thread.is_alive():
                bell.wait(0.01)
            # Two more tries fail as well.
            bell.wait(0.7)
        assert wait_for(db_app, id_) == [("dead" if end == "it fails" else "done", 1)]
    assert (len(runs), caplog.text.count("tried again until it is")) == (1, 1)
    assert "cannot reach the ledger" not in caplog.text


@contextmanager
def holding(app: CustomFlask, holder: str) -> Iterator[None]:
    """Hold SQLite's write lock until the block ends."""
    if holder == "this process":
        with app.task():
            get_db().connection()
            yield
        return
    with closing(sqlite3.connect(str(get_engine(app).url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.backend("sqlite")
def test_thread_that_is_told_to_stop_does_not_wait_for_the_write_lock(
    db_app: CustomFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would end it at the end of a grace: the job is for others, as if it had been killed."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    began, locked = threading.Event(), threading.Event()

    @job(atomic=False)
    def work() -> None:
        began.set()
        locked.wait(timeout=30)

    with db_app.task():
        id_ = work.enqueue()
    with ExitStack() as stack:
        with working(db_app) as thread:
            assert began.wait(timeout=30)
            stack.enter_context(db_app.task())
            get_db().connection()
            locked.set()
        assert not thread.is_alive()
    assert Jobs(db_app).find(id_).state == "running"


@pytest.mark.backend("postgresql")
def test_end_of_a_job_is_written_by_another_connection(db_app: CustomFlask) -> None:
    """When the worker's own, which is idle while the job runs, was cut meanwhile: the job is not run again."""
    runs = []

    @job(retries=0)
    def work() -> None:
        runs.append(1)
        backend = t.cast("Attempt", find_attempt()).taker.link.raw().info.backend_pid
        # By a task of its own: that of the job has no transaction.
        with db_app.task():
            get_db().execute(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": backend})

    with db_app.task():
        id_ = work.enqueue()
    assert [ended.state for ended in drain(db_app)] == ["done"]
    assert (len(runs), Jobs(db_app).find(id_).state) == (1, "done")


def lose_answer(session: sa.orm.Session) -> None:
    """Be the network that breaks when the database has committed."""
    raise OperationalError("COMMIT", None, Exception("server closed the connection unexpectedly"))


@pytest.mark.parametrize("end", ["the answer is lost", "a callback leaves"])
def test_job_that_was_taken_with_the_end_of_another_one_is_run(db_app: CustomFlask, end: str) -> None:
    """Whatever goes wrong once that end is committed: its worker lives, so nobody else would ever take it."""

    @job
    def write() -> None:
        if end == "a callback leaves":
            after_commit(sys.exit)
        else:
            sa.event.listen(get_db(), "after_commit", lose_answer, once=True)
        get_db().add(Item(name="written"))

    with db_app.task():
        first = write.enqueue()
    [second] = enqueue(db_app, "second")
    with working(db_app):
        assert wait_for(db_app, first, second) == [("done", 1), ("done", 1)]


class Unspeakable(Exception):
    """An exception of somebody who has not tried it."""

    def __str__(self) -> str:
        raise ValueError("no words")


def be_cancelled() -> None:
    raise asyncio.CancelledError("a library's time-out")


def interrupt() -> None:
    raise KeyboardInterrupt


def raise_unspeakable() -> None:
    raise Unspeakable


def name_a_file() -> None:
    progress(1.0, "caf\udce9\0.csv")
    raise ArithmeticError


def answer_what_is_not_json() -> None:
    raise ApiException(
        "no", 409, places={(1, 2): 3}, name="caf\udce9", unknown=Unspeakable(), number=float("nan"), meter=7
    )


def test_failure_is_text_that_can_be_stored_and_shown() -> None:
    """Half of a character in the message of an exception is in no log of ours, and in no answer."""
    failure = describe(ArithmeticError("caf\udce9\0.csv"))
    assert failure.summary == "ArithmeticError: caf?.csv"
    assert "caf?.csv" in t.cast("str", failure.traceback)


@pytest.mark.parametrize("function", [be_cancelled, interrupt, raise_unspeakable, name_a_file, answer_what_is_not_json])
def test_no_job_ends_its_worker(db_app: CustomFlask, function: t.Any) -> None:
    """Whatever it raises, reports or answers: it ends, its worker goes on."""
    made = job(retries=0, name=f"odd {function.__name__}")(function)
    with db_app.task():
        odd, other = made.enqueue(), add.enqueue("other")
    with working(db_app) as thread:
        states = wait_for(db_app, odd, other)
        assert thread.is_alive()
    state = "failed" if function is answer_what_is_not_json else "dead"
    assert states == [(state, 1), ("done", 1)]
    failure = t.cast("Failure", Failure.from_text(Jobs(db_app).find(odd).error))
    if failure.problem is None:
        assert "Traceback" in t.cast("str", failure.traceback)
    else:
        own = {key: failure.problem.get(key) for key in ("status", "meter", "name", "places", "unknown", "number")}
        assert own == {"status": 409, "meter": 7, "name": "caf?", "places": None, "unknown": None, "number": None}
    assert Jobs(db_app).find(odd).progress_text in (None, "caf?.csv")


@pytest.mark.backend("sqlite")
def test_error_of_the_worker_itself_does_not_end_it(db_app: CustomFlask, caplog: pytest.LogCaptureFixture) -> None:
    """A row that nobody here has written: the log says what is wrong, and once it is gone the jobs go on."""
    [id_] = enqueue(db_app, "a", queue="by hand")
    with db_app.task():
        get_db().execute(sa.text("UPDATE jobs SET run_at = 'tomorrow'"))
    bell = threading.Event()
    with working(db_app) as thread:
        while "tomorrow" not in caplog.text and thread.is_alive():
            bell.wait(0.01)
        with db_app.task():
            get_db().execute(sa.update(Job).values(run_at=get_state(db_app).clock.now()))
        assert wait_for(db_app, id_) == [("done", 1)]


@pytest.mark.backend("sqlite")
def test_files_of_workers_are_cleared_away(db_app: CustomFlask) -> None:
    """Of those that ended well, and of those that did not, once their jobs are given away."""
    folder = db_app.extensions["myapp.config"].instance_path / "myapp.sqlite3-workers"
    enqueue(db_app, "a")
    with Taker(db_app) as living:
        dying = Taker(db_app)
        dying.__enter__()
        assert dying.take() is not None
        die(dying)
        assert len(os.listdir(folder)) == 2
        requeue(living)
        assert len(os.listdir(folder)) == 1
    assert os.listdir(folder) == []


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize(("mode", "of_folder"), [(0o660, 0o770), (0o644, 0o755), (0o600, 0o700)])
def test_files_of_workers_are_for_those_who_may_use_the_database(
    db_app: CustomFlask, mode: int, of_folder: int
) -> None:
    """A web server of another user in the same group stops a job there; whatever the umask of the worker."""
    database = db_app.extensions["myapp.config"].instance_path / "myapp.sqlite3"
    enqueue(db_app, "a")
    database.chmod(mode)
    if os.geteuid() == 0:
        os.chown(database, 4711, 4712)
    umask = os.umask(0o027)
    try:
        with Taker(db_app) as taker:
            folder = database.with_name("myapp.sqlite3-workers")
            [file] = folder.iterdir()
            assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, file)] == [of_folder, mode]
            owners = {(path.stat().st_uid, path.stat().st_gid) for path in (database, folder, file)}
            assert len(owners) == 1
            assert taker.take() is not None
    finally:
        os.umask(umask)


@pytest.mark.backend("sqlite")
def test_files_of_idle_workers_that_died_are_cleared_away(db_app: CustomFlask) -> None:
    """Now and then, and not those of workers that live; whoever was asked to stop in vain as well."""
    folder = db_app.extensions["myapp.config"].instance_path / "myapp.sqlite3-workers"
    [id_] = enqueue(db_app, "a")
    with Taker(db_app) as living, Taker(db_app) as other:
        dying = Taker(db_app)
        dying.__enter__()
        assert dying.take() is not None
        dying.presence.ask_to_cancel(id_, dying.owner, get_state(db_app).clock.now())
        die(dying)
        # It has died after the last look for the jobs of the dead: that one is cancelled all the same.
        living.presence.sweep()
        assert not living.presence.is_alive(dying.owner)
        assert requeue(living) == [id_]
        assert Jobs(db_app).find(id_).state == "cancelled"
        for _ in range(3):
            idle = Taker(db_app)
            idle.__enter__()
            die(idle)
        living.presence.ask_to_cancel(id_, dying.owner, get_state(db_app).clock.now())
        assert len(os.listdir(folder)) == 6
        Worker(db_app).tend(living)
        assert sorted(os.listdir(folder)) == sorted([living.owner, other.owner])
        assert other.presence.is_alive(living.owner)


@pytest.mark.backend("sqlite")
def test_worker_lives_for_those_who_open_the_database_by_another_name(
    db_app: CustomFlask, make_app: Callable[..., CustomFlask]
) -> None:
    """A symbolic link, say: it is one database, and one folder of workers."""
    path = Path(str(get_engine(db_app).url.database))
    link = path.with_name("link.sqlite3")
    link.symlink_to(path)
    linked = make_app(config={"MYAPP_DATABASE_URL": f"sqlite:///{link}", "MYAPP_BLUEPRINT_PACKAGES": ()})
    enqueue(db_app, "a")
    with Taker(db_app) as living, Taker(linked) as other:
        assert living.take() is not None
        assert other.presence.is_alive(living.owner)
        assert requeue_dead(other) == []


@pytest.mark.backend("sqlite")
def test_owner_of_a_row_names_no_other_file(db_app: CustomFlask) -> None:
    """Whatever the column says, it stays below the folder of the workers."""
    victim = db_app.extensions["myapp.config"].instance_path / "victim"
    victim.touch()
    enqueue(db_app, "a")
    with db_app.task():
        get_db().execute(sa.update(Job).values(state="running", attempts=1, owner="../victim", started=sa.func.now()))
    with Taker(db_app) as taker:
        assert len(requeue_dead(taker)) == 1
    assert victim.exists()


def test_ending_an_attempt_twice_is_noticed(db_app: CustomFlask) -> None:
    """By the fence: state, owner and attempt have to be those of the claim."""
    enqueue(db_app, "a")
    with Taker(db_app) as taker:
        claim = taker.take()
        assert claim is not None
        assert Attempt(claim, taker).run().state == "done"
        again = Attempt(claim, taker).run()
        assert isinstance(again.error, JobLostError)
