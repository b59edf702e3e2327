"""Fixtures of the whole suite: a small schema to write to, and a detector of leaked contexts."""

from __future__ import annotations

import gc
import os
import typing as t
import uuid
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from flask import has_app_context
from sqlalchemy.orm import Mapped, mapped_column

from myapp import Model, get_db
from myapp.core.data import get_engine
from myapp.core.tasks.task import current
from tests import browsers, databases, redises

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from myapp import CustomFlask


class Item(Model):
    """A row with everything that can fail: at flush (unique, check), at commit (deferred foreign key)."""

    __tablename__ = "tests_items"
    __table_args__ = (sa.CheckConstraint("length(name) < 40", name="short"),)
    __public__ = ("id", "name")
    __writable__ = ("name",)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String, unique=True)
    secret: Mapped[str | None]
    parent_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("tests_items.id", deferrable=True, initially="DEFERRED")
    )


#: A browser, for the tests that ask for one.
chromium = browsers.chromium


@pytest.fixture(autouse=True)
def _leak_detector() -> Iterator[None]:
    """Fail a test that leaves an application context or a task behind."""
    yield
    assert not has_app_context()
    assert current.get() is None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the URL of a PostgreSQL server; at home the test is skipped without it, in CI it fails."""
    programs = databases.find_postgres()
    if programs is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"There is no PostgreSQL: {databases.INSTALL}")
    with databases.run_postgres(programs) as url:
        yield url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[redises.RedisServer]:
    """Return a Redis server of the test's own; at home the test is skipped without one, in CI it fails."""
    with _run_redis(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redises.RedisServer]:
    """Return one Redis server for all tests that neither stop nor empty it."""
    with _run_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@contextmanager
def _run_redis(folder: Path) -> Iterator[redises.RedisServer]:
    if redises.find_redis() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"There is no Redis: {redises.INSTALL}")
    server = redises.RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Return the kind of database: tests that ask for an app with tables run on each."""
    marker = request.node.get_closest_marker("backend")
    if marker is not None and request.param not in marker.args:
        pytest.skip(f"This is about {', '.join(marker.args)}.")
    return t.cast("str", request.param)


@pytest.fixture
def database_config(backend: str, request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Return a function that gives the settings of one more empty database of the kind."""
    if backend == "sqlite":
        return dict
    url: str = request.getfixturevalue("postgres")
    return lambda: {"MYAPP_DATABASE_URL": databases.make_schema(url, f"s{uuid.uuid4().hex}")}


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> databases.Tables:
    """Return what gives empty databases their tables."""
    return databases.Tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture
def make_db_app(
    make_app: Callable[..., CustomFlask], database_config: Callable[[], dict[str, str]], tables: databases.Tables
) -> Callable[..., CustomFlask]:
    """Return a function that builds an app whose database has the table of :class:`Item`."""

    def make(*plugins: t.Any, **config: t.Any) -> CustomFlask:
        # Answers instead of exceptions: what a client sees is what these tests are about.
        # No blueprints: the tests serve "/" themselves.
        app = make_app(
            *plugins,
            config={"PROPAGATE_EXCEPTIONS": False, "MYAPP_BLUEPRINT_PACKAGES": (), **database_config(), **config},
        )
        # The core's tables too, so that a test sees its own statements and nobody else's locks.
        tables.make(app)
        Item.metadata.create_all(get_engine(app))
        return app

    return make


@pytest.fixture
def db_app(make_db_app: Callable[..., CustomFlask]) -> CustomFlask:
    """Return an app whose database has the table of :class:`Item`."""
    return make_db_app()


@pytest.fixture
def names(db_app: CustomFlask) -> Callable[[], list[str]]:
    """Return a function that gives the names of the stored items, read by a connection of its own."""

    def read() -> list[str]:
        with db_app.task(read_only=True):
            return list(get_db().scalars(sa.select(Item.name).order_by(Item.id)))

    return read


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays until the end: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()
