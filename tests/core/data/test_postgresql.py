"""PostgreSQL: what only it can do, and its outages."""

from __future__ import annotations

import threading
import typing as t

import psycopg
import pytest
import sqlalchemy as sa

from myapp import get_db
from myapp.core.data import ensure_schema, get_engine
from myapp.core.data.postgresql import MIGRATION_LOCK
from tests import databases
from tests.conftest import Item

if t.TYPE_CHECKING:
    from myapp import CustomFlask

pytestmark = pytest.mark.backend("postgresql")


def test_deadlock_is_a_503(db_app: CustomFlask) -> None:
    """Two that lock the same rows in the other order."""
    with db_app.task():
        get_db().add_all([Item(name="a"), Item(name="b")])
    both_hold_one = threading.Barrier(2)

    @db_app.post("/<names>")
    def view(names: str) -> str:
        get_db().execute(sa.update(Item).where(Item.name == names[0]).values(secret="x"))
        both_hold_one.wait(timeout=30)
        get_db().execute(sa.update(Item).where(Item.name == names[1]).values(secret="x"))
        return "ok"

    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda path=path: statuses.append(db_app.test_client().post(path).status_code))  # type: ignore[misc]
        for path in ("/ab", "/ba")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(statuses) == [200, 503]


def test_refused_commit_by_hand_leaves_a_clean_connection(db_app: CustomFlask) -> None:
    """The pool hands on no connection that is still in somebody's transaction."""
    with pytest.raises(ZeroDivisionError), db_app.task():
        get_db().add(Item(name="a"))
        get_db().flush()
        with pytest.raises(RuntimeError, match="commit"):
            get_db().connection().commit()
        raise ZeroDivisionError
    raw = get_engine(db_app).raw_connection()
    try:
        assert t.cast("t.Any", raw.dbapi_connection).info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    finally:
        raw.close()


@pytest.mark.parametrize("end", ["terminated", "refused"])
def test_server_that_goes_away_is_a_503(make_db_app: t.Any, postgres: str, end: str, caplog: t.Any) -> None:
    """Once for the connection that was cut, and then it goes on; a server that is not there stays a 503."""
    app = make_db_app()
    app.get("/")(lambda: str(get_db().scalar(sa.select(sa.func.count()).select_from(Item))))
    client = app.test_client()
    assert client.get("/").text == "0"
    if end == "terminated":
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'myapp'"
            )
    else:
        get_engine(app).dispose()
        get_engine(app).url.set(query={})
        sa.event.listen(get_engine(app), "do_connect", refuse)
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "MYAPP_DATABASE_URL" in caplog.text
    assert client.get("/").status_code == (200 if end == "terminated" else 503)
    assert client.get("/readyz").status_code == (200 if end == "terminated" else 503)


def refuse(_dialect: t.Any, _entry: t.Any, _args: t.Any, parameters: dict[str, t.Any]) -> None:
    """Send the next connection to a port where nobody listens."""
    parameters.update(host="127.0.0.1", port=1, connect_timeout=2)


def test_two_processes_that_migrate_wait_for_each_other(make_app: t.Any, database_config: t.Any, postgres: str) -> None:
    """By the advisory lock of migrations, which the other one holds until its transaction ends."""
    app = make_app(config=database_config())
    with psycopg.connect(postgres) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        migrating = threading.Thread(target=ensure_schema, args=(app,))
        migrating.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while migrating.is_alive() and other.execute(waiting).fetchone() == (0,):
            pass
        assert migrating.is_alive()
        other.rollback()
        migrating.join(timeout=30)
    assert not migrating.is_alive()


def test_url_may_be_written_as_everybody_writes_it(make_app: t.Any, postgres: str) -> None:
    """postgresql:// and postgres:// are psycopg 3."""
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        url = databases.make_schema(postgres, f"{scheme.replace('+', '_')}_spelt").replace("postgresql", scheme, 1)
        app = make_app(config={"MYAPP_DATABASE_URL": url})
        with app.task(read_only=True):
            assert get_db().scalar(sa.text("SELECT 1")) == 1
