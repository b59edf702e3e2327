"""An app with the audit plugin, tables to write to, and what was recorded."""

from __future__ import annotations

import json
import typing as t

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from myapp import Model, get_db
from myapp.core.data import get_engine

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask
    from tests.databases import Tables

Recorded: t.TypeAlias = "Callable[[], list[tuple[t.Any, ...]]]"


class Tag(Model):
    """What books have many of."""

    __tablename__ = "tests_tags"

    id: Mapped[int] = mapped_column(primary_key=True)


class Page(Model):
    """What goes with its book."""

    __tablename__ = "tests_pages"
    __public__ = ("id", "book_id")

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int | None] = mapped_column(sa.ForeignKey("tests_volumes.id"))


tagged = sa.Table(
    "tests_tagged",
    Tag.metadata,
    sa.Column("book_id", sa.ForeignKey("tests_volumes.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tests_tags.id"), primary_key=True),
)


class Volume(Model):
    """A row with columns of every kind: public, private, secret, set by the database, set by the mapper."""

    __tablename__ = "tests_volumes"
    __public__ = ("id", "name", "price", "reset_token", "label")

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String, default="book")
    name: Mapped[str | None] = mapped_column(unique=True)
    price: Mapped[float | None]
    note: Mapped[str | None]
    reset_token: Mapped[str | None]
    #: The attribute is public, and the column is called otherwise.
    label: Mapped[str | None] = mapped_column("label_text")
    renewed: Mapped[int | None] = mapped_column(onupdate=lambda: 1)

    pages: Mapped[list[Page]] = relationship(cascade="all, delete-orphan")
    tags: Mapped[list[Tag]] = relationship(secondary=tagged)

    __mapper_args__: t.ClassVar[dict[str, t.Any]] = {"polymorphic_on": "kind", "polymorphic_identity": "book"}


class Atlas(Volume):
    """A row in two tables."""

    __tablename__ = "tests_atlases"
    __public__ = ("id", "name", "maps")
    __mapper_args__: t.ClassVar[dict[str, t.Any]] = {"polymorphic_identity": "atlas"}

    id: Mapped[int] = mapped_column(sa.ForeignKey(Volume.id), primary_key=True)
    maps: Mapped[int | None]


@pytest.fixture
def make_audited(
    make_app: Callable[..., CustomFlask], database_config: Callable[[], dict[str, str]], tables: Tables
) -> Callable[..., CustomFlask]:
    """Return a function that builds an app with the plugin and the tables of this module."""

    def make(*plugins: str, **config: t.Any) -> CustomFlask:
        defaults = {"PROPAGATE_EXCEPTIONS": False, "MYAPP_BLUEPRINT_PACKAGES": (), **database_config()}
        app = make_app(*plugins, config=defaults | config)
        tables.make(app)
        Volume.metadata.create_all(get_engine(app))
        return app

    return make


@pytest.fixture
def audited(make_audited: Callable[..., CustomFlask]) -> CustomFlask:
    """Return an app with the plugin and the tables of this module."""
    return make_audited("audit")


@pytest.fixture
def recorded(audited: CustomFlask) -> Recorded:
    """Return a function that gives what was recorded of the tables of this module."""
    return lambda: read(audited)


def read(app: CustomFlask, columns: str = "action, table_name, row_key, row_count, changes") -> list[tuple[t.Any, ...]]:
    """Return the entries, oldest first, read past the plugin."""
    with get_engine(app).connect() as connection:
        query = sa.text(f"SELECT {columns} FROM audit_entries ORDER BY id")
        return [tuple(_parsed(value) for value in row) for row in connection.execute(query)]


def _parsed(value: t.Any) -> t.Any:
    """SQLite gives JSON as text."""
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def add(**columns: t.Any) -> Volume:
    """Add a book to the task's session."""
    book = Volume(**columns)
    get_db().add(book)
    return book
