"""Background jobs: enqueued beside a bare INSERT, drained beside Huey, carried by RQ beside RQ alone."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import typing as t
from datetime import timedelta
from pathlib import Path

from myapp import create_app, get_db, job
from myapp.core.data import ensure_schema, get_engine
from myapp.core.redis import get_redis
from myapp.core.runtime import get_runtime
from myapp.core.tasks import new_id
from myapp.core.work import Fleet
from myapp.core.work.link import Link
from myapp.core.work.rq_worker import make_worker
from myapp.core.work.slot import Board
from myapp.core.work.state import get_state
from myapp.core.work.worker import Worker

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask

COLUMNS = [
    "id",
    "func",
    "args",
    "queue",
    "priority",
    "run_at",
    "max_attempts",
    "timeout",
    "atomic",
    "task_id",
    "created",
]
INSERT = (
    f"INSERT INTO jobs ({', '.join(COLUMNS)}, state, attempts)"
    f" VALUES ({', '.join(':' + column for column in COLUMNS)}, 'ready', 0)"
)
MOMENT = "2026-01-01 00:00:00.000000"
START_SECONDS = 30.0


class Sides(t.NamedTuple):
    """The two sides of a case: functions that do the work, and return the seconds that one piece of it took."""

    name: str
    goal: float | None
    peer: Callable[[], float]
    ours: Callable[[], float]


class Sizes(t.NamedTuple):
    """How many jobs a round has."""

    enqueued: int
    drained: int
    carried: int


FULL = Sizes(enqueued=500, drained=1000, carried=50)
SMOKE = Sizes(enqueued=5, drained=5, carried=2)


@job(name="benchmarks:nothing")
def nothing() -> None:
    """Do nothing."""


def do_nothing() -> None:
    """Do nothing, for RQ."""


def iter_jobs(folder: Path, sizes: Sizes = FULL) -> Iterator[Sides]:
    """Yield every case; its databases are made in ``folder``."""
    app = make_app(folder / "jobs")
    name = "enqueue in an open transaction, beside the same INSERT"
    yield Sides(
        f"{name} by the driver", None, lambda: insert(app, sizes.enqueued, raw=True), lambda: enqueue(app, sizes)
    )
    yield Sides(name, 3.0, lambda: insert(app, sizes.enqueued), lambda: enqueue(app, sizes))
    drained = "drain on SQLite, acknowledged, beside"
    kinds: tuple[tuple[str, float | None, dict[str, t.Any]], ...] = (
        ("Huey", 1 / 3, {}),
        ("Huey that writes down the end as well", None, {"store_none": True}),
        ("Huey without its syncs", None, {"fsync": False}),
    )
    for number, (kind, goal, options) in enumerate(kinds):
        huey = make_huey(folder / f"huey{number}.sqlite3", sizes.drained, options)
        yield Sides(f"{drained} {kind}", goal, huey, lambda: drain(app, sizes))
    yield Sides(f"{drained} its statements alone", None, lambda: drain_by_hand(app, sizes), lambda: drain(app, sizes))
    if shutil.which("redis-server") is None:
        print("There is no Redis: apt-get install redis-server", file=sys.stderr)
        return
    with run_redis(folder) as url:
        carried = make_app(folder / "carried", MYAPP_JOBS_URL=url)
        for name, goal, simple in (("RQ's Worker", 1.3, False), ("RQ's SimpleWorker", None, True)):
            peer, ours = make_rq(url, sizes.carried, simple=simple), make_fleet(carried, sizes.carried)
            yield Sides(f"RQ mode, beside {name}", goal, peer, ours)


def make_app(folder: Path, **config: t.Any) -> CustomFlask:
    """Return an app with its tables."""
    own = {"MYAPP_PROFILE": "development", "MYAPP_INSTANCE_PATH": str(folder), "MYAPP_BLUEPRINT_PACKAGES": ()}
    app = create_app({**own, **config}, plugins=())
    logging.getLogger("myapp").setLevel(logging.ERROR)
    ensure_schema(app)
    return app


def insert(app: CustomFlask, count: int, *, raw: bool = False) -> float:
    """Insert rows of jobs, as somebody would who writes the statement: ids and moments are there already."""
    values = [new_id(), "benchmarks:nothing", "[[],{}]", "default", 0, MOMENT, 5, 3600.0, True, new_id(), MOMENT]
    rows = [dict(zip(COLUMNS, [new_id(), *values[1:]], strict=True)) for _ in range(count)]
    with app.task() as task:
        connection = get_db().connection()
        execute = t.cast("t.Any", connection.connection.dbapi_connection).execute if raw else connection.exec_driver_sql
        started = time.perf_counter()
        for row in rows:
            execute(INSERT, row)
        seconds = time.perf_counter() - started
        task.doom()
    return seconds / count


def enqueue(app: CustomFlask, sizes: Sizes) -> float:
    """Enqueue jobs in a task, whose transaction has begun."""
    with app.task() as task:
        get_db().connection()
        started = time.perf_counter()
        for _ in range(sizes.enqueued):
            nothing.enqueue()
        seconds = time.perf_counter() - started
        task.doom()
    return seconds / sizes.enqueued


class Stopwatch:
    """Takes the time from the first job to the last one, whoever runs them."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._count = count
        self._began = 0.0
        self.seconds = 0.0
        self.is_over = threading.Event()

    def pass_by(self) -> None:
        """Count one job."""
        if self._left == self._count:
            self._began = time.perf_counter()
        self._left -= 1
        if self._left == 0:
            # Of all but the first, whose begin is the start.
            self.seconds = (time.perf_counter() - self._began) / max(self._count - 1, 1)
            self.is_over.set()


class Running(t.NamedTuple):
    """Where jobs find the stopwatch of their round."""

    watches: list[Stopwatch]


RUNNING = Running([])


@job(name="benchmarks:counted")
def counted() -> None:
    """Do nothing but be counted."""
    RUNNING.watches[-1].pass_by()


def drain(app: CustomFlask, sizes: Sizes) -> float:
    """Let the worker that ``flask run`` starts work jobs off, one at a time."""
    RUNNING.watches[:] = [Stopwatch(sizes.drained)]
    with app.task():
        for _ in range(sizes.drained):
            counted.enqueue()
    worker = Worker(app)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        return _finish(RUNNING.watches[-1])
    finally:
        worker.stop()
        thread.join()


def drain_by_hand(app: CustomFlask, sizes: Sizes) -> float:
    """Send the statements that take and end jobs, and the commit of each, and run nothing: the least that it takes."""
    with app.task():
        for _ in range(sizes.drained):
            counted.enqueue()
    dialect, now = get_state(app).dialect, get_state(app).clock.now()
    moment = dialect.moment(now)
    taken = {"owner": "nobody", "queue": "default", "priority": 0, "now": moment, "lease_until": None}
    ended = {"owner": "nobody", "attempts": 1, "result": "null", "progress": None, "progress_text": None}
    ended |= {"now": moment, "expires_at": dialect.moment(now + timedelta(days=1))}
    link = Link(app)
    job_id = None
    started = time.perf_counter()
    for _ in range(sizes.drained):
        with link.begin() as execute:
            if job_id is not None:
                execute(dialect["done"], {**ended, "id": job_id})
            job_id = execute(dialect["claim"], taken).fetchall()[0][0]
    seconds = time.perf_counter() - started
    with link.begin() as execute:
        execute(dialect["done"], {**ended, "id": job_id})
    link.close()
    return seconds / sizes.drained


def make_huey(path: Path, count: int, options: dict[str, t.Any]) -> Callable[[], float]:
    """Return what does the same with one thread of Huey's consumer: it takes a job away before it runs it.

    :param options: of its storage, which by itself is in WAL mode and syncs at every commit.
    """
    from huey import SqliteHuey

    logging.getLogger("huey").setLevel(logging.ERROR)
    huey = SqliteHuey("benchmark", filename=str(path), **options)

    @huey.task()
    def counted() -> None:
        RUNNING.watches[-1].pass_by()

    def drain() -> float:
        RUNNING.watches[:] = [Stopwatch(count)]
        for _ in range(count):
            counted()
        consumer = huey.create_consumer(workers=1, periodic=False)
        consumer.start()
        try:
            return _finish(RUNNING.watches[-1])
        finally:
            consumer.stop(graceful=True)

    return drain


def _finish(watch: Stopwatch) -> float:
    if not watch.is_over.wait(120):
        raise SystemExit("The jobs were not done within two minutes.")
    return watch.seconds


@contextlib.contextmanager
def run_redis(folder: Path) -> Iterator[str]:
    """Run a server until the block ends, and yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def make_rq(url: str, count: int, *, simple: bool) -> Callable[[], float]:
    """Return what enqueues jobs of RQ, and lets one of its workers run them: in itself, or in a fork for each."""
    from redis import Redis
    from rq import Queue, SimpleWorker
    from rq import Worker as RQWorker

    def drain() -> float:
        with Redis.from_url(url) as redis:
            queue = Queue("peer", connection=redis)
            for _ in range(count):
                queue.enqueue(do_nothing)

        def work() -> None:
            redis = Redis.from_url(url)
            kind = SimpleWorker if simple else RQWorker
            worker = kind([Queue("peer", connection=redis)], connection=redis, log_job_description=False)
            worker.work(burst=True, logging_level="ERROR")

        return _in_child(work) / count

    return drain


def make_fleet(app: CustomFlask, count: int) -> Callable[[], float]:
    """Return what does the same with jobs of the ledger."""

    def drain() -> float:
        with app.task():
            for _ in range(count):
                nothing.enqueue()
        # No connection survives the fork.
        get_runtime(app).close()

        def work() -> None:
            ensure_schema(app)
            get_engine(app).dispose()
            redis = t.cast("t.Any", get_redis(app, "jobs")).redis
            make_worker(app, Fleet(), Board(), redis).work(burst=True, logging_level="ERROR")

        seconds = _in_child(work)
        with app.task(read_only=True):
            left = get_db().connection().exec_driver_sql("SELECT count(*) FROM jobs WHERE state <> 'done'").scalar()
        if left:
            raise SystemExit(f"{left} jobs were not done.")
        return seconds / count

    return drain


def _in_child(work: Callable[[], None]) -> float:
    """Run ``work`` in a process of its own, and return the seconds that it took."""
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            work()
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("A worker of the benchmark has failed.")
    return time.perf_counter() - started
