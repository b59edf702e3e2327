"""Commands are tasks (docs/tasks.md, mechanism 9)."""

from __future__ import annotations

import sys
import typing as t

import click
import pytest
from flask import Blueprint, g, url_for
from flask.cli import AppGroup

from myapp import after_commit, get_db, task, tasked, untasked
from myapp.core.errors import NoTaskError
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

Names: t.TypeAlias = "Callable[[], list[str]]"


def add(name: str) -> None:
    get_db().add(Item(name=name))
    get_db().flush()


@pytest.mark.parametrize(
    ("end", "exit_code", "commits"),
    [
        pytest.param(lambda: None, 0, True, id="return"),
        pytest.param(lambda: sys.exit(), 0, True, id="sys.exit()"),
        pytest.param(lambda: sys.exit(0), 0, True, id="sys.exit(0)"),
        pytest.param(lambda: click.get_current_context().exit(0), 0, True, id="ctx.exit(0)"),
        pytest.param(lambda: sys.exit(3), 3, False, id="sys.exit(3)"),
        pytest.param(lambda: sys.exit("sentence"), 1, False, id="sys.exit(text)"),
        pytest.param(lambda: click.get_current_context().exit(4), 4, False, id="ctx.exit(4)"),
        pytest.param(lambda: 1 / 0, 1, False, id="exception"),
        pytest.param(lambda: (_ for _ in ()).throw(click.ClickException("no")), 1, False, id="ClickException"),
        pytest.param(lambda: (_ for _ in ()).throw(click.Abort()), 1, False, id="Abort"),
        pytest.param(lambda: (_ for _ in ()).throw(KeyboardInterrupt()), 1, False, id="interrupted"),
    ],
)
def test_command_commits_or_leaves_nothing(
    db_app: CustomFlask, names: Names, end: Callable[[], t.Any], exit_code: int, *, commits: bool
) -> None:
    """Row and callback of a command that fails are gone; a clean exit keeps both."""
    ran: list[str] = []

    @db_app.cli.command()
    def work() -> None:
        add("row")
        after_commit(ran.append, "callback")
        end()

    result = db_app.test_cli_runner().invoke(args=["work"])
    assert result.exit_code == exit_code
    assert names() == (["row"] if commits else [])
    assert ran == (["callback"] if commits else [])


def test_commands_of_blueprints_are_tasks_however_they_are_mounted(db_app: CustomFlask, names: Names) -> None:
    """Also of Blueprint(cli_group=None), of nested groups and of group callbacks, for every app alike."""
    bare = Blueprint("bare", __name__, cli_group=None)
    named = Blueprint("named", __name__)
    bare.cli.command("flat")(lambda: add("flat"))
    nested = AppGroup("nested", callback=lambda: add("callback of the group"), invoke_without_command=True)
    nested.command("deep")(lambda: add("deep"))
    named.cli.add_command(nested)
    db_app.register_blueprint(bare)
    db_app.register_blueprint(named)
    runner = db_app.test_cli_runner()
    for args in (["flat"], ["named", "nested", "deep"]):
        assert runner.invoke(args=args, catch_exceptions=False).exit_code == 0
    assert names() == ["flat", "callback of the group", "deep"]


def test_wrapping_leaves_the_command_itself_alone(db_app: CustomFlask) -> None:
    """A command may belong to two apps: each wraps a copy."""

    @db_app.cli.command()
    def work() -> None:
        pass

    callback = work.callback
    db_app.test_cli_runner().invoke(args=["work"])
    assert work.callback is callback


def test_g_of_a_group_reaches_its_command(db_app: CustomFlask) -> None:
    """The command's task is the context that is already pushed; links lead to MYAPP_PUBLIC_URL."""
    db_app.add_url_rule("/page", "page", lambda: "page")

    @db_app.cli.group()
    def group() -> None:
        g.mark = "from the group"

    @group.command()
    def show() -> None:
        click.echo(f"{g.mark} {task.kind} {url_for('page')}")

    with db_app.app_context():
        result = db_app.test_cli_runner().invoke(args=["group", "show"], catch_exceptions=False)
    assert result.output == "from the group command http://localhost:5000/page\n"


def test_untasked_command_has_no_task(db_app: CustomFlask) -> None:
    """A command that owns its transactions opens them itself."""

    @untasked
    @db_app.cli.command()
    def work() -> None:
        with pytest.raises(NoTaskError):
            after_commit(print)
        with db_app.task():
            add("own")

    assert db_app.test_cli_runner().invoke(args=["work"], catch_exceptions=False).exit_code == 0


def test_tasked_function_is_a_task_and_joins_one(db_app: CustomFlask, names: Names) -> None:
    """Called in a bare context it commits by itself; inside a task it is a part of it."""

    @tasked
    def work(name: str) -> str:
        add(name)
        return task.id

    with db_app.app_context():
        work("alone")
    with pytest.raises(ZeroDivisionError), db_app.task() as outer:
        assert work("joined") == outer.id
        raise ZeroDivisionError
    assert names() == ["alone"]


def test_failing_commit_fails_the_command(db_app: CustomFlask, names: Names) -> None:
    """Exit 1 although the command itself came to its end."""

    @db_app.cli.command()
    def work() -> None:
        get_db().add(Item(name="orphan", parent_id=4711))

    assert db_app.test_cli_runner().invoke(args=["work"]).exit_code == 1
    assert names() == []
