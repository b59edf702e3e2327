"""Which process works beside serving: the one that serves ``flask run``, and no other."""

from __future__ import annotations

import threading
import typing as t

import click
import pytest
from flask.cli import routes_command, run_command

from myapp import get_db, job
from myapp.core.data import get_engine
from myapp.core.work import start
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask


@job
def add(name: str) -> None:
    get_db().add(Item(name=name))
    _ran.set()


_ran = threading.Event()


@pytest.fixture
def serving_app(make_db_app: t.Any) -> Iterator[CustomFlask]:
    """Return an app that is not under test, as ``flask run`` has it; its worker stops with the test."""
    _ran.clear()
    app = make_db_app(TESTING=False, MYAPP_PROFILE="development")
    yield app
    threads = [thread for thread in threading.enumerate() if thread.name == "myapp-jobs"]
    for worker in list(app.extensions["myapp.work"].workers):
        worker.stop()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()


def start_under(app: CustomFlask, command: click.Command, **parameters: t.Any) -> bool:
    """Start as a command does, and return whether a worker runs."""
    context = click.Context(command)
    context.params = parameters
    with context:
        start(app)
    return any(thread.name == "myapp-jobs" for thread in threading.enumerate())


def test_ready_jobs_are_worked_off_when_the_server_starts(serving_app: CustomFlask) -> None:
    """What was enqueued before, by whoever."""
    with serving_app.task():
        add.enqueue("a")
    assert start_under(serving_app, run_command, reload=False)
    assert _ran.wait(timeout=30)


def test_jobs_of_commands_are_worked_off(serving_app: CustomFlask, make_app: Callable[..., CustomFlask]) -> None:
    """A server that nobody has given a job runs what another process enqueues."""
    assert start_under(serving_app, run_command, reload=False)
    url = get_engine(serving_app).url.render_as_string(hide_password=False)
    other = make_app(config={"MYAPP_DATABASE_URL": url})
    with other.task():
        add.enqueue("a")
    assert _ran.wait(timeout=30)


@pytest.mark.parametrize("why", ["another command", "the parent of the reloader", "no command"])
def test_no_other_process_works(serving_app: CustomFlask, why: str) -> None:
    """A command that ends, the process that only watches files, another server: their jobs are somebody else's."""
    with serving_app.task():
        add.enqueue("a")
    if why == "no command":
        start(serving_app)
    elif why == "another command":
        assert not start_under(serving_app, routes_command)
    else:
        assert not start_under(serving_app, run_command, reload=True)
    with serving_app.task():
        add.enqueue("b")
    assert not any(thread.name == "myapp-jobs" for thread in threading.enumerate())


def test_child_of_the_reloader_works(serving_app: CustomFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one that serves."""
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    with serving_app.task():
        add.enqueue("a")
    assert start_under(serving_app, run_command, reload=True)
    assert _ran.wait(timeout=30)


def test_nothing_works_under_test(db_app: CustomFlask) -> None:
    """A test says itself when its jobs run."""
    with db_app.task():
        add.enqueue("a")
    assert not start_under(db_app, run_command, reload=False)
