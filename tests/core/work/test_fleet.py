"""Real workers in processes of their own: killed, too slow, cancelled, orphaned."""

from __future__ import annotations

import os
import signal
import typing as t
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

from myapp import get_db
from myapp.core.work import cancel
from tests import databases
from tests.servers import labour
from tests.servers.labour import Labour, pid_of

if t.TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("fleet")]


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "redis"])
def work(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labour]:
    """Return a database whose jobs three processes run: workers of ours, or work-horses of RQ's."""
    url, jobs_url = None, "sql:"
    if request.param == "postgresql":
        url = databases.make_schema(request.getfixturevalue("postgres"), f"s{uuid.uuid4().hex}")
    if request.param == "redis":
        jobs_url = request.getfixturevalue("shared_redis").url
    with labour.labour(tmp_path_factory.mktemp("labour"), url, jobs_url) as made, made.fleet("-c", "3"):
        yield made


def test_job_that_kills_its_worker_is_dead_while_others_flow(work: Labour) -> None:
    """After its three tries, each of which has burned."""
    killer = work.enqueue(labour.kill_worker)
    others = [work.enqueue(labour.add, f"other {number}") for number in range(10)]
    assert {work.wait_for(id_).state for id_ in others} == {"done"}
    row = work.wait_for(killer)
    assert (row.state, row.attempts, work.failure(killer).kind) == ("dead", 3, "lost")


def test_job_is_killed_at_its_timeout(work: Labour, tmp_path: Path) -> None:
    """What it wrote is gone with it. The supervisor does not sleep until the end of the hour that another one has."""
    go = tmp_path / "go"
    long = work.enqueue(labour.hold, str(go))
    work.wait_for(long, "running")
    # The supervisor looks at its slots when one of them ends.
    work.wait_for(work.enqueue(labour.kill_worker))
    short = work.enqueue(labour.take_too_long)
    assert work.wait_for(short, seconds=10).state == "dead"
    assert (work.failure(short).kind, "too long" in work.names()) == ("timeout", False)
    go.touch()
    assert work.wait_for(long).state == "done"


def test_progress_is_seen_while_the_transaction_is_open(work: Labour, tmp_path: Path) -> None:
    """By another process, at once, although the job holds SQLite's only write lock; nothing else of it is seen."""
    go = tmp_path / "go"
    id_ = work.enqueue(labour.report, str(go))
    work.wait(lambda: work.find(id_).progress is not None)
    row = work.find(id_)
    assert (row.state, row.progress, row.progress_text) == ("running", 0.4, "two of five")
    assert "report" not in work.names()
    go.touch()
    row = work.wait_for(id_)
    assert (row.state, row.value, row.progress, "report" in work.names()) == ("done", "reported", 0.4, True)


@pytest.mark.parametrize("function", [labour.go_on, labour.write_and_be_deaf], ids=["listens", "is deaf"])
def test_running_job_is_cancelled(work: Labour, function: t.Any) -> None:
    """At its next progress(); one that never calls it is interrupted. Nothing of it stays."""
    id_ = work.enqueue(function)
    work.wait_for(id_, "running")
    with work.app.app_context():
        assert cancel(id_) == "running"
    row = work.wait_for(id_, seconds=10)
    assert (row.state, row.attempts, work.failure(id_).kind) == ("cancelled", 1, "cancelled")
    assert {"goes on", "deaf"}.isdisjoint(work.names())


def test_child_of_a_job_does_not_keep_its_dead_worker_alive(work: Labour) -> None:
    """What says that the worker lives does not pass on to processes that it forks; the lease ends where it does."""
    if work.app.config["MYAPP_DATABASE_URL"]:
        pytest.skip("There a forked process keeps the connection open: the lease of 30 s ends.")
    id_ = work.enqueue(labour.leave_child, 12.0)
    assert work.wait_for(id_, seconds=10).attempts == 2


def test_committed_job_of_another_process_is_seen_soon(work: Labour) -> None:
    """By the version of the database on SQLite, by a poll of 250 ms on PostgreSQL."""
    ids = [work.enqueue(labour.say_pid) for _ in range(2)]
    rows = [work.wait_for(id_) for id_ in ids]
    assert all((row.started - row.created).total_seconds() < 2 for row in rows if row.started)
    assert all(row.value != os.getpid() for row in rows)


def test_worker_survives_an_outage_of_the_database(work: Labour, postgres: str) -> None:
    """Every connection is cut, those that say who lives among them: the next job is done."""
    if not work.app.config["MYAPP_DATABASE_URL"]:
        pytest.skip("SQLite has no connections that somebody could cut.")
    with work.app.task():
        get_db().execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'myapp' AND pid <> pg_backend_pid()"
            )
        )
    id_ = work.enqueue(labour.add, "after the outage")
    assert work.wait_for(id_).state == "done"


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """Though nobody told them, and whatever they run: none is left that would work beside the next fleet."""
    with labour.labour(tmp_path) as work, work.fleet("-c", "2", "--grace", "0.5") as process:
        idle = work.wait_for(work.enqueue(labour.say_pid)).value
        deaf = work.wait_for(work.enqueue(labour.be_deaf), "running")
        process.kill()
        process.wait(timeout=15)
        for pid in (idle, pid_of(t.cast("str", deaf.owner))):
            work.wait(lambda pid=pid: not _is_alive(pid), 10)


def test_jobs_are_given_back_although_one_of_them_holds_the_lock(tmp_path: Path) -> None:
    """At the end of the grace all processes are killed before the first job is given back."""
    with labour.labour(tmp_path) as work, work.fleet("-c", "2", "--grace", "0.5") as process:
        deaf = [work.enqueue(labour.be_deaf) for _ in range(2)]
        pids = {pid_of(t.cast("str", work.wait_for(id_, "running").owner)): id_ for id_ in deaf}
        # The one that was started last is replaced by a process that holds the lock.
        writer = work.enqueue(labour.write_and_be_deaf, priority=1)
        os.kill(max(pids), signal.SIGKILL)
        work.wait_for(writer, "running")
        process.terminate()
        assert process.wait(timeout=20) == 0
        rows = [work.find(id_) for id_ in (pids[min(pids)], writer)]
        assert [(row.state, row.attempts) for row in rows] == [("ready", 0), ("ready", 0)]
        assert list(tmp_path.glob("instance/*-workers/*")) == []


def _is_alive(pid: int) -> bool:
    try:
        # One that has ended and that nobody waits for is there, as a zombie.
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_worker_that_is_told_to_end_finishes_and_is_replaced(work: Labour) -> None:
    """SIGTERM to one process of the fleet: its job ends well, in its first try."""
    id_ = work.enqueue(labour.add, "finishes", 0.5)
    work.wait_for(id_, "running")
    os.kill(pid_of(t.cast("str", work.find(id_).owner)), signal.SIGTERM)
    assert (work.wait_for(id_).state, work.find(id_).attempts) == ("done", 1)
