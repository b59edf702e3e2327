"""The models of one owner come and go without a trace in those of another."""

from __future__ import annotations

import sys
import types
import typing as t

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import configure_mappers

from myapp import Model, User, get_db
from myapp.core.data import configure_models, drop_models, find_broken, get_metadata, iter_mappers, model_packages

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask

ORDERS = """
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship
from myapp import Model, User

class Order(Model):
    __tablename__ = "registry_probe_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.__table__.c.id))
    user = relationship(User, backref="orders")
"""
BROKEN = ORDERS + "    broken = relationship('Nope')\n"
ITEMS = """
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship
from myapp import Model
from registry_probe import Order

class Line(Model):
    __tablename__ = "registry_kin_lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.ForeignKey(Order.__table__.c.id))
    order = relationship(Order)
"""


@pytest.fixture
def make_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], types.ModuleType]]:
    """Return a function that executes the text of a module with models; they are gone after the test."""
    made = []

    def make(name: str, text: str) -> types.ModuleType:
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        made.append(name)
        exec(text, module.__dict__)
        return module

    yield make
    drop_models(frozenset(made))


def count_users(app: CustomFlask) -> int | None:
    with app.task():
        get_db().add(User(address="ann@example.com", address_key="ann@example.com", password_hash="x"))
        get_db().flush()
        found = get_db().scalar(sa.select(sa.func.count()).select_from(User))
        get_db().delete(get_db().scalars(sa.select(User)).one())
        return found


def test_broken_backref_takes_the_core_down_until_it_is_dropped(
    app: CustomFlask, make_module: Callable[[str, str], types.ModuleType]
) -> None:
    """SQLAlchemy makes the core's registry depend on it; dropped, everything is as it was."""
    assert count_users(app) == 1
    module = make_module("registry_probe", BROKEN)
    with pytest.raises(InvalidRequestError, match="Nope"):
        configure_models("registry_probe")
    assert find_broken() == {"registry_probe"}
    with pytest.raises(InvalidRequestError, match="Nope"):
        count_users(app)

    drop_models(frozenset({"registry_probe"}))

    assert not find_broken()
    assert not hasattr(User, "orders")
    assert count_users(app) == 1
    configure_mappers()
    assert "registry_probe" not in model_packages()
    assert module.Order not in [mapper.class_ for _, mapper in iter_mappers()]


def test_dropped_models_can_be_made_again(make_module: Callable[[str, str], types.ModuleType]) -> None:
    """Their tables are forgotten as well."""
    make_module("registry_probe", ORDERS)
    configure_models("registry_probe")
    assert hasattr(User, "orders")

    drop_models(frozenset({"registry_probe"}))
    assert not get_metadata("registry_probe").tables
    assert not hasattr(User, "orders")

    make_module("registry_probe", ORDERS)
    configure_models("registry_probe")
    assert list(get_metadata("registry_probe").tables) == ["registry_probe_orders"]


def test_models_that_others_are_related_to_stay(make_module: Callable[[str, str], types.ModuleType]) -> None:
    """Dropping them would break the others; together they go, in whichever order they are named."""
    make_module("registry_probe", ORDERS)
    make_module("registry_kin", ITEMS)
    configure_models("registry_kin")

    drop_models(frozenset({"registry_probe"}))
    assert {"registry_probe", "registry_kin"} <= model_packages()
    configure_mappers()

    drop_models(frozenset({"registry_probe", "registry_kin"}))
    assert not {"registry_probe", "registry_kin"} & model_packages()


def test_package_without_models_is_nothing_to_do() -> None:
    """Neither configured nor dropped, and not made for it."""
    configure_models("registry_none")
    drop_models(frozenset({"registry_none"}))

    assert "registry_none" not in model_packages()
    assert issubclass(User, Model)
