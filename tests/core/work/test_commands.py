"""``flask jobs …``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t

import pytest
import sqlalchemy as sa

from myapp import ApiException, get_db, job, progress
from myapp.core.errors import JobError
from myapp.core.work import Job, drain, get_state
from myapp.core.work import chaos as chaos_part
from myapp.testing import Jobs
from tests.servers import labour
from tests.servers.process import ROOT
from tests.servers.smtp import closed_port

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from myapp import CustomFlask


@job(retries=0)
def fail() -> None:
    raise ArithmeticError("no good")


@job
def greet(name: str) -> str:
    return f"hello {name}"


@job(unique_key="one")
def only_one() -> None:
    raise ApiException("not now", 409)


@pytest.fixture
def run(app: CustomFlask) -> Callable[..., Result]:
    """Return a function that runs ``flask jobs …``."""
    return lambda *args: app.test_cli_runner().invoke(args=["jobs", *args])


def enqueue(app: CustomFlask, function: t.Any, *args: t.Any) -> str:
    with app.task():
        id_: str = function.enqueue(*args)
    return id_


def test_empty_ledger_says_what_would_fill_it(run: Callable[..., Result]) -> None:
    """Instead of nothing."""
    assert "@job" in run("list").stdout
    assert run("stat").stdout == "There is no job.\n"
    assert json.loads(run("list", "--json").stdout) == {"schema": 1, "jobs": []}


def test_jobs_are_listed_and_counted(app: CustomFlask, run: Callable[..., Result]) -> None:
    """The newest first; by state and queue; one JSON document with --json."""
    dead = enqueue(app, fail)
    drain(app)
    ready = enqueue(app, greet, "ann")
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [ready, dead]
    assert "tests.core.work.test_commands:fail" in lines[1]
    listed = json.loads(run("list", "--state", "dead", "--json").stdout)["jobs"]
    assert [(one["id"], one["state"], one["attempts"]) for one in listed] == [(dead, "dead", 1)]
    assert json.loads(run("stat", "--json").stdout)["queues"] == {"default": {"dead": 1, "ready": 1}}
    assert "has been due for" in run("stat").stdout
    assert run("list", "--state", "asleep").exit_code == 2


def test_one_job_is_shown_with_its_error(app: CustomFlask, run: Callable[..., Result]) -> None:
    """What an operator wants to know: arguments, attempts, the traceback; of a problem its members."""
    dead, done, failed = enqueue(app, fail), enqueue(app, greet, "ann"), enqueue(app, only_one)
    drain(app)
    assert "ArithmeticError: no good" in run("show", dead).stdout
    assert "Traceback" in run("show", dead).stdout
    shown = json.loads(run("show", done, "--json").stdout)["job"]
    assert (shown["state"], shown["result"], shown["arguments"]) == ("done", "hello ann", [["ann"], {}])
    assert json.loads(run("show", failed, "--json").stdout)["job"]["error"]["problem"]["status"] == 409
    missing = run("show", "0190")
    assert (missing.exit_code, "flask jobs list" in missing.stderr) == (1, True)


def test_what_others_have_written_is_shown_and_does_nothing(app: CustomFlask) -> None:
    """No escape sequence reaches the terminal: of an argument, an error, a progress, a result."""
    escape = "\x1b]0;owned\x07\x1b[2J"

    @job(retries=0, unique_key=lambda text, fails: text)
    def repeat(text: str, fails: bool) -> str:
        progress(0.5, text)
        if fails:
            raise ArithmeticError(text)
        return text

    for id_ in (enqueue(app, repeat, escape, True), enqueue(app, repeat, escape + "2", False)):
        drain(app)
        # Where the output is no terminal click takes some of them away.
        shown = app.test_cli_runner().invoke(args=["jobs", "show", id_], color=True).stdout
        assert shown.count("]0;owned") >= 4
        assert {"\x1b", "\x07"}.isdisjoint(shown)


def test_dead_jobs_are_tried_again(app: CustomFlask, run: Callable[..., Result]) -> None:
    """One by one or all of them; what waits, or is done, is refused and nothing changes."""
    dead, done = enqueue(app, fail), enqueue(app, greet, "ann")
    drain(app)
    assert run("retry", dead).stdout == "1 job will be tried again.\n"
    row = Jobs(app).find(dead)
    assert (row.state, row.attempts, row.error) == ("ready", 0, None)
    drain(app)
    assert run("retry", "--dead").stdout == "1 job will be tried again.\n"
    drain(app)
    refused = run("retry", dead, done)
    assert (refused.exit_code, "is done" in refused.stderr) == (1, True)
    assert Jobs(app).find(dead).state == "dead"
    assert run("retry").exit_code == 2
    assert run("retry", "0190").exit_code == 1


def test_expired_job_is_not_tried_again(app: CustomFlask, run: Callable[..., Result]) -> None:
    """Its owner finds a trace of it, but its arguments are cleared away: it would run with none."""
    expired = enqueue(app, fail)
    drain(app)
    with app.task():
        get_db().execute(sa.update(Job).values(user_id=1))
    get_state(app).clock.advance(31 * 86_400)
    fresh = enqueue(app, fail)
    drain(app)
    refused = run("retry", expired)
    assert (refused.exit_code, "has expired" in refused.stderr) == (1, True)
    assert run("retry", "--dead").stdout == "1 job will be tried again.\n"
    assert [Jobs(app).find(id_).state for id_ in (expired, fresh)] == ["dead", "ready"]


def test_job_whose_unique_key_is_taken_is_not_tried_again(app: CustomFlask, run: Callable[..., Result]) -> None:
    """Two with one key would run at once."""
    failed = enqueue(app, only_one)
    drain(app)
    enqueue(app, only_one)
    refused = run("retry", failed)
    assert (refused.exit_code, "unique key" in refused.stderr) == (1, True)
    assert Jobs(app).find(failed).state == "failed"


def test_jobs_are_cancelled(app: CustomFlask, run: Callable[..., Result]) -> None:
    """One that waits never starts; one that is over stays what it is; one that is not there is an error."""
    ready, done = enqueue(app, greet, "ann"), enqueue(app, greet, "bob")
    with app.task():
        get_db().execute(sa.update(Job).where(Job.id == done).values(state="done"))
    assert run("cancel", ready, done).stdout == (
        f"Job {ready} is cancelled.\nJob {done} is done already. Nothing was changed.\n"
    )
    assert drain(app) == []
    assert run("cancel", "0190").exit_code == 1


def test_work_refuses_what_cannot_be_meant(run: Callable[..., Result]) -> None:
    """No process, no queue, a negative grace: a usage error, not a fleet that does nothing."""
    for options in (("-c", "0"), ("-q", " , "), ("--grace", "-1")):
        assert run("work", *options).exit_code == 2


@pytest.mark.live
def test_work_waits_for_a_database_that_is_away(tmp_path: Path) -> None:
    """From its start on, and says so in a line, not in a traceback; it ends when it is told to."""
    away = f"postgresql+psycopg://somebody@127.0.0.1:{closed_port()}/none"
    config = {"MYAPP_PROFILE": "development", "MYAPP_DATABASE_URL": away, "MYAPP_INSTANCE_PATH": str(tmp_path)}
    command = [sys.executable, "-m", "flask", "--app", "myapp", "jobs", "work"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **config}, cwd=ROOT) as fleet:
        assert fleet.stderr is not None
        lines: list[str] = []
        while fleet.poll() is None and not (lines and "cannot reach the ledger" in lines[-1]):
            lines.append(fleet.stderr.readline())
        fleet.terminate()
        assert fleet.wait(timeout=30) == 0
    assert "wait for it" in lines[0]
    assert "Traceback" not in "".join(lines)


@pytest.mark.live
def test_chaos_kills_workers_and_counts(tmp_path: Path) -> None:
    """On the real thing: nothing is lost, nothing done twice, and nothing of the test stays behind."""
    with labour.labour(tmp_path) as work:
        other = work.enqueue(labour.add, "of somebody else")
        command = work.command("chaos", "--jobs", "20", "--kills", "3", "-c", "2", "--json")
        counted = json.loads(subprocess.run(**command, stdout=subprocess.PIPE, check=True, timeout=60).stdout)
        assert (counted["jobs"], counted["kills"], counted["lost"], counted["doubled"]) == (20, 3, 0, 0)
        assert 0 < counted["longest_recovery_seconds"] < 10
        assert [(one.id, one.state) for one in Jobs(work.app).list()] == [(other, "ready")]


def test_chaos_ends_when_nothing_recovers(app: CustomFlask) -> None:
    """At its deadline, and when nothing is left that could be done: a job that was given up is lost."""
    id_ = enqueue(app, chaos_part.leave_mark.with_options(queue="chaos x"), "chaos x", 0)
    with subprocess.Popen(["sleep", "600"]) as victim:
        owner = f"host:{victim.pid}:x"
        with app.task():
            get_db().execute(sa.update(Job).values(state="running", owner=owner))
        try:
            recovery = chaos_part._kill(app, "chaos x", owner, time.monotonic() + 0.05)
        finally:
            victim.kill()
        victim.wait(timeout=30)
    assert recovery is not None
    assert chaos_part._kill(app, "chaos x", owner, time.monotonic() + 0.05) is None
    never = time.monotonic() - 1
    with pytest.raises(JobError, match="Only 0 of 1"):
        chaos_part._kill_at_random(app, "chaos x", 0, 1, 0, never, lambda *_: None)
    with app.task():
        get_db().execute(sa.update(Job).where(Job.id == id_).values(state="dead"))
    assert chaos_part._kill_at_random(app, "chaos x", 0, 1, 0, never, lambda *_: None) == []
    assert chaos_part._count(app, "chaos x", 1, [], 1.0).lost == 1


def test_chaos_would_notice(app: CustomFlask) -> None:
    """A mark that is missing is a job that was lost, one that is there twice a job that was done twice."""
    for number in (0, 0, 2):
        with app.task():
            chaos_part.leave_mark("chaos x", number)
    outcome = chaos_part._count(app, "chaos x", 4, [0.1, 0.3], 1.0)
    assert (outcome.lost, outcome.doubled, outcome.longest_recovery_seconds) == (2, 1, 0.3)
