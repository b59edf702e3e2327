"""Health checks of plugins: in a time-box, one call at a time, guarded."""

from __future__ import annotations

import sys
import threading
import time
import types
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from myapp import get_db, task
from myapp.core.data import get_engine
from myapp.core.plugins import get_guards, get_probes, get_report, measure
from myapp.core.plugins.health import BOX_SECONDS, FRESH_SECONDS
from tests.conftest import Item

from .test_guards import Clock

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask
    from myapp.core.plugins import Outcome

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


def make_plugin(health: Callable[[], t.Any], name: str = "shop", **manifest: t.Any) -> types.ModuleType:
    """Return a plugin with a health check."""
    module = types.ModuleType(name)
    module.__dict__["__plugin__"] = {"name": name, "version": "1.0", **manifest}
    module.__dict__["myapp_health"] = lambda app, plugin: health()
    return module


@pytest.fixture
def make_checked(make_app: MakeApp) -> MakeApp:
    """Return a function that builds an app whose plugin has this health check, and a clock that stands still."""

    def make(health: Callable[[], t.Any], **manifest: t.Any) -> CustomFlask:
        app = make_app(make_plugin(health, **manifest))
        get_guards(app).clock = Clock()
        return app

    return make


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Return what a check can hang at; the test opens it at its end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name.startswith("myapp-health-"):
            thread.join(timeout=10)


def look(app: CustomFlask) -> Outcome:
    """Return what the plugin's check finds now."""
    return measure(get_probes(app))[0]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("myapp-health-")]


@pytest.mark.parametrize(
    ("told", "status", "detail"),
    [
        (None, "ok", ""),
        ("3 meters", "ok", "3 meters"),
        (("ok", "fine"), "ok", "fine"),
        (("degraded", "slow"), "degraded", "slow"),
        (("down", "the shop is closed"), "down", "the shop is closed"),
        # As os.listdir() reads a name that is not UTF-8.
        (("down", "caf\udce9.csv is full"), "down", "caf?.csv is full"),
        ("caf\udce9.csv is read", "ok", "caf?.csv is read"),
    ],
)
def test_myapp_health_says_how_the_plugin_is(make_checked: MakeApp, told: t.Any, status: str, detail: str) -> None:
    """Nothing or text is well; else a status with text."""
    app = make_checked(lambda: told)

    outcome = look(app)

    assert (outcome.name, outcome.status, outcome.detail) == ("shop", status, detail)
    assert 0 <= outcome.milliseconds < BOX_SECONDS * 1000
    assert get_report(app)[0].state == "active"


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize(
    "health", [lambda: 1 / 0, lambda: ("broken", "no such status"), lambda: 42, lambda: sys.exit(3)]
)
def test_a_check_that_fails_is_down(
    make_checked: MakeApp, health: Callable[[], t.Any], critical: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """With attribution; logged once, and asked again however often it failed."""
    app = make_checked(health, critical=critical)
    clock = t.cast("Clock", get_guards(app).clock)

    for _ in range(7):
        outcome = look(app)
        clock.now += FRESH_SECONDS

    assert outcome.status == "down"
    assert "its health check" in outcome.detail
    assert __file__ in outcome.detail
    assert get_report(app)[0].state == "degraded"
    assert get_guards(app).count_failures("shop") == 7
    assert len(caplog.records) == 1


def test_a_check_that_hangs_is_down(
    make_checked: MakeApp, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """After a second; who asks again does not wait again, and no second thread is started."""
    app = make_checked(lambda: gate.wait(60) and "open")

    started = time.monotonic()
    first = look(app)
    took = time.monotonic() - started
    t.cast("Clock", get_guards(app).clock).now += 60
    started = time.monotonic()
    again = [look(app) for _ in range(5)]
    took_again = time.monotonic() - started

    assert first.status == "down"
    assert first.detail.startswith("no answer for 1.")
    assert BOX_SECONDS <= took < BOX_SECONDS + 2
    assert took_again < BOX_SECONDS / 2
    assert {outcome.status for outcome in again} == {"down"}
    assert threads() == ["myapp-health-shop"]
    assert len(caplog.records) == 1

    gate.set()
    for thread in [thread for thread in threading.enumerate() if thread.name == "myapp-health-shop"]:
        thread.join(timeout=10)
    t.cast("Clock", get_guards(app).clock).now += FRESH_SECONDS
    assert look(app)[1:3] == ("ok", "open")


def test_checks_run_at_the_same_time(make_app: MakeApp) -> None:
    """Two that wait for each other are both well."""
    barrier = threading.Barrier(2, timeout=BOX_SECONDS)
    app = make_app(*(make_plugin(lambda: str(barrier.wait() < 2), name) for name in ("one", "two")))

    outcomes = measure(get_probes(app))

    assert [(outcome.name, outcome.status) for outcome in outcomes] == [("one", "ok"), ("two", "ok")]


def test_many_who_ask_share_one_call(make_checked: MakeApp, gate: threading.Event) -> None:
    """At once, and for a moment afterwards."""
    calls: list[int] = []

    def health() -> str:
        calls.append(1)
        gate.wait(BOX_SECONDS / 2)
        return "well"

    app = make_checked(health)
    with ThreadPoolExecutor(8) as pool:
        found = {outcome.status for outcome in pool.map(lambda _: look(app), range(8))}
    assert (found, len(calls)) == ({"ok"}, 1)

    assert look(app).status == "ok"
    assert len(calls) == 1
    t.cast("Clock", get_guards(app).clock).now += FRESH_SECONDS
    gate.set()
    look(app)
    assert len(calls) == 2


def test_a_check_may_read_and_not_write(make_db_app: MakeApp) -> None:
    """It is a task that only reads: it neither waits for the write lock nor takes it."""

    def health() -> str:
        assert task.kind == "block"
        found = get_db().scalar(sa.select(sa.func.count()).select_from(Item))
        if found:
            get_db().add(Item(name="written"))
        return str(found)

    app = make_db_app(make_plugin(health))
    get_guards(app).clock = clock = Clock()
    with get_engine(app).connect() as other:
        assert look(app)[1:3] == ("ok", "0")
        other.execute(sa.insert(Item).values(name="a"))
        other.commit()
    clock.now += FRESH_SECONDS
    outcome = look(app)
    assert outcome.status == "down"
    assert "ReadOnlyTaskError" in outcome.detail
