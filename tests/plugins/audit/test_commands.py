"""`flask audit list`, and the tables that it reads."""

from __future__ import annotations

import json
import typing as t

import pytest

from myapp import get_db
from myapp.core.data import downgrade, get_engine, get_metadata, upgrade
from myapp.testing import bearer

from .conftest import Volume, add

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from myapp import CustomFlask

pytestmark = pytest.mark.backend("sqlite")
ANN = "ann@example.com"


@pytest.fixture
def run(audited: CustomFlask) -> Callable[..., Result]:
    """Return a function that runs ``flask audit list`` with options."""
    return lambda *options: audited.test_cli_runner().invoke(args=["audit", "list", *options])


@pytest.fixture
def written(audited: CustomFlask) -> CustomFlask:
    """Write as a user, as nobody, and a statement."""

    @audited.post("/")
    def view() -> t.Any:
        add(name="a\x1b[2J\n", note="hidden")
        return {}

    assert audited.test_client().post("/", headers=bearer(audited, ANN)).status_code == 200
    with audited.task():
        add(name="b")
    with audited.task():
        get_db().query(Volume).update({"price": 1})
    return audited


def test_list(run: Callable[..., Result], audited: CustomFlask, request: pytest.FixtureRequest) -> None:
    """The newest first, a line for each entry and one for each column; what was written commands no terminal."""
    assert "There is no such entry" in run().output
    request.getfixturevalue("written")

    result = run("--limit", "3")

    assert result.exit_code == 0
    heads = [line for line in result.output.splitlines() if " in block " in line or " in request " in line]
    assert [head.split("Z  ")[1].partition(" in ")[0] for head in heads] == [
        "update  tests_volumes  2 rows  by nobody",
        'insert  tests_volumes  {"id": 2}  by nobody',
        'insert  tests_volumes  {"id": 1}  by user 1',
    ]
    assert '        name: "a\\u001b[2J\\n"' in result.output.splitlines()
    assert "        note: (value not kept)" in result.output.splitlines()
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ((), 5),
        (("--limit", "2"), 2),
        (("--table", "tests_volumes"), 3),
        (("--table", "tests_volumes", "--key", "1"), 1),
        (("--key", '{"id": 2}'), 1),
        (("--user", "1"), 1),
        (("--user", "ANN@example.com"), 1),
        (("--user", "2"), 0),
        (("--since", "5m"), 5),
        (("--since", "2020-01-31"), 5),
        (("--since", "2999-01-31T12:00+01:00"), 0),
    ],
)
def test_list_as_json(run: Callable[..., Result], written: CustomFlask, options: tuple[str, ...], count: int) -> None:
    """One document; the options narrow it down."""
    result = run("--json", *options)

    document = json.loads(result.stdout)
    assert (result.exit_code, document["schema"], len(document["audit"])) == (0, 1, count)
    for entry in document["audit"]:
        assert sorted(entry) == [
            *("action", "changes", "id", "kind", "moment", "row_count", "row_key", "table_name", "task_id", "user_id")
        ]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--since", "yesterday"), 2, "2026-01-31T12:00"),
        (("--since", "999999d"), 2, "2026-01-31T12:00"),
        (("--since", "0001-01-01T00:00+14:00"), 2, "2026-01-31T12:00"),
        (("--limit", "0"), 2, "--limit"),
        (("--user", "bob@example.com"), 1, "flask users list"),
    ],
)
def test_list_refuses(run: Callable[..., Result], options: tuple[str, ...], code: int, says: str) -> None:
    """Exit 2 for what cannot be used, 1 for somebody who is not there."""
    result = run(*options)
    assert (result.exit_code, says in result.stderr) == (code, True)


def test_listing_waits_for_nobody(run: Callable[..., Result], written: CustomFlask) -> None:
    """While another task holds SQLite's write lock the list is there at once."""
    with written.task():
        add(name="c")
        get_db().flush()
        assert run("--json").exit_code == 0


@pytest.mark.backend("sqlite", "postgresql")
def test_the_model_and_the_migration_agree(audited: CustomFlask) -> None:
    """Alembic finds nothing to add; the table can be taken away and made again."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    downgrade(audited, "audit", "base")
    upgrade(audited)

    with get_engine(audited).connect() as connection:
        options = {
            "compare_type": True,
            "include_name": lambda name, kind, _parents: kind != "table" or str(name).startswith("audit_"),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, get_metadata("myapp_plugins.audit")) == []
