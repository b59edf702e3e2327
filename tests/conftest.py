"""Fixtures of the whole suite: a small schema to write to, and a detector of leaked contexts."""

from __future__ import annotations

import typing as t

import pytest
import sqlalchemy as sa
from flask import has_app_context
from sqlalchemy.orm import Mapped, mapped_column

from myapp import Model, get_db
from myapp.core.data import ensure_schema, get_engine
from myapp.core.tasks.task import current

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


@pytest.fixture(autouse=True)
def _leak_detector() -> Iterator[None]:
    """Fail a test that leaves an application context or a task behind."""
    yield
    assert not has_app_context()
    assert current.get() is None


@pytest.fixture
def make_db_app(make_app: Callable[..., CustomFlask]) -> Callable[..., CustomFlask]:
    """Return a function that builds an app whose database has the table of :class:`Item`."""

    def make(**config: t.Any) -> CustomFlask:
        # Answers instead of exceptions: what a client sees is what these tests are about.
        # No blueprints: the tests serve "/" themselves.
        app = make_app(config={"PROPAGATE_EXCEPTIONS": False, "MYAPP_BLUEPRINT_PACKAGES": (), **config})
        # The core's tables too, so that a test sees its own statements and nobody else's locks.
        ensure_schema(app)
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
