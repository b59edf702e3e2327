"""The app whose jobs real workers run, and a fleet of them for tests: started by a command, ended by its pid."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from flask import current_app

from myapp import create_app, get_db, job, progress
from myapp.core.data import ensure_schema, get_engine
from myapp.core.runtime import get_runtime
from myapp.core.work import LIVE, Failure, Job, find_job
from tests.conftest import Item
from tests.servers.process import PATIENCE_SECONDS, ROOT, wait_for

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask

APP = "tests.servers.labour:make"
#: How long a test waits for what should take a moment.


def make(**config: t.Any) -> CustomFlask:
    """Return an app with the tables; its database comes from the environment, or from ``config``."""
    app = create_app({"MYAPP_PROFILE": "development", "MYAPP_BLUEPRINT_PACKAGES": (), **config}, plugins=())

    @app.post("/add/<name>/<float:seconds>")
    def post(name: str, seconds: float) -> t.Any:
        return {"job": add.enqueue(name, seconds)}, 202

    ensure_schema(app)
    Item.metadata.create_all(get_engine(app))
    return app


@job(retries=1000)
def add(name: str, seconds: float = 0.0) -> str:
    """Insert one row, and take a while with the transaction open."""
    get_db().add(Item(name=name))
    get_db().flush()
    # The job is that long: it is to be killed in the middle.
    time.sleep(seconds)
    return name


@job(retries=2)
def kill_worker() -> None:
    """End the process that runs it, as running out of memory does."""
    os.kill(os.getpid(), signal.SIGKILL)


@job
def leave_child(seconds: float) -> None:
    """Fork a process that outlives the worker, and die."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    with app.task(read_only=True):
        row = get_db().scalars(sa.select(Job).where(Job.state == "running")).one()
    if row.attempts == 1:
        if os.fork() == 0:
            os.setsid()
            # Outliving the worker is all that it does.
            time.sleep(seconds)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)


@job(retries=0, timeout=0.5)
def take_too_long() -> None:
    get_db().add(Item(name="too long"))
    get_db().flush()
    # Longer than any test waits: the time-out ends it.
    time.sleep(600)


@job
def report(path: str) -> str:
    """Write a row, say how far it is, and go on when the file is there."""
    get_db().add(Item(name="report"))
    get_db().flush()
    progress(0.4, "two of five")
    wait_for(Path(path).exists)
    return "reported"


@job
def hold(path: str) -> None:
    """Go on until the file is there, without a word to the database."""
    wait_for(Path(path).exists)


@job
def go_on() -> None:
    """Say again and again how far it is."""
    get_db().add(Item(name="goes on"))
    get_db().flush()
    while True:
        progress(0.5)
        # As work between two reports does, without keeping a core busy.
        time.sleep(0.02)


@job
def be_deaf() -> None:
    """Do not listen to anybody."""
    # Longer than any test waits: a signal ends it.
    time.sleep(600)


@job
def write_and_be_deaf() -> None:
    """Hold SQLite's only write lock, and do not listen to anybody."""
    get_db().add(Item(name="deaf"))
    get_db().flush()
    # As above.
    time.sleep(600)


@job
def say_pid() -> int:
    return os.getpid()


@dataclass
class Labour:
    """A database with jobs, seen by a test, and the fleet that works them off."""

    app: CustomFlask
    environ: dict[str, str]
    log: Path

    def enqueue(self, function: t.Any, *args: t.Any, **options: t.Any) -> str:
        """Enqueue a job in a task of its own and return its id."""
        with self.app.task():
            id_: str = function.with_options(**options).enqueue(*args)
        return id_

    def find(self, job_id: str) -> Job:
        """Return the job as others see it."""
        with self.app.app_context():
            return t.cast("Job", find_job(job_id))

    def failure(self, job_id: str) -> Failure:
        """Return why it failed."""
        return t.cast("Failure", Failure.from_text(self.find(job_id).error))

    def wait_for(self, job_id: str, *states: str, seconds: float = PATIENCE_SECONDS) -> Job:
        """Wait until the job is in one of ``states``; over, if none is named."""
        return t.cast(
            "Job", self.wait(lambda: (found := self.find(job_id)).state in (states or _OVER) and found, seconds)
        )

    def wait(self, condition: Callable[[], t.Any], seconds: float = PATIENCE_SECONDS) -> t.Any:
        """Wait until ``condition`` gives something true, and return it."""
        try:
            return wait_for(condition, seconds)
        except AssertionError as error:
            error.add_note(self.log.read_text()[-4000:] if self.log.exists() else "No worker has said anything.")
            raise

    def names(self) -> list[str]:
        """Return the names of the rows that jobs have left."""
        with self.app.task(read_only=True):
            return list(get_db().scalars(sa.select(Item.name).order_by(Item.name)))

    def owners(self) -> list[str]:
        """Return the workers that run something."""
        running = sa.select(Job.owner).where(Job.state == "running")
        with self.app.task(read_only=True):
            return [owner for owner in get_db().scalars(running) if owner is not None]

    def command(self, *arguments: str) -> dict[str, t.Any]:
        """Return how ``flask jobs …`` is run: the arguments of Popen."""
        full = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **self.environ}
        return {"args": [sys.executable, "-m", "flask", "--app", APP, "jobs", *arguments], "cwd": ROOT, "env": full}

    @contextmanager
    def fleet(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``flask jobs work`` until the block ends."""
        with self.log.open("ab") as output:
            process = subprocess.Popen(**self.command("work", *options), stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=15)


_OVER = ("done", "failed", "dead", "cancelled")
assert not set(_OVER) & set(LIVE)


@contextmanager
def labour(folder: Path, url: str | None = None, jobs_url: str = "sql:") -> Iterator[Labour]:
    """Make a database and yield it, without workers.

    :param url: that of a PostgreSQL schema; None for SQLite in ``folder``.
    :param jobs_url: what carries the jobs.
    """
    environ = {"MYAPP_INSTANCE_PATH": str(folder / "instance"), "MYAPP_JOBS_URL": jobs_url}
    if url is not None:
        environ["MYAPP_DATABASE_URL"] = url
    app = make(TESTING=True, SECRET_KEY="a key of the tests, and of nothing else", **environ)
    try:
        yield Labour(app, environ, folder / "workers.log")
    finally:
        get_runtime(app).close()


def pid_of(owner: str) -> int:
    """Return the process of a worker."""
    return int(re.match(r"[^:]*:(\d+):", owner)[1])  # type: ignore[index]


def parent_of(pid: int) -> int:
    """Return the process that has started another one."""
    return int(re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])  # type: ignore[index]
