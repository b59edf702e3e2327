"""Model: what it shows, what it accepts, and get_or_create under competition."""

from __future__ import annotations

import sys
import threading
import types
import typing as t

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from myapp import Model, ValidationError, get_db
from myapp.core.data import drop_models, get_engine
from myapp.core.errors import MyappError
from tests.conftest import Item

if t.TYPE_CHECKING:
    from myapp import CustomFlask


class Shelf(Model):
    """A row with related rows."""

    __tablename__ = "tests_shelves"
    __public__ = ("label", "books")

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    books: Mapped[list[Book]] = relationship(back_populates="shelf")


class Book(Model):
    """A related row."""

    __tablename__ = "tests_books"
    __public__ = ("title", "shelf")

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    price: Mapped[int] = mapped_column(default=0)
    shelf_id: Mapped[int] = mapped_column(sa.ForeignKey("tests_shelves.id"))
    shelf: Mapped[Shelf] = relationship(back_populates="books")


def test_to_dict_gives_the_allow_list_only(db_app: CustomFlask) -> None:
    """Also through JSON, and in lists: a column that nobody listed never leaves."""

    @db_app.get("/")
    def view() -> t.Any:
        return [Item(id=1, name="a", secret="hash")]

    assert db_app.test_client().get("/").json == [{"id": 1, "name": "a"}]
    assert Item(id=1, name="a", secret="hash").to_dict() == {"id": 1, "name": "a"}


def test_to_dict_follows_named_relationships_to_a_depth() -> None:
    """Relationships only when named; the depth bounds the way back; nothing is kept between calls."""
    shelf = Shelf(label="left")
    shelf.books = [Book(title="b", price=3, shelf=shelf)]
    assert shelf.to_dict() == {"label": "left"}
    assert shelf.to_dict("books") == {"label": "left", "books": [{"title": "b"}]}
    assert shelf.books[0].to_dict("shelf", depth=1) == {"title": "b", "shelf": {"label": "left"}}
    assert Book(title="c").to_dict("shelf") == {"title": "c", "shelf": None}
    assert shelf.to_dict() == {"label": "left"}
    with pytest.raises(ValueError, match="__public__"):
        shelf.to_dict("price")


def test_from_dict_names_every_key_that_cannot_be_set() -> None:
    """Unknown and read-only keys in one error, and nothing assigned; class state never grows."""
    item = Item(name="a")
    for _ in range(2):
        with pytest.raises(ValidationError) as caught:
            item.from_dict({"name": "b", "id": 3, "secret": "x", "a/b": 1})
        assert [(entry["pointer"], entry["code"]) for entry in caught.value.errors] == [
            ("/id", "read_only"),
            ("/secret", "unknown"),
            ("/a~1b", "unknown"),
        ]
    assert item.name == "a"
    assert item.from_dict({"name": "b"}) is item
    assert item.name == "b"
    assert Item.__writable__ == ("name",)


def test_get_or_create_once_for_fifty_threads(db_app: CustomFlask) -> None:
    """One row and one created=True, whoever wins."""
    barrier = threading.Barrier(50)
    results: list[tuple[int, bool]] = []

    def ask() -> None:
        barrier.wait(timeout=30)
        with db_app.task():
            item, created = Item.get_or_create({"secret": "x"}, name="the one")
            results.append((item.id, created))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(results) == 50
    assert [created for _, created in results].count(True) == 1
    assert len({id_ for id_, _ in results}) == 1


def test_get_or_create_leaves_the_callers_transaction_alone(db_app: CustomFlask) -> None:
    """Neither committed nor rolled back, whatever happens inside; other constraints keep their own error."""
    with pytest.raises(ZeroDivisionError), db_app.task():
        Item.get_or_create(name="lost")
        raise ZeroDivisionError
    with db_app.task():
        get_db().add(Item(name="before"))
        assert Item.get_or_create(name="before")[1] is False
        with pytest.raises(sa.exc.IntegrityError, match=r"(?i)check"):
            Item.get_or_create(name="x" * 50)
        assert Item.get_or_create(name="after")[1] is True
    with db_app.task(read_only=True):
        assert sorted(get_db().scalars(sa.select(Item.name))) == ["after", "before"]


def test_get_or_create_without_a_unique_constraint_is_refused(db_app: CustomFlask) -> None:
    """Two rows could come to be: an error at first use."""
    with db_app.task(), pytest.raises(MyappError, match="unique"):
        Item.get_or_create(secret="x")


class Seat(Model):
    """What looks unique and is not: NULLs, a partial index, an expression; and what is: a pair with a relationship."""

    __tablename__ = "tests_seats"
    __table_args__ = (
        sa.Index(
            "ix_partial", "row", unique=True, sqlite_where=sa.text("row > 3"), postgresql_where=sa.text("row > 3")
        ),
        sa.Index("ix_expression", sa.text("lower(label)"), unique=True),
        sa.UniqueConstraint("item_id", "number"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    row: Mapped[int | None]
    label: Mapped[str | None]
    number: Mapped[int | None] = mapped_column(unique=True)
    item_id: Mapped[int | None] = mapped_column(sa.ForeignKey("tests_items.id"))
    item: Mapped[Item | None] = relationship(Item)


def test_get_or_create_knows_what_is_unique(db_app: CustomFlask) -> None:
    """NULL, partial and expression indexes do not count; a relationship stands for its column."""
    Seat.metadata.create_all(get_engine(db_app))
    with db_app.task():
        for lookup in ({"row": 1}, {"label": "a"}, {"number": None}):
            with pytest.raises(MyappError, match="unique"):
                Seat.get_or_create(**lookup)
        item = Item(name="a")
        get_db().add(item)
        assert Seat.get_or_create(item=item, number=1)[1] is True
        assert Seat.get_or_create(item=item, number=1)[1] is False


@pytest.mark.parametrize("body", [[], None, ["name"], 5, True, "name"])
def test_from_dict_of_what_is_no_object(body: t.Any) -> None:
    """A client's body may be anything: one ValidationError."""
    with pytest.raises(ValidationError) as caught:
        Item().from_dict(body)
    assert caught.value.errors[0]["code"] == "object"


def test_each_owner_has_a_registry_of_its_own(
    db_app: CustomFlask, backend: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A plugin whose mapper cannot be configured does not keep the core from asking its tables."""
    source = """
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship
from myapp import Model

class Broken(Model):
    __tablename__ = "broken_things"
    id: Mapped[int] = mapped_column(primary_key=True)
    nope = relationship("Nope")
"""
    module = types.ModuleType(f"myapp_plugins.broken_{backend}")
    # SQLAlchemy looks the names of annotations up in the module.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    # Broken mappers are an error wherever all of them are configured, as long as nobody has collected them.
    request.addfinalizer(lambda: drop_models(frozenset({module.__name__})))
    exec(compile(source, "broken.py", "exec"), module.__dict__)
    assert "broken_things" not in Item.metadata.tables
    with pytest.raises(sa.exc.InvalidRequestError), db_app.task():
        get_db().add(module.Broken())
    with db_app.task():
        get_db().add(Item(name="a"))
    with get_engine(db_app).connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Item)) == 1
