"""SQLite: pragmas, the write lock, failed commits, other processes."""

from __future__ import annotations

import os
import sqlite3
import threading
import typing as t

import pytest
import sqlalchemy as sa

from myapp import get_db, task
from myapp.core.config import get_config
from myapp.core.data import get_engine, sqlite
from tests.conftest import Item

if t.TYPE_CHECKING:
    from myapp import CustomFlask

pytestmark = pytest.mark.backend("sqlite")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for locks for a moment only."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)


def test_pragmas(db_app: CustomFlask) -> None:
    """WAL, foreign keys, NORMAL: on every connection."""
    with db_app.task():
        db = get_db()
        assert db.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert db.scalar(sa.text("PRAGMA foreign_keys")) == 1
        assert db.scalar(sa.text("PRAGMA synchronous")) == 1
        assert db.scalar(sa.text("PRAGMA busy_timeout")) == 10_000


@pytest.mark.parametrize(
    ("method", "statement"),
    [("GET", "BEGIN DEFERRED"), ("HEAD", "BEGIN DEFERRED"), ("POST", "BEGIN IMMEDIATE"), ("DELETE", "BEGIN IMMEDIATE")],
)
def test_unsafe_methods_begin_immediate(db_app: CustomFlask, method: str, statement: str) -> None:
    """Who will write cannot be known at BEGIN: unsafe methods take the lock at once, safe ones never wait for it."""
    begun: list[str] = []

    @sa.event.listens_for(get_engine(db_app), "before_cursor_execute")
    def watch(_c: t.Any, _cur: t.Any, text: str, *_more: t.Any) -> None:
        if text.startswith("BEGIN"):
            begun.append(text)

    @db_app.route("/", methods=[method])
    def view() -> str:
        get_db().scalars(sa.select(Item)).all()
        return "ok"

    db_app.test_client().open("/", method=method)
    assert begun == [statement]


def test_threads_that_read_and_write_lose_nothing(db_app: CustomFlask) -> None:
    """Read, then write, in ten threads at once: no lock error, no lost update."""
    with db_app.task():
        get_db().add(Item(name="0"))

    def count() -> None:
        for _ in range(10):
            with db_app.task():
                item = get_db().get(Item, 1)
                assert item is not None
                item.name = str(int(item.name) + 1)

    threads = [threading.Thread(target=count) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    with db_app.task(read_only=True):
        assert get_db().get(Item, 1).name == "100"  # type: ignore[union-attr]


@pytest.mark.usefixtures("impatient")
def test_another_process_that_holds_the_lock_is_a_503(make_db_app: t.Any, caplog: t.Any) -> None:
    """Retry-After for the client, the remedy in the log, and reading goes on meanwhile."""
    app = make_db_app()

    @app.route("/", methods=["GET", "POST"])
    def view() -> t.Any:
        get_db().execute(sa.text("SELECT 1 FROM tests_items"))
        return "ok"

    other = sqlite3.connect(get_config(app).database_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        answer = app.test_client().post("/")
        assert app.test_client().get("/").status_code == 200
    finally:
        other.close()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "try again" in answer.json["detail"]
    assert "holds the write lock" in caplog.text
    assert app.test_client().post("/").status_code == 200


@pytest.mark.usefixtures("impatient")
def test_a_thread_that_holds_the_lock_is_a_503(make_db_app: t.Any) -> None:
    """The queue of the process has the same patience and the same answer."""
    app = make_db_app()

    @app.post("/")
    def view() -> str:
        get_db().execute(sa.text("SELECT 1"))
        return "ok"

    with app.task():
        get_db().execute(sa.text("SELECT 1"))
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(app.test_client().post("/").status_code))
        thread.start()
        thread.join(timeout=30)
    assert answers == [503]
    assert app.test_client().post("/").status_code == 200


def test_deferred_read_that_upgrades_too_late_is_a_503(db_app: CustomFlask) -> None:
    """A GET that writes after somebody else has committed: SQLite cannot give it a consistent snapshot."""

    @db_app.get("/")
    def view() -> str:
        get_db().scalars(sa.select(Item)).all()
        thread = threading.Thread(target=commit_elsewhere)
        thread.start()
        thread.join(timeout=30)
        get_db().add(Item(name="too late"))
        return "ok"

    def commit_elsewhere() -> None:
        with db_app.task():
            get_db().add(Item(name="first"))

    answer = db_app.test_client().get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_failed_commit_returns_a_clean_connection(db_app: CustomFlask) -> None:
    """SQLite leaves the transaction open; the pool must not hand it to the next task."""
    for _ in range(3):
        with pytest.raises(sa.exc.IntegrityError), db_app.task():
            get_db().add(Item(name="orphan", parent_id=4711))
    pool = get_engine(db_app).pool
    connection = pool.connect()
    try:
        assert connection.dbapi_connection.in_transaction is False  # type: ignore[union-attr]
    finally:
        connection.close()
    with db_app.task():
        get_db().add(Item(name="fine"))


def test_long_hold_of_the_lock_is_told_to_a_developer(make_db_app: t.Any, caplog: t.Any, monkeypatch: t.Any) -> None:
    """Slow work between get_db() and the end of the task keeps everybody else from writing."""
    app = make_db_app(MYAPP_PROFILE="development")
    now = [0.0]
    monkeypatch.setattr(sqlite.time, "monotonic", lambda: now[0])
    with app.task():
        get_db().execute(sa.text("SELECT 1"))
        now[0] += 1.5
        task_id = task.id
    assert f"{task_id} held SQLite's only write lock for 1.5 s" in caplog.text


def test_column_called_locked_is_no_outage(db_app: CustomFlask) -> None:
    """Outages are told by SQLite's result code, not by words in the message."""

    @db_app.get("/")
    def view() -> str:
        get_db().execute(sa.text("SELECT is_locked FROM tests_items"))
        return "ok"

    assert db_app.test_client().get("/").status_code == 500


def test_missing_migration_is_named_in_the_log(db_app: CustomFlask, caplog: t.Any) -> None:
    """A table that a model has and no migration creates: the log has the command."""

    @db_app.get("/")
    def view() -> str:
        get_db().execute(sa.text("SELECT * FROM tests_items_to_come"))
        return "ok"

    assert db_app.test_client().get("/").status_code == 500
    assert "flask db revision --of core" in caplog.text


def test_readers_do_not_wait_for_writers_in_the_queue(make_db_app: t.Any, monkeypatch: t.Any) -> None:
    """Who waits for the write lock holds no connection of the pool."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 5)
    app = make_db_app()
    statuses: list[int] = []

    @app.route("/", methods=["GET", "POST"])
    def view() -> str:
        get_db().execute(sa.text("SELECT 1"))
        return "ok"

    pool = get_engine(app).pool
    with app.task():
        get_db().execute(sa.text("SELECT 1"))
        held = pool.checkedout()
        writers = [
            threading.Thread(target=lambda: statuses.append(app.test_client().post("/").status_code)) for _ in range(45)
        ]
        for thread in writers:
            thread.start()
        reader = threading.Thread(target=lambda: statuses.append(app.test_client().get("/").status_code))
        reader.start()
        reader.join(timeout=4)
        assert not reader.is_alive()
        assert statuses == [200]
        assert pool.checkedout() == held
    for thread in writers:
        thread.join(timeout=30)
    assert statuses == [200] * 46


def test_forked_child_does_not_inherit_the_lock(db_app: CustomFlask) -> None:
    """The thread that holds it is not there in the child."""
    with db_app.task():
        get_db().execute(sa.text("SELECT 1"))
        assert sqlite.lock_of(get_engine(db_app))._lock.locked()
        child = os.fork()
        if child == 0:
            os._exit(1 if sqlite.lock_of(get_engine(db_app))._lock.locked() else 0)
        assert os.waitpid(child, 0)[1] == 0


def test_mistake_in_sql_is_a_500(db_app: CustomFlask) -> None:
    """A table that does not exist is nobody's outage."""

    @db_app.get("/")
    def view() -> str:
        get_db().execute(sa.text("SELECT * FROM nowhere"))
        return "ok"

    answer = db_app.test_client().get("/")
    assert answer.status_code == 500
    assert "nowhere" not in answer.text


def test_two_apps_of_one_database_share_nothing_but_it(make_app: t.Any, tmp_path: t.Any) -> None:
    """Two engines, and one lock: in a process the queue for the file is everybody's."""
    url = f"sqlite:///{tmp_path / 'shared.sqlite3'}"
    first, second = (make_app(config={"MYAPP_DATABASE_URL": url}) for _ in range(2))
    Item.metadata.create_all(get_engine(first))
    assert get_engine(first) is not get_engine(second)
    assert sqlite.lock_of(get_engine(first)) is sqlite.lock_of(get_engine(second))
    for number, app in enumerate((first, second, first)):
        with app.task():
            get_db().add(Item(name=str(number)))
    with second.task(read_only=True):
        assert get_db().scalar(sa.select(sa.func.count()).select_from(Item)) == 3
