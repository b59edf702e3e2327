"""Migrations: one version table for each owner, foreign keys, who upgrades and who refuses."""

from __future__ import annotations

import textwrap
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from myapp import UTCDateTime, get_db
from myapp.core import data
from myapp.core.data.sqlite import WRITES
from myapp.core.errors import SchemaError
from myapp.core.ops import iter_findings

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from myapp import CustomFlask

FIRST = """
    import sqlalchemy as sa
    from alembic import op

    revision = "0001"
    down_revision = None

    def upgrade():
        op.create_table("{owner}_parents", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String))
        op.create_table(
            "{owner}_children",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("parent_id", sa.Integer, sa.ForeignKey("{owner}_parents.id", ondelete="CASCADE")),
        )

    def downgrade():
        op.drop_table("{owner}_children")
        op.drop_table("{owner}_parents")
"""
SECOND = """
    import sqlalchemy as sa
    from alembic import op

    revision = "0002"
    down_revision = "0001"

    def upgrade():
        with op.batch_alter_table("{owner}_parents") as batch:
            batch.alter_column("name", new_column_name="label")
        {more}

    def downgrade():
        pass
"""


def write(folder: Path, name: str, source: str, **values: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(textwrap.dedent(source).format(**values))
    return folder


@pytest.fixture
def app(make_app: t.Any, database_config: t.Any) -> CustomFlask:
    """Return an app with an empty database of the kind at hand."""
    return t.cast("CustomFlask", make_app(config=database_config()))


@pytest.fixture
def shop(app: CustomFlask, tmp_path: Path) -> Path:
    """Register an owner `shop` with one migration and return the folder of its versions."""
    folder = write(tmp_path / "shop", "0001_first.py", FIRST, owner="shop")
    data.register_migrations(app, "shop", "myapp_plugins.shop", folder)
    return folder


def tables(app: CustomFlask) -> set[str]:
    return set(sa.inspect(data.get_engine(app)).get_table_names())


def revise(app: CustomFlask, name: str) -> str:
    """Write a revision and return its text."""
    path, _ = data.revise(app, name, "look")
    assert path is not None
    return path.read_text()


def test_each_owner_has_its_own_version_table(app: CustomFlask, shop: Path) -> None:
    """init-db upgrades all owners and is fine twice."""
    runner = app.test_cli_runner()
    newest = data.positions(app)[0].newest
    first = runner.invoke(args=["init-db"])
    assert first.output == (
        f"The tables of core are at {newest} (were at nothing).\nThe tables of shop are at 0001 (were at nothing).\n"
    )
    assert {"shop_parents", "shop_children", "alembic_version_shop"} <= tables(app)
    assert runner.invoke(args=["init-db"]).output == "The tables are up to date.\n"
    assert [(p.owner, p.current, p.newest) for p in data.positions(app)][-1] == ("shop", "0001", "0001")


def test_first_use_upgrades_while_testing(app: CustomFlask, shop: Path) -> None:
    """get_db() finds the tables there."""
    with app.task():
        get_db().execute(sa.text("INSERT INTO shop_parents (name) VALUES ('a')"))
    with app.task():
        assert get_db().scalar(sa.text("SELECT count(*) FROM shop_parents")) == 1


def test_production_refuses_older_tables(make_app: t.Any, database_config: t.Any, tmp_path: Path) -> None:
    """503 with Retry-After for requests, not ready for probes, a sentence with the command for the operator."""
    app = make_app(config={"TESTING": False, "SECRET_KEY": "k" * 40, **database_config()})
    data.register_migrations(app, "shop", "x", write(tmp_path / "shop", "0001_first.py", FIRST, owner="shop"))
    app.get("/use")(lambda: str(get_db().scalar(sa.text("SELECT 1"))))
    client = app.test_client()
    answer = client.get("/use")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert client.get("/readyz").status_code == 503
    with pytest.raises(SchemaError, match="flask db upgrade"):
        data.ensure_schema(app)
    assert app.test_cli_runner().invoke(args=["db", "upgrade"]).exit_code == 0
    assert client.get("/readyz").status_code == 200
    assert client.get("/use").text == "1"


def test_batch_alter_keeps_cascaded_children(app: CustomFlask, shop: Path) -> None:
    """SQLite copies and drops the table: with foreign keys on the children would go with it."""
    with app.task():
        get_db().execute(sa.text("INSERT INTO shop_parents (id, name) VALUES (1, 'a')"))
        get_db().execute(sa.text("INSERT INTO shop_children (id, parent_id) VALUES (1, 1)"))
    write(shop, "0002_second.py", SECOND, owner="shop", more="")
    assert data.upgrade(app) == ["The tables of shop are at 0002 (were at 0001)."]
    with app.task():
        assert get_db().scalar(sa.text("SELECT label FROM shop_parents")) == "a"
        assert get_db().scalar(sa.text("SELECT count(*) FROM shop_children")) == 1
        if get_db().get_bind().dialect.name == "sqlite":
            assert get_db().scalar(sa.text("PRAGMA foreign_keys")) == 1


@pytest.mark.backend("sqlite")
def test_migration_that_breaks_references_changes_nothing(app: CustomFlask, shop: Path) -> None:
    """The check runs before the commit: the tables and the version stay as they were."""
    with app.task():
        get_db().execute(sa.text("INSERT INTO shop_parents (id, name) VALUES (1, 'a')"))
        get_db().execute(sa.text("INSERT INTO shop_children (id, parent_id) VALUES (1, 1)"))
    write(shop, "0002_second.py", SECOND, owner="shop", more='op.execute("DELETE FROM shop_parents")')
    with pytest.raises(SchemaError, match="point nowhere"):
        data.upgrade(app)
    with app.task():
        assert get_db().scalar(sa.text("SELECT name FROM shop_parents")) == "a"
    assert data.positions(app)[-1].current == "0001"


def test_downgrade_and_revision_need_an_owner(app: CustomFlask, shop: Path) -> None:
    """--of NAME; an unknown one names the known ones; revision sees the owner's tables only."""
    runner = app.test_cli_runner()
    runner.invoke(args=["init-db"])
    assert runner.invoke(args=["db", "downgrade"]).exit_code == 2
    unknown = runner.invoke(args=["db", "downgrade", "--of", "nobody"])
    assert unknown.exit_code == 1
    assert "core, shop" in unknown.stderr
    assert runner.invoke(args=["db", "revision", "--of", "shop", "-m", "look"]).exit_code == 0
    [script] = shop.glob("*look.py")
    # The models of shop have no tables here, so those that exist are to be dropped; nobody else's are.
    text = script.read_text()
    assert "drop_table('shop_parents')" in text
    assert "tests_items" not in text
    script.unlink()
    assert runner.invoke(args=["db", "downgrade", "--of", "shop"]).exit_code == 0
    assert "shop_parents" not in tables(app)


@pytest.fixture
def depot(app: CustomFlask, tmp_path: Path) -> Iterator[sa.Table]:
    """Register an owner whose models are its one table, and return that."""
    folder = tmp_path / "depot"
    folder.mkdir()
    data.register_migrations(app, "depot", "tests_depot", folder)
    metadata = data.get_metadata("tests_depot")
    table = sa.Table("depot_things", metadata, sa.Column("id", sa.Integer, primary_key=True))
    revise(app, "depot")
    data.upgrade(app)
    yield table
    metadata.remove(table)


def test_revision_with_nothing_in_it_is_not_written(app: CustomFlask, depot: sa.Table, tmp_path: Path) -> None:
    """It says so: in development the next command would apply a file that somebody takes away after a look."""
    before = sorted((tmp_path / "depot").glob("*.py"))

    result = app.test_cli_runner().invoke(args=["db", "revision", "--of", "depot", "-m", "again"])

    assert (result.exit_code, "Wrote nothing: the models of depot have" in result.stdout) == (0, True)
    assert sorted((tmp_path / "depot").glob("*.py")) == before


def test_revision_that_rows_would_fail_says_so(app: CustomFlask, depot: sa.Table, tmp_path: Path) -> None:
    """When it is written, on an empty table where it passes, and with the remedy when it has failed."""
    depot.append_column(sa.Column("least", sa.Integer, nullable=False))
    depot.append_column(sa.Column("most", sa.Integer, nullable=False, server_default="9"))
    depot.append_column(sa.Column("note", sa.String))
    remedy = "Give the column a server_default, or let it be nullable."
    runner = app.test_cli_runner()

    result = runner.invoke(args=["db", "revision", "--of", "depot", "-m", "least"])

    what = "The column least of depot_things is NOT NULL and has no server_default, which fails where there are rows."
    assert (result.exit_code, result.stderr) == (0, f"{what} {remedy}\n")
    with data.get_engine(app).connect().execution_options(**{WRITES: True}) as connection, connection.begin():
        connection.execute(sa.text("INSERT INTO depot_things (id) VALUES (1)"))
    result = runner.invoke(args=["db", "upgrade"])
    assert (result.exit_code, f"{remedy} Then run: flask db upgrade" in result.stderr) == (1, True)


@pytest.mark.parametrize("site", ["site-packages", "dist-packages"])
def test_revision_is_not_written_into_what_pip_has_copied(app: CustomFlask, tmp_path: Path, site: str) -> None:
    """It would be in no source, and would stay when the plugin is uninstalled."""
    (tmp_path / site).mkdir()
    folder = write(tmp_path / site / "shop", "0001_first.py", FIRST, owner="shop")
    data.register_migrations(app, "shop", "x", folder)
    data.upgrade(app)

    result = app.test_cli_runner().invoke(args=["db", "revision", "--of", "shop", "-m", "look"])

    assert (result.exit_code, "pip install -e FOLDER" in result.stderr) == (1, True)
    assert [path.name for path in folder.glob("*.py")] == ["0001_first.py"]


class Cents(sa.TypeDecorator[int]):
    """A type of somebody's own."""

    impl = sa.Numeric(12, 2)
    cache_ok = True


class Price(sa.TypeDecorator[int]):
    """One on top of it."""

    impl = Cents
    cache_ok = True


def test_revision_of_own_types_runs_and_says_what_the_tables_are(app: CustomFlask, tmp_path: Path) -> None:
    """Types of a model's own are written as SQLAlchemy's: the file imports nothing of the application."""
    folder = tmp_path / "stall"
    folder.mkdir()
    data.register_migrations(app, "stall", "tests_stall", folder)
    metadata = data.get_metadata("tests_stall")
    table = sa.Table(
        *("stall_things", metadata),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("made", UTCDateTime, nullable=False),
        sa.Column("cents", Cents),
        sa.Column("price", Price),
        sa.Column("varied", Price().with_variant(Cents(), "sqlite")),
        sa.Column("blob", sa.PickleType()),
    )
    try:
        text = revise(app, "stall")
        assert "sa.Column('made', sa.DateTime(timezone=True), nullable=False)" in text
        assert "sa.Column('price', sa.Numeric(precision=12, scale=2), nullable=True)" in text
        assert data.upgrade(app, names=["stall"])
        assert data.find_differences(app, "stall") == []
    finally:
        metadata.remove(table)


def test_vanished_owner_blocks_nobody(make_app: t.Any, app: CustomFlask, shop: Path, tmp_path: Path) -> None:
    """The tables of a plugin that is gone stay, and upgrades of the others go on."""
    data.upgrade(app)
    url = data.get_engine(app).url.render_as_string(hide_password=False)
    other = make_app(config={"MYAPP_DATABASE_URL": url})
    folder = write(tmp_path / "blog", "0001_first.py", FIRST, owner="blog")
    data.register_migrations(other, "blog", "myapp_plugins.blog", folder)
    assert data.upgrade(other) == ["The tables of blog are at 0001 (were at nothing)."]
    assert {"shop_parents", "blog_parents"} <= tables(other)


def test_longest_name_owns_a_table(app: CustomFlask, shop: Path, tmp_path: Path) -> None:
    """`shop` does not drop the tables of `shop_eu`."""
    data.register_migrations(
        app, "shop_eu", "myapp_plugins.shop_eu", write(tmp_path / "eu", "0001_first.py", FIRST, owner="shop_eu")
    )
    data.upgrade(app)
    text = revise(app, "shop")
    assert "shop_parents" in text
    assert "shop_eu" not in text


@pytest.mark.backend("sqlite")
def test_orphans_of_before_block_nobody(app: CustomFlask, shop: Path) -> None:
    """Only what the migration itself breaks counts."""
    data.upgrade(app)
    with data.get_engine(app).connect() as connection:
        raw: t.Any = connection.connection.dbapi_connection
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute("INSERT INTO shop_children (id, parent_id) VALUES (1, 4711)")
        raw.execute("PRAGMA foreign_keys = ON")
    write(shop, "0002_second.py", SECOND, owner="shop", more="")
    assert data.upgrade(app) == ["The tables of shop are at 0002 (were at 0001)."]


def test_tables_of_newer_code_are_explained(make_app: t.Any, app: CustomFlask, shop: Path) -> None:
    """A revision that has no file here: a sentence instead of Alembic's traceback, for commands and for probes."""
    data.upgrade(app)
    (shop / "0001_first.py").rename(shop / "0001_first.away")
    write(shop, "0009_other.py", FIRST.replace('"0001"', '"0009"'), owner="shop")
    result = app.test_cli_runner().invoke(args=["db", "upgrade"])
    assert result.exit_code == 1
    assert "are at 0001" in result.stderr
    assert "newer code" in result.stderr
    write(shop, "0008_head.py", FIRST.replace('"0001"', '"0008"'), owner="shop")
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.json["checks"]) == (503, {"database": "wrong tables"})


@pytest.mark.parametrize("rest", [(), ("0009_other.py",)])
def test_missing_revision_files_are_told_everywhere(app: CustomFlask, shop: Path, rest: tuple[str, ...]) -> None:
    """Also when no file is left. Nobody says that the tables are up to date, or that an upgrade will do."""
    data.upgrade(app)
    (shop / "0001_first.py").unlink()
    for name in rest:
        write(shop, name, FIRST.replace('"0001"', '"0009"'), owner="shop")
    what = f"The tables of shop are at 0001, a revision that no file in {shop} has."

    for args in (["db", "upgrade"], ["init-db"], ["db", "current"], ["db", "current", "--json"]):
        result = app.test_cli_runner().invoke(args=args)
        said = result.stdout + result.stderr
        assert (result.exit_code, what in said) == (1, True), args
        assert "get it back" in said
        assert "The tables are up to date" not in said
    assert any(finding.subject == "shop" or what in finding.summary for finding in iter_findings(app))
    assert app.test_client().get("/readyz").status_code == 503


def test_model_without_a_migration_is_told(app: CustomFlask, shop: Path) -> None:
    """By the doctor of whoever develops: the error of the database names a column alone."""
    data.upgrade(app)
    assert not [finding for finding in iter_findings(app) if finding.id != "database.models-differ"]
    [finding] = iter_findings(app)
    # The models of shop are none here, and its tables are two.
    assert (finding.id, finding.subject) == ("database.models-differ", "shop")
    assert "shop_parents" in finding.summary
    assert "flask db revision --of shop -m" in finding.hint


def test_migration_that_asks_for_the_session_is_told(app: CustomFlask, tmp_path: Path) -> None:
    """get_db() would wait for the migration that it is a part of."""
    source = FIRST.replace("def upgrade():\n", "def upgrade():\n        from myapp import get_db; get_db()\n")
    data.register_migrations(app, "shop", "x", write(tmp_path / "shop", "0001_first.py", source, owner="shop"))
    with (
        pytest.raises(SchemaError, match=r"of shop fails at .*0001_first\.py:\d+: .* op\.get_bind"),
        app.task(),
    ):
        get_db()


def test_version_that_raises_no_exception_is_told(app: CustomFlask, tmp_path: Path) -> None:
    """As one that raises an Exception, or calls ``sys.exit()``."""
    source = FIRST.replace("def upgrade():\n", "def upgrade():\n        import asyncio; raise asyncio.CancelledError\n")
    data.register_migrations(app, "shop", "x", write(tmp_path / "shop", "0001_first.py", source, owner="shop"))
    with pytest.raises(SchemaError, match=r"of shop fails at .*0001_first\.py:\d+: CancelledError"), app.task():
        get_db()


@pytest.mark.filterwarnings("ignore:Revision .* is not present")
def test_version_that_follows_none_is_told(app: CustomFlask, tmp_path: Path) -> None:
    """Alembic says the name alone."""
    source = FIRST.replace("down_revision = None", "down_revision = 'shop_0000'")
    assert source != FIRST
    data.register_migrations(app, "shop", "x", write(tmp_path / "shop", "0001_first.py", source, owner="shop"))
    with pytest.raises(SchemaError, match="a down_revision is 'shop_0000', and no version is called so"), app.task():
        get_db()


def test_two_threads_that_upgrade_two_apps(make_app: t.Any, database_config: t.Any, tmp_path: Path) -> None:
    """Alembic's `op` belongs to the process: one migration at a time."""
    apps = []
    for name in ("one", "two"):
        app = make_app(config=database_config())
        data.register_migrations(app, name, "x", write(tmp_path / name, "0001_first.py", FIRST, owner=name))
        apps.append(app)
    with ThreadPoolExecutor() as pool:
        assert [len(lines) for lines in pool.map(data.upgrade, apps)] == [2, 2]
    # Those of the suite's own models are not made here.
    core = {"alembic_version_core"} | {name for name in data.get_metadata().tables if not name.startswith("tests_")}
    assert [sorted(tables(app) - core) for app in apps] == [
        [f"alembic_version_{name}", f"{name}_children", f"{name}_parents"] for name in ("one", "two")
    ]


def test_folder_that_is_none_is_named(app: CustomFlask, tmp_path: Path) -> None:
    """A hook that returns a wrong path is an error that names it."""
    with pytest.raises(SchemaError, match="not a folder"):
        data.register_migrations(app, "shop", "x", tmp_path / "nowhere")


def test_db_current_as_json(app: CustomFlask, shop: Path) -> None:
    """One document on stdout with every owner."""
    result = app.test_cli_runner().invoke(args=["db", "current", "--json"])
    assert '{"owner": "shop", "current": null, "newest": "0001", "problem": ""}' in result.stdout


def test_db_current_names_who_is_not_loaded(make_app: t.Any, app: CustomFlask, shop: Path) -> None:
    """Its tables are there, which is no problem; one that was taken back to nothing has none."""
    data.upgrade(app)
    url = data.get_engine(app).url.render_as_string(hide_password=False)
    runner = make_app(config={"MYAPP_DATABASE_URL": url}).test_cli_runner()

    said, document = (runner.invoke(args=["db", "current", *more]) for more in ((), ("--json",)))
    data.downgrade(app, "shop", "base")
    after = runner.invoke(args=["db", "current"])

    assert said.exit_code == document.exit_code == 0
    line = "shop                 0001             its tables are there, and no plugin of this name is loaded"
    assert line in said.stdout.splitlines()
    assert '"absent": {"shop": "0001"}' in document.stdout
    assert "shop" not in after.stdout
