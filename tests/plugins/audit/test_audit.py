"""Who changed what: what is recorded of a change, and that there is no change without its entry."""

from __future__ import annotations

import contextlib
import gc
import random
import threading
import typing as t
import weakref

import pytest
import sqlalchemy as sa
from flask import Response, abort
from sqlalchemy import event

from myapp import after_commit, create_app, get_db, session_opened, task
from myapp.core.data import get_engine
from myapp.core.runtime import get_runtime
from myapp.testing import bearer

from .conftest import Atlas, Page, Recorded, Tag, Volume, add, read, tagged

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

ANN = "ann@example.com"


def names(app: CustomFlask) -> list[str | None]:
    with get_engine(app).connect() as connection:
        return list(connection.scalars(sa.select(Volume.name).order_by(Volume.id)))


def test_each_row_has_its_entry(audited: CustomFlask, recorded: Recorded) -> None:
    """Values of public columns, old and new; of the others, and of secrets, the name alone."""
    with audited.task():
        add(name="a", price=1.5, note="private", reset_token="canary", label="L")
    with audited.task():
        book = get_db().get_one(Volume, 1)
        book.name, book.note, book.reset_token = "b", "also private", "another canary"
    with audited.task():
        get_db().delete(get_db().get_one(Volume, 1))

    assert recorded() == [
        ("insert", "tests_volumes", {"id": 1}, 1, {
            "kind": {}, "name": {"new": "a"}, "price": {"new": 1.5}, "note": {}, "reset_token": {},
            "label_text": {"new": "L"},
        }),
        ("update", "tests_volumes", {"id": 1}, 1, {
            "name": {"old": "a", "new": "b"}, "note": {}, "reset_token": {}, "renewed": {},
        }),
        ("delete", "tests_volumes", {"id": 1}, 1, {
            "kind": {}, "name": {"old": "b"}, "price": {"old": 1.5}, "note": {}, "reset_token": {},
            "label_text": {"old": "L"}, "renewed": {},
        }),
    ]  # fmt: skip


def test_what_objects_do_not_say(audited: CustomFlask, recorded: Recorded) -> None:
    """Computed columns, orphans, rows of two tables, and the rows that only connect others."""
    with audited.task():
        add(name="a", pages=[Page(), Page()], tags=[Tag(), Tag()])
    with audited.task():
        book = get_db().get_one(Volume, 1)
        book.price = sa.func.coalesce(Volume.price, 0) + 1
        del book.pages[0]
        del book.tags[0]
    with audited.task():
        get_db().add(Atlas(name="b", maps=3))
    with audited.task():
        book = get_db().get_one(Volume, 1)
        book.name = book.name

    first, second = recorded()[:6], recorded()[6:9]
    assert sorted((action, table, rows) for action, table, _, rows, _ in first) == [
        *[("insert", "tests_pages", 1)] * 2,
        ("insert", "tests_tagged", 2),
        *[("insert", "tests_tags", 1)] * 2,
        ("insert", "tests_volumes", 1),
    ]
    assert sorted((entry[:2], entry[4]) for entry in second if entry[1] != "tests_tagged") == [
        (("delete", "tests_pages"), {"book_id": {"old": 1}}),
        (("update", "tests_volumes"), {"price": {}, "renewed": {}}),
    ]
    assert ("delete", "tests_tagged", None, 1, None) in second
    assert recorded()[9:] == [
        ("insert", "tests_atlases", {"id": 2}, 1, {"maps": {"new": 3}}),
        ("insert", "tests_volumes", {"id": 2}, 1, {"kind": {}, "name": {"new": "b"}}),
    ]


#: What writes, and the action, the table and the count that are to be recorded of it.
STATEMENTS: dict[str, tuple[Callable[[t.Any], t.Any], str, str, int | None]] = {
    "update": (lambda db: db.execute(sa.update(Volume).values(name=Volume.name + "!")), "update", "tests_volumes", 2),
    "delete": (lambda db: db.execute(sa.delete(Volume).where(Volume.name == "a")), "delete", "tests_volumes", 1),
    "insert": (lambda db: db.execute(sa.insert(Tag), [{}, {}, {}]), "insert", "tests_tags", 3),
    "batches": (lambda db: db.scalars(sa.insert(Tag).returning(Tag.id), [{}] * 1_500), "insert", "tests_tags", 1_500),
    "select": (
        lambda db: db.execute(sa.insert(tagged).from_select(["book_id", "tag_id"], sa.select(Volume.id, 1))),
        *("insert", "tests_tagged", 2),
    ),
    "bulk": (lambda db: db.bulk_save_objects([Tag()]), "insert", "tests_tags", 1),
    "query": (lambda db: db.query(Volume).delete(), "delete", "tests_volumes", 2),
    "text": (lambda db: db.execute(sa.text("UPDATE tests_volumes SET name = NULL")), "update", "tests_volumes", 2),
    "with": (
        lambda db: db.execute(sa.text("/* x */ with a as (select 7) insert into tests_tags (id) select 7")),
        *("insert", "tests_tags", None),
    ),
    "driver": (lambda db: db.connection().exec_driver_sql('DELETE FROM "tests_volumes"'), "delete", "tests_volumes", 2),
    "quoted": (lambda db: db.connection().exec_driver_sql('CREATE TABLE "a; b" (id int)'), "create", "a; b", None),
    "apostrophe": (
        lambda db: db.execute(
            sa.text("""WITH a AS (SELECT 1 AS "it's") DELETE FROM "tests_volumes" WHERE name IN ('a', 'b')""")
        ),
        *("delete", "tests_volumes", None),
    ),
    "ddl": (lambda db: db.execute(sa.text("CREATE TABLE tests_new (id int)")), "create", "tests_new", None),
    "other": (
        lambda db: db.execute(
            sa.text("REINDEX" if db.bind.dialect.name == "sqlite" else "REINDEX TABLE tests_volumes")
        ),
        *("reindex", "?", None),
    ),
}


@pytest.mark.parametrize("how", STATEMENTS)
def test_statements_are_recorded_with_table_and_count(audited: CustomFlask, recorded: Recorded, how: str) -> None:
    """Whoever wrote them: the session, the mapper, a text, the connection."""
    write, action, table, rows = STATEMENTS[how]
    with audited.task():
        get_db().add_all([Volume(name="a"), Volume(name="b"), Tag()])
    before = len(recorded())
    with audited.task():
        write(get_db())
    assert recorded()[before:] == [(action, table, None, rows, None)]


#: What writes and returns rows, and what it writes.
RETURNING: dict[str, tuple[t.Any, str]] = {
    "columns": (sa.text("DELETE FROM tests_volumes RETURNING id").columns(sa.column("id")), "delete"),
    "columns as entities": (
        sa.select(Volume).from_statement(
            sa.text("DELETE FROM tests_volumes RETURNING id, kind").columns(Volume.id, Volume.kind)
        ),
        "delete",
    ),
    "entities": (sa.select(Volume).from_statement(sa.text("DELETE FROM tests_volumes RETURNING *")), "delete"),
    "delete": (sa.select(Volume).from_statement(sa.delete(Volume).returning(Volume)), "delete"),
    "update": (sa.select(Volume).from_statement(sa.update(Volume).values(note="b").returning(Volume)), "update"),
}


@pytest.mark.parametrize("how", RETURNING)
def test_statements_that_return_rows_are_recorded(audited: CustomFlask, recorded: Recorded, how: str) -> None:
    """They look like reading to those who ask for the rows."""
    statement, action = RETURNING[how]
    with audited.task():
        add(name="a")
    with audited.task():
        assert len(get_db().execute(statement).all()) == 1
    assert [entry[:2] for entry in recorded()[1:]] == [(action, "tests_volumes")]


def test_statements_that_write_nothing_have_no_entry(audited: CustomFlask, recorded: Recorded) -> None:
    """Reading, locking, matching no row; words in a text or a comment are no statement."""
    with audited.task():
        db = get_db()
        db.scalars(sa.select(Volume)).all()
        db.execute(sa.select(sa.select(Volume).cte())).all()
        db.scalars(sa.select(Volume).from_statement(sa.select(Volume))).all()
        db.execute(sa.text("SELECT id FROM tests_volumes").columns(sa.column("id"))).all()
        db.execute(sa.text("SELECT 'delete from tests_volumes' -- update tests_volumes set")).all()
        db.execute(sa.text("WITH a AS (SELECT 1) SELECT 'it''s; drop table tests_volumes' FROM a")).all()
        db.execute(sa.update(Volume).values(name="none").where(Volume.id == 99))
        with task.savepoint():
            pass
    assert recorded() == []


@pytest.mark.backend("postgresql")
@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("SELECT 1; DELETE FROM tests_volumes", [("delete", "tests_volumes")]),
        ("SELECT 1 WHERE false; DELETE FROM tests_volumes;", [("delete", "tests_volumes")]),
        ("SET lock_timeout = 1; UPDATE tests_volumes SET name = NULL", [("update", "tests_volumes")]),
        ("SAVEPOINT a; DELETE FROM tests_volumes; RELEASE a", [("delete", "tests_volumes")]),
        ("VALUES (1); DROP TABLE tests_tagged", [("drop", "tests_tagged")]),
        ("SELECT * INTO TEMP copy FROM tests_volumes", [("select", "copy")]),
        ("SELECT 1 AS \"it's\"; DELETE FROM tests_volumes; SELECT 'x'", [("delete", "tests_volumes")]),
        ('SELECT 1 AS "--"; DELETE FROM tests_volumes', [("delete", "tests_volumes")]),
        (r"SELECT E'\''; DELETE FROM tests_volumes; SELECT 'x'", [("delete", "tests_volumes")]),
        (r"SELECT E'''\\'; DELETE FROM tests_volumes; SELECT 'x'", [("delete", "tests_volumes")]),
        ("SELECT $$it's$$; DELETE FROM tests_volumes; SELECT 'x'", [("delete", "tests_volumes")]),
        ("SELECT $a$ $$it's $a$; DELETE FROM tests_volumes; SELECT 'x'", [("delete", "tests_volumes")]),
        (r"SELECT $$; DELETE FROM tests_volumes;$$, E'\'; DELETE FROM tests_volumes'", []),
        ("SELECT ';' AS into_nothing -- INTO; DELETE FROM tests_volumes\n;", []),
    ],
)
def test_a_read_at_the_front_hides_nothing(
    audited: CustomFlask, recorded: Recorded, text: str, entries: list[tuple[str, str]]
) -> None:
    """A driver sends several statements at once; SELECT … INTO is no read."""
    with audited.task():
        add(name="a")
    with audited.task():
        get_db().connection().exec_driver_sql(text)
    assert [entry[:2] for entry in recorded()[1:]] == entries


def test_an_event_of_the_mapper_is_not_explained_by_its_object(audited: CustomFlask, recorded: Recorded) -> None:
    """It writes other rows of the same table in the same flush: as many rows are explained as objects were written."""

    def shift(_mapper: t.Any, connection: sa.Connection, book: Volume) -> None:
        connection.execute(sa.update(Volume).where(Volume.id != book.id).values(note="moved"))

    with audited.task():
        get_db().add_all([Volume(name="a"), Volume(name="b"), Volume(name="c")])
    before = len(recorded())
    event.listen(Volume, "before_update", shift)
    try:
        with audited.task():
            get_db().get_one(Volume, 1).name = "new"
    finally:
        event.remove(Volume, "before_update", shift)

    assert [(action, table, rows, changes is None) for action, table, _, rows, changes in recorded()[before:]] == [
        ("update", "tests_volumes", 2, True),
        ("update", "tests_volumes", 1, False),
    ]


@pytest.mark.backend("postgresql")
def test_every_part_of_a_with_is_recorded(audited: CustomFlask, recorded: Recorded) -> None:
    """As text and as SQLAlchemy's; what only locks rows changes none."""
    with audited.task():
        get_db().execute(sa.text("WITH a AS (SELECT id FROM tests_volumes FOR UPDATE) SELECT * FROM a")).all()
        gone = sa.delete(Volume).returning(Volume.id).cte("gone")
        get_db().execute(sa.select(gone.c.id)).all()
        get_db().execute(sa.text(
            "WITH a AS (INSERT INTO tests_tags VALUES (5) ON CONFLICT (id) DO UPDATE SET id = 6 RETURNING id)"
            " DELETE FROM ONLY tests_pages WHERE id IN (SELECT id FROM a)"
        ))  # fmt: skip
    assert [entry[:2] for entry in recorded()] == [
        *[("delete", "tests_volumes"), ("insert", "tests_tags"), ("delete", "tests_pages")]
    ]


def test_who_and_where(audited: CustomFlask) -> None:
    """The user of the token, None for nobody; the task and its kind: request, callback, stream, block, command."""

    @audited.post("/<kind>")
    def view(kind: str) -> t.Any:
        if kind == "stream":
            return Response(add(name=f"{kind} {part}") and part for part in "ab")
        if kind == "block":
            with audited.task():
                add(name=kind)
        else:
            add(name=kind)
            after_commit(add, name=f"after {kind}")
        return task.id

    @audited.cli.command("write")
    def write() -> None:
        add(name="command")

    mine, client = bearer(audited, ANN), audited.test_client()
    before = len(read(audited))
    task_id = client.post("/request", headers=mine).text
    assert client.post("/nobody").status_code == 200
    # Whether a token that is no good is refused is for the view to say, and this one asks nobody.
    assert client.post("/stranger", headers={"Authorization": "Bearer of-nothing"}).status_code == 200
    assert client.post("/stream", headers=mine).text == "ab"
    client.post("/block", headers=mine)
    assert audited.test_cli_runner().invoke(args=["write"]).exit_code == 0

    found = read(audited, "kind, user_id, task_id")[before:]
    assert [(kind, user) for kind, user, _ in found] == [
        *[("request", 1), ("callback", 1), ("request", None), ("callback", None), ("request", None)],
        *[("callback", None), ("stream", 1), ("stream", 1), ("block", 1), ("command", None)],
    ]
    assert [found[0][2], found[1][2]] == [task_id, task_id]


@pytest.mark.parametrize("how", ["abort", "return", "raise", "doom", "late", "unique", "keep"])
def test_what_is_rolled_back_leaves_none(audited: CustomFlask, recorded: Recorded, how: str) -> None:
    """Whatever rolls it back; what is kept in spite of its status leaves its entry."""

    @audited.post("/")
    def view() -> t.Any:
        add(name="a")
        get_db().flush()
        if how == "abort":
            abort(409)
        if how == "raise":
            raise RuntimeError
        if how == "doom":
            task.doom()
        if how == "late":
            task.before_commit(lambda _response: 1 / 0)
        if how == "unique":
            add(name="a")
        if how == "keep":
            task.keep()
        return {}, 404 if how in ("return", "keep") else 200

    audited.test_client().post("/")
    assert len(names(audited)) == len(recorded()) == (1 if how == "keep" else 0)


def test_savepoints_and_tasks_inside(audited: CustomFlask, recorded: Recorded) -> None:
    """A savepoint that rolls back takes its entries along; a task inside keeps its own when the outer one fails."""
    with audited.task():
        with pytest.raises(KeyError), task.savepoint():
            add(name="undone")
            get_db().flush()
            get_db().execute(sa.update(Volume).values(name="also undone"))
            raise KeyError
        _, is_new = Volume.get_or_create(name="a")
        assert is_new
        get_db().begin_nested()
        add(name="in a savepoint that nobody ends")
    with pytest.raises(KeyError), audited.task(read_only=True):
        with audited.task():
            add(name="inner")
        raise KeyError
    assert [entry[4]["name"]["new"] for entry in recorded()] == ["a", "in a savepoint that nobody ends", "inner"]
    assert len(names(audited)) == 3


def test_rows_and_entries_agree(audited: CustomFlask, recorded: Recorded) -> None:
    """Whatever a hundred requests in four threads do: as many rows are recorded as there are."""

    @audited.post("/<int:seed>")
    def view(seed: int) -> t.Any:
        dice = random.Random(seed)
        for _ in range(dice.randint(1, 5)):
            dice.choice(WRITES)(dice)
        if dice.random() < 0.2:
            raise RuntimeError
        return {}, dice.choice([200, 201, 409])

    def work(first: int) -> None:
        client = audited.test_client()
        for seed in range(first, first + 25):
            client.post(f"/{seed}")

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    count = len(names(audited))
    assert count > 50
    assert sum(entry[3] for entry in recorded()) == count


def undo(dice: random.Random) -> None:
    """Write in a savepoint, and perhaps take it back."""
    with contextlib.suppress(KeyError), task.savepoint():
        add(note="savepoint")
        if dice.random() < 0.5:
            get_db().flush()
        if dice.random() < 0.5:
            raise KeyError


#: Ways to write volumes.
WRITES: tuple[Callable[[random.Random], t.Any], ...] = (
    undo,
    lambda _: add(note="object"),
    lambda _: get_db().execute(sa.insert(Volume), [{"note": "many"}] * 2),
    lambda _: get_db().scalars(sa.insert(Volume).returning(Volume.id), [{"note": "many"}] * 3).all(),
    lambda _: task.before_commit(lambda _response: add(note="late")),
    lambda _: after_commit(add, note="callback"),
)


def test_what_is_written_last_is_recorded(audited: CustomFlask, recorded: Recorded) -> None:
    """By a function of the prepare step that writes without a flush, and by those that it registers."""
    with audited.task():
        add(name="a")

        @task.before_commit
        def second(_response: t.Any) -> None:
            add(name="b")
            task.before_commit(lambda _: task.before_commit(lambda _: add(name="c")))

    assert names(audited) == ["a", "b", "c"]
    assert len(recorded()) == 3


def test_no_change_without_its_entry(audited: CustomFlask) -> None:
    """When the entries cannot be stored the answer is an error and nothing is committed, in requests and commands."""
    with get_engine(audited).begin() as connection:
        connection.exec_driver_sql("DROP TABLE audit_entries")

    @audited.post("/")
    def view() -> t.Any:
        after_commit(add, name="callback")
        get_db().execute(sa.insert(Volume).values(name="a"))
        return {}, 201

    @audited.cli.command("write")
    def write() -> None:
        add(name="b")

    assert audited.test_client().post("/").status_code == 500
    assert audited.test_cli_runner().invoke(args=["write"]).exit_code != 0
    assert names(audited) == []


def test_the_trail_itself_is_watched(audited: CustomFlask, recorded: Recorded) -> None:
    """Who takes entries away leaves one that says so."""
    with audited.task():
        add(name="a")
    with audited.task():
        get_db().execute(sa.text("DELETE FROM audit_entries"))
    assert recorded() == [("delete", "audit_entries", None, 1, None)]


def test_settings(make_audited: Callable[..., CustomFlask]) -> None:
    """A column can be hidden by its name or with its table; a table can be left out."""
    app = make_audited(
        "audit", MYAPP_PLUGIN_AUDIT__HIDE="tests_volumes.name, maps", MYAPP_PLUGIN_AUDIT__IGNORE="tests_tags"
    )
    with app.task():
        get_db().add_all([Atlas(name="a", maps=3), Tag(), Volume(price=2)])
        get_db().execute(sa.insert(Tag))
    assert [(table, changes) for _, table, _, _, changes in read(app)] == [
        ("tests_atlases", {"maps": {}}),
        ("tests_volumes", {"kind": {}, "name": {}}),
        ("tests_volumes", {"kind": {}, "price": {"new": 2.0}}),
    ]


def test_nothing_secret_of_the_core_is_kept(audited: CustomFlask) -> None:
    """Neither a password, nor a token, nor what is stored of them."""
    headers = bearer(audited, ANN, "a:scope")
    with get_engine(audited).connect() as connection:
        hashed = connection.scalar(sa.text("SELECT password_hash FROM users"))
        digest = connection.scalar(sa.text("SELECT digest FROM users_tokens"))
    entries = str(read(audited))
    assert ANN in entries
    for secret in (hashed, digest, headers["Authorization"].split()[1], "a password for tests"):
        assert secret not in entries


def test_values_are_what_json_can_hold(audited: CustomFlask, recorded: Recorded) -> None:
    """Long texts are cut, numbers that JSON has not are text."""
    with audited.task():
        add(name="é" * 5_000, price=float("inf"))
    [(*_, changes)] = recorded()
    assert changes["name"] == {"new": "é" * 1_000 + "…"}
    assert changes["price"] == {"new": "inf"}


def test_apps_do_not_cross(make_audited: Callable[..., CustomFlask]) -> None:
    """An app without the plugin is not watched, whichever was built first."""
    without, with_audit, other = make_audited(), make_audited("audit"), make_audited()
    for app in (without, with_audit, other):
        with app.task():
            add(name="a")
    assert len(read(with_audit)) == 1
    assert not sa.inspect(get_engine(without)).has_table("audit_entries")


@pytest.mark.backend("sqlite")
def test_an_app_that_is_gone_leaves_no_receiver(tmp_path: Path) -> None:
    """The signal belongs to the process."""
    app = create_app({"TESTING": True, "SECRET_KEY": "x" * 32, "MYAPP_INSTANCE_PATH": str(tmp_path)}, plugins=["audit"])
    with app.task(read_only=True):
        get_db()
    get_runtime(app).close()
    receiver = weakref.ref(next(iter(session_opened.receivers_for(app))))
    del app
    gc.collect()
    assert receiver() is None
