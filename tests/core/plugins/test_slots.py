"""Slots: what plugins put into the pages, escaped, in order, guarded."""

from __future__ import annotations

import types
import typing as t

import pytest
from flask import abort, render_template, render_template_string
from markupsafe import Markup

from myapp.core.plugins import get_report
from myapp.core.plugins.breaker import FAILURES
from myapp.core.plugins.slots import SLOTS

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myapp import CustomFlask

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"
Slot: t.TypeAlias = "Callable[[str, Mapping[str, t.Any]], t.Any]"


def make_plugin(slot: Slot, name: str = "shop", **manifest: t.Any) -> types.ModuleType:
    """Return a plugin that fills slots."""
    module = types.ModuleType(name)
    module.__dict__["__plugin__"] = {"name": name, "version": "1.0", **manifest}
    module.__dict__["myapp_slot"] = lambda app, plugin, name, context: slot(name, context)
    return module


@pytest.fixture
def make_filled(make_app: MakeApp) -> MakeApp:
    """Return a function that builds an app with these slots, and a page with one at ``/page``."""

    def make(*slots: Slot, **manifest: t.Any) -> CustomFlask:
        plugins = [make_plugin(slot, f"plugin{number}", **manifest) for number, slot in enumerate(slots)]
        app = make_app(*plugins, config={"PROPAGATE_EXCEPTIONS": False})
        app.add_url_rule("/page", "page", lambda: render_template_string("[{{ slot('x') }}]", word="hello"))
        return app

    return make


def page_of(app: CustomFlask) -> str:
    answer = app.test_client().get("/page")
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize(
    ("filled", "shown"),
    [
        ("<b>&</b>", "[&lt;b&gt;&amp;&lt;/b&gt;]"),
        (Markup("<b>&amp;</b>"), "[<b>&amp;</b>]"),
        (None, "[]"),
        ("", "[]"),
    ],
)
def test_text_is_escaped_and_markup_passes(make_filled: MakeApp, filled: t.Any, shown: str) -> None:
    """None is nothing."""
    assert page_of(make_filled(lambda name, context: filled)) == shown


def test_without_a_plugin_there_is_nothing(make_filled: MakeApp) -> None:
    """No markup in the pages of the core, and nothing to be called."""
    app = make_filled()

    assert page_of(app) == "[]"
    home = app.test_client().get("/").text
    assert "<footer" not in home
    assert '<nav aria-label="Main"><a href="/">myapp</a></nav>' in home


def test_plugins_fill_a_slot_in_their_order(make_filled: MakeApp) -> None:
    """That of ``flask plugins list``; each gets the name and the variables of the template, to read."""
    seen: list[tuple[str, str]] = []

    def first(name: str, context: Mapping[str, t.Any]) -> str:
        seen.append((name, context["word"]))
        with pytest.raises(TypeError):
            context["word"] = "changed"  # type: ignore[index]
        return "a"

    assert page_of(make_filled(first, lambda name, context: "b", lambda name, context: "c")) == "[abc]"
    assert seen == [("x", "hello")]


def test_the_slots_of_the_core_are_in_its_pages(make_filled: MakeApp) -> None:
    """Every one that is documented, on the welcome page and on that of an error."""
    app = make_filled(lambda name, context: Markup("<i>{}</i>").format(name))
    client = app.test_client()

    pages = client.get("/").text, client.get("/nothing", headers={"Accept": "text/html"}).text

    shown = {name for name in SLOTS for page in pages if f"<i>{name}</i>" in page}
    assert shown == set(SLOTS)
    assert "<footer><i>footer</i></footer>" in pages[0]


@pytest.mark.parametrize("slot", [lambda name, context: 1 / 0, lambda name, context: 42])
def test_a_slot_that_fails_stays_empty(make_filled: MakeApp, slot: Slot, caplog: pytest.LogCaptureFixture) -> None:
    """The others are filled; one entry in the log."""
    app = make_filled(slot, lambda name, context: "b")

    assert [page_of(app), page_of(app)] == ["[b]", "[b]"]
    assert [report.state for report in get_report(app)] == ["degraded", "active"]
    assert len(caplog.records) == 1
    assert "its slot" in caplog.text
    assert "test_slots" in caplog.text


def test_a_slot_that_always_fails_is_seen_and_skipped(make_filled: MakeApp) -> None:
    """The page has others that the same function fills; they go on, and are no recovery of the one that fails."""
    calls: list[str] = []

    def fill(name: str, context: t.Any) -> str | None:
        calls.append(name)
        return str(1 / 0) if name == "home" else None

    app = make_filled(fill)
    client = app.test_client()
    for _ in range(FAILURES + 3):
        assert client.get("/").status_code == 200

    [report] = get_report(app)
    assert report.state == "degraded"
    assert report.problem is not None
    assert report.problem.summary.startswith("its slot home ")
    assert (calls.count("home"), calls.count("nav")) == (FAILURES, FAILURES + 3)


def test_a_slot_of_a_critical_plugin_answers_503(make_filled: MakeApp) -> None:
    """As its other functions do."""
    app = make_filled(lambda name, context: 1 / 0, critical=True)

    assert app.test_client().get("/page").status_code == 503


def test_a_slot_may_abort(make_filled: MakeApp) -> None:
    """As every guarded function."""
    assert make_filled(lambda name, context: abort(403)).test_client().get("/page").status_code == 403


def test_a_slot_does_not_render_itself(make_filled: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """A template that extends the base has the slots in it again: said once, and not run until the stack is full."""
    count = 0

    def render(name: str, context: Mapping[str, t.Any]) -> str:
        nonlocal count
        count += 1
        return render_template("base.html")

    app = make_filled(render)

    assert page_of(app) == "[]"
    assert count == 1
    assert "does not extend" in caplog.text


def test_a_hook_may_take_fewer_arguments(make_app: MakeApp) -> None:
    """As pluggy allows it; methods of an object are hooks too."""

    class Shop:
        def myapp_slot(self, name: str) -> str:
            return name

    app = make_app(Shop())
    with app.test_request_context():
        assert render_template_string("{{ slot('nav') }}") == "nav"
