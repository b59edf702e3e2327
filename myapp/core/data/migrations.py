"""Schema migrations: Alembic, with one version table for each owner (the core, each plugin)."""

from __future__ import annotations

import io
import re
import threading
import traceback
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from ..config import SITES
from ..errors import SchemaError, is_own_failure
from . import postgresql, sqlite
from .engine import get_engine
from .outages import find_outage
from .registry import CORE, get_all_metadata

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from alembic.config import Config
    from alembic.operations.ops import MigrationScript
    from alembic.script import ScriptDirectory
    from flask import Flask

#: The folder with ``env.py`` and the template of new revisions; below it lie the core's own versions.
SCRIPTS = Path(__file__).resolve().parents[2] / "migrations"


#: What the version table of each owner begins with.
VERSION_TABLE = "alembic_version_"
NOT_FOUND = (
    "The tables of {name} are at {current}, a revision that no file in {versions} has. If they are of newer code,"
    " install that; if the file is missing, get it back."
)
COPIED = (
    "The migrations of {name} are in {versions}, which is a copy that pip has made: its source and the next wheel would"
    " not have a new one. Install the source for editing (pip install -e FOLDER), and run this again."
)
NO_DEFAULT = (
    "The column {column} of {table} is NOT NULL and has no server_default, which fails where there are rows. {remedy}"
)
NO_DEFAULT_REMEDY = "Give the column a server_default, or let it be nullable."
#: How SQLite and PostgreSQL say that the rows of a table have nothing in a new column.
NULLS = re.compile(r"NOT NULL|contains null values")
# Alembic's `op` and `context` belong to the process, not to a thread.
_alembic = threading.RLock()


@dataclass(frozen=True)
class Owner:
    """Whoever has tables: its name, the import root of its models, the folder of its Alembic versions."""

    name: str
    package: str
    versions: Path

    @property
    def version_table(self) -> str:
        """The table that says how far its migrations have come."""
        return f"{VERSION_TABLE}{self.name}"

    def owns(self, table: str, owners: tuple[str, ...]) -> bool:
        """Whether a table found in the database is this owner's; a plugin's tables begin with its name."""
        if table.startswith(VERSION_TABLE):
            return False
        # The longest name wins: shop_eu_orders is of `shop_eu`, and not of `shop`.
        claims = [other for other in owners if other != "core" and table.startswith(f"{other}_")]
        return self.name == max(claims, key=len, default="core")


@dataclass
class Schema:
    """The owners of one app; the order is the order of upgrades. What upper parts attach: who is not needed."""

    owners: dict[str, Owner] = field(default_factory=dict)
    #: Whether everybody else is served while the tables of this owner are not those of the code.
    is_optional: Callable[[str], bool] = lambda _: False
    #: Refuses the session to what runs for an owner whose tables are not those of the code.
    refuse: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Position:
    """How far one owner's tables have come.

    :param problem: why an upgrade cannot bring them further, as a sentence with the remedy; most often empty.
    """

    owner: str
    current: str | None
    newest: str | None
    problem: str = ""

    @property
    def is_current(self) -> bool:
        """Whether nothing is left to be upgraded."""
        return self.current == self.newest and not self.problem

    def __str__(self) -> str:
        return self.problem or (
            f"The tables of {self.owner} are at {self.current or 'nothing'} and not at {self.newest}, which this code"
            " needs. Run: flask db upgrade"
        )


def register_migrations(app: Flask, owner: str, package: str, folder: Path | str) -> None:
    """Let ``owner`` bring its own tables.

    :param owner: the plugin's name; its tables begin with ``<owner>_``.
    :param package: what has its models below it, such as ``myapp_plugins.shop``.
    :param folder: its Alembic version files.
    :raises SchemaError: when the folder does not exist.
    """
    versions = Path(folder)
    if not versions.is_dir():
        raise SchemaError(
            f"The migrations of {owner} are to be in {versions}, which is not a folder. Create it, empty; then:"
            f" flask db revision --of {owner} -m …"
        )
    get_schema(app).owners[owner] = Owner(owner, package, versions)


def get_schema(app: Flask) -> Schema:
    """Return the owners of the app's tables."""
    return t.cast("Schema", app.extensions["myapp.data"])


def positions(app: Flask) -> list[Position]:
    """Return how far each owner's tables have come, the core first."""
    return [find_position(app, name) for name in get_schema(app).owners]


def find_absent(app: Flask) -> dict[str, str]:
    """Return who has tables in the database and is not here, with the revision that they are at."""
    with get_engine(app).connect() as connection:
        found = {name: _current(connection, Owner(name, "", Path())) for name in _absent_owners(app, connection)}
    return {name: current for name, current in sorted(found.items()) if current is not None}


def find_position(app: Flask, name: str) -> Position:
    """Return how far the tables of one owner have come."""
    owner = get_owner(app, name)
    with get_engine(app).connect() as connection:
        current = _current(connection, owner)
    try:
        newest, is_known = _read_versions(owner, current)
    except SchemaError as error:
        return Position(name, current, None, error.message)
    problem = "" if is_known else NOT_FOUND.format(name=name, current=current, versions=owner.versions)
    return Position(name, current, newest, problem)


def upgrade(app: Flask, target: str = "head", *, names: Iterable[str] | None = None) -> list[str]:
    """Upgrade every owner's tables, each in one transaction, and return a sentence for each that changed.

    :param names: these owners alone.
    :raises SchemaError: when a migration fails, or leaves rows whose foreign keys point nowhere; the tables of that
        owner, and of those after it, stay as they were.
    """
    from alembic import command  # 100 ms, only where migrations run.

    lines: list[str] = []
    owners = get_schema(app).owners
    for owner in owners.values() if names is None else [get_owner(app, name) for name in names]:
        position = find_position(app, owner.name)
        if position.problem:
            raise SchemaError(position.problem)
        if position.newest is None or (target == "head" and position.is_current):
            continue
        with _migrating(app, owner) as config:
            before = _current(config.attributes["connection"], owner)
            command.upgrade(config, target)
            after = _current(config.attributes["connection"], owner)
        if before != after:
            lines.append(f"The tables of {owner.name} are at {after} (were at {before or 'nothing'}).")
    return lines


def downgrade(app: Flask, name: str, target: str) -> None:
    """Take the tables of one owner back to ``target`` (a revision, ``-1`` or ``base``)."""
    from alembic import command  # 100 ms, only where migrations run.

    with _migrating(app, get_owner(app, name)) as config:
        command.downgrade(config, target)


def revise(app: Flask, name: str, message: str) -> tuple[Path | None, list[str]]:
    """Write a new revision for one owner: what its models have and its tables do not.

    :return: the file, or None where they agree; and what to correct in the file before it runs, as sentences.
    :raises SchemaError: also when the owner's version files are a copy that pip has made.
    """
    from alembic import command  # 100 ms, only where migrations run.

    owner = get_owner(app, name)
    if not SITES.isdisjoint(owner.versions.parts):
        raise SchemaError(COPIED.format(name=name, versions=owner.versions))
    warnings: list[str] = []

    def look(_context: t.Any, _revision: t.Any, scripts: list[MigrationScript]) -> None:
        warnings.extend(_iter_unfilled(scripts))
        # One that does nothing would be applied in development before anybody has taken it away.
        scripts[:] = [script for script in scripts if script.upgrade_ops is None or not script.upgrade_ops.is_empty()]

    with _migrating(app, owner) as config:
        script = command.revision(config, message=message, autogenerate=True, process_revision_directives=look)
    return None if script is None or isinstance(script, list) else Path(script.path), warnings


def _iter_unfilled(scripts: Iterable[MigrationScript]) -> Iterator[str]:
    """Yield a sentence for each column that a revision adds and that rows of before would have nothing in."""
    from alembic.operations.ops import AddColumnOp, ModifyTableOps

    tables = [table for script in scripts for table in (script.upgrade_ops.ops if script.upgrade_ops else ())]
    for change in (change for table in tables if isinstance(table, ModifyTableOps) for change in table.ops):
        if isinstance(change, AddColumnOp) and not change.column.nullable and change.column.server_default is None:
            names = {"column": change.column.name, "table": change.table_name}
            yield NO_DEFAULT.format(**names, remedy=NO_DEFAULT_REMEDY)


def find_differences(app: Flask, name: str) -> list[str]:
    """Return what the models of one owner say and its tables are not, as Alembic puts it; nothing when they agree."""
    from alembic import command  # 100 ms, only where migrations run.
    from alembic.util.exc import AutogenerateDiffsDetected

    with _migrating(app, get_owner(app, name)) as config:
        # It prints that there are none.
        config.stdout = io.StringIO()
        try:
            command.check(config)
        except AutogenerateDiffsDetected as found:
            return [_words(difference) for difference in found.diffs]
    return []


def _words(difference: t.Any) -> str:
    # A change of a table is a tuple, changes of its columns are a list of them.
    if isinstance(difference, list):
        return "; ".join(_words(one) for one in difference)
    return " ".join(str(getattr(one, "name", one)) for one in difference if one is not None)


def get_owner(app: Flask, name: str) -> Owner:
    """Return the owner ``name``.

    :raises SchemaError: when there is none, with the names that there are.
    """
    owners = get_schema(app).owners
    if name not in owners:
        raise SchemaError(f"{name!r} owns no tables here. Owners: {', '.join(owners)}.")
    return owners[name]


@contextmanager
def _migrating(app: Flask, owner: Owner) -> Iterator[Config]:
    """Open the one transaction of a migration and yield Alembic's configuration for it.

    Foreign keys are off meanwhile, because SQLite deletes the children when Alembic copies and drops a table, and are
    checked before the commit.
    """
    engine = get_engine(app)
    is_sqlite = engine.dialect.name == "sqlite"
    with _alembic, engine.connect() as connection:
        if is_sqlite:
            # The pragma does nothing inside a transaction: it goes to the driver before BEGIN.
            t.cast("t.Any", connection.connection.dbapi_connection).execute("PRAGMA foreign_keys = OFF")
        try:
            # A second process waits, here or for the advisory lock, and then finds the work done.
            with connection.execution_options(**{sqlite.WRITES: True}).begin():
                if not is_sqlite:
                    postgresql.lock_migrations(connection)
                broken_before = _broken_references(connection) if is_sqlite else set()
                with _explained(app, owner, _current(connection, owner)):
                    yield _config(app, owner, connection)
                if is_sqlite:
                    _check_foreign_keys(connection, owner, broken_before)
        finally:
            if is_sqlite:
                t.cast("t.Any", connection.connection.dbapi_connection).execute("PRAGMA foreign_keys = ON")


def _broken_references(connection: sa.Connection) -> set[tuple[t.Any, ...]]:
    """Return the rows whose foreign keys point nowhere: table, row id, parent, number of the key."""
    return {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}


def _check_foreign_keys(connection: sa.Connection, owner: Owner, before: set[tuple[t.Any, ...]]) -> None:
    broken = _broken_references(connection) - before
    if broken:
        tables = ", ".join(sorted({str(row[0]) for row in broken}))
        raise SchemaError(
            f"The migration of {owner.name} would leave {len(broken)} rows of {tables} that point nowhere. Nothing was"
            " changed; correct the migration."
        )


def _config(app: Flask, owner: Owner, connection: sa.Connection) -> Config:
    from alembic.config import Config  # 100 ms, only where migrations run.

    config = Config()
    # ConfigParser reads % as the beginning of a reference.
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("version_locations", str(owner.versions).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    owners = (*get_schema(app).owners, *_absent_owners(app, connection))

    def include_name(name: str | None, kind: str, _parents: t.Any) -> bool:
        return kind != "table" or name is None or owner.owns(name, owners)

    config.attributes.update(
        connection=connection,
        metadata=get_all_metadata(owner.package),
        version_table=owner.version_table,
        include_name=include_name,
    )
    return config


def _absent_owners(app: Flask, connection: sa.Connection) -> list[str]:
    """Return who has tables in the database and is not here, such as a plugin that is disabled.

    Nobody's models have those tables, and a revision of the core would drop them.
    """
    tables = sa.inspect(connection).get_table_names()
    names = [table.removeprefix(VERSION_TABLE) for table in tables if table.startswith(VERSION_TABLE)]
    return [name for name in names if name not in get_schema(app).owners]


def _current(connection: sa.Connection, owner: Owner) -> str | None:
    if not sa.inspect(connection).has_table(owner.version_table):
        return None
    table = sa.table(owner.version_table, sa.column("version_num"))
    return t.cast("str | None", connection.scalar(sa.select(table.c.version_num)))


def _read_versions(owner: Owner, current: str | None) -> tuple[str | None, bool]:
    """Return the newest revision of the owner's version files, and whether ``current`` is one of them.

    :raises SchemaError: when the files cannot be used.
    """
    if not any(path.stem != "__init__" for path in owner.versions.glob("*.py")):
        return None, current is None
    from alembic.script import ScriptDirectory  # 100 ms, only where there are migrations.

    with _explained(None, owner, current):
        script = ScriptDirectory(str(SCRIPTS), version_locations=[str(owner.versions)])
        newest = script.get_current_head()
        return newest, current in (None, newest) or current in _revisions(script)


def _revisions(script: ScriptDirectory) -> set[str]:
    return {revision.revision for revision in script.walk_revisions()}


@contextmanager
def _explained(app: Flask | None, owner: Owner, current: str | None) -> Iterator[None]:
    """Turn what Alembic says, or a version file that fails, into what to do.

    :param app: where the database is used; an outage of it is nobody's mistake.
    :raises SchemaError: in the place of the error.
    """
    from alembic.util import CommandError  # 100 ms, only where migrations run.

    position = f"Its tables are at {current or 'nothing'}."
    try:
        yield
    except CommandError as error:
        raise SchemaError(
            f"The migrations of {owner.name} in {owner.versions} do not fit: {error}. {position} If the tables are of"
            " newer code, install that; if a file is missing, get it back; if there are several heads, let one follow"
            " the other."
        ) from error
    except BaseException as error:
        if not is_own_failure(error) or (app is not None and find_outage(app, error) is not None):
            raise
        place = _place(error, owner)
        message = _message(error)
        if isinstance(error, KeyError) and place == str(owner.versions):
            # Alembic has looked it up, and says nothing else.
            message = f"a down_revision is {error}, and no version is called so"
        remedy = f"{NO_DEFAULT_REMEDY} Then" if NULLS.search(message) else "Correct it and"
        raise SchemaError(
            f"A migration of {owner.name} fails at {place}: {message}. {position} {remedy} run: flask db upgrade"
        ) from error


def _place(error: BaseException, owner: Owner) -> str:
    """Return the file and the line of the owner's version file that failed, as far as that is known."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent == owner.versions]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else str(owner.versions)


def _message(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    # SQLAlchemy's last line is an address with its documentation.
    lines = [line for line in text.splitlines() if not line.startswith("(Background on this error")]
    return f"{type(error).__name__}: {' '.join(lines)}".removesuffix(": ").removesuffix(".")


def init_schema(app: Flask) -> None:
    """Attach the owners of tables; the core comes first."""
    app.extensions["myapp.data"] = Schema({"core": Owner("core", CORE, SCRIPTS / "versions")})
