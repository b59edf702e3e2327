"""The tables of plugins: each plugin brings its own, and one that has vanished is in nobody's way."""

from __future__ import annotations

import typing as t

import pytest
import sqlalchemy as sa

from myapp import get_db
from myapp.core import data
from myapp.core.plugins import get_report

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

MODULE = """
from sqlalchemy.orm import Mapped, mapped_column
from myapp import Model


class Item(Model):
    __tablename__ = "{name}_items"
    id: Mapped[int] = mapped_column(primary_key=True)


def myapp_migrations(plugin):
    return "versions"
{more}
"""
BREAKS = """
def myapp_commands(app, plugin):
    assert "BREAK" not in app.config
"""
VERSION = """
import sqlalchemy as sa
from alembic import op

revision = "{name}1"
down_revision = None


def upgrade():
    op.create_table("{name}_items", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("{name}_items")
"""


def files(name: str, more: str = "") -> dict[str, str]:
    return {
        f"{name}/__init__.py": MODULE.format(name=name, more=more),
        f"{name}/versions/0001_items.py": VERSION.format(name=name),
    }


def tables(app: CustomFlask) -> set[str]:
    names = sa.inspect(data.get_engine(app)).get_table_names()
    return {name for name in names if name.startswith(("alembic_version_", "goes_", "stays_"))}


@pytest.fixture
def make(make_plugin_app: MakeApp, database_config: Callable[[], dict[str, str]], tmp_path: Path) -> MakeApp:
    """Return a function that builds apps with one database and one instance folder."""
    shared = database_config() | {"MYAPP_INSTANCE_PATH": str(tmp_path / "instance")}
    return lambda *folders, **config: make_plugin_app(*folders, **shared, **config)


@pytest.mark.parametrize("how", ["gone", "disabled", "broken"])
def test_vanished_plugin_blocks_nobody(how: str, make: MakeApp, make_folder: MakeFolder) -> None:
    """The core and the others upgrade, are written to, downgrade and get new revisions; its tables stay as they are."""
    kept, going = make_folder("kept", files("stays")), make_folder("going", files("goes", BREAKS))
    data.upgrade(make(kept, going))
    config = {"disabled": {"MYAPP_PLUGINS_DISABLED": "goes"}, "broken": {"BREAK": True}}.get(how, {})

    app = make(kept, *(() if how == "gone" else (going,)), **config)

    states = {report.name: report.state for report in get_report(app)}
    assert states.pop("goes", "") == {"gone": "", "disabled": "disabled", "broken": "broken-register"}[how]
    assert states == {"stays": "active"}
    assert data.upgrade(app) == []
    assert all(position.is_current for position in data.positions(app))
    with app.task():
        get_db().execute(sa.text("INSERT INTO stays_items (id) VALUES (1)"))
    assert [data.find_differences(app, owner) for owner in ("core", "stays")] == [[], []]
    data.downgrade(app, "stays", "base")
    assert tables(app) == {"alembic_version_core", "alembic_version_goes", "alembic_version_stays", "goes_items"}
    # It comes back, and goes on where it was.
    assert [
        p.is_current for p in data.positions(make(kept, make_folder("back", files("goes")))) if p.owner == "goes"
    ] == [True]
