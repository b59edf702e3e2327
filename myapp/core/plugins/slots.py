"""``{{ slot("nav") }}``: the places of a page that plugins fill."""

from __future__ import annotations

import functools
import threading
import typing as t
from contextvars import ContextVar
from types import MappingProxyType

from jinja2 import pass_context
from markupsafe import Markup, escape

from .breaker import Guard, Told, get_guards

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask
    from jinja2.runtime import Context

    from .breaker import Guards
    from .report import PluginState

    F: t.TypeAlias = Callable[..., t.Any]

#: The slots of the core's templates; a template of a plugin may have more, of other names.
SLOTS: Mapping[str, str] = MappingProxyType(
    {
        "head": "the end of the <head> of every page: sheets, scripts",
        "nav": "the main navigation, behind the link to the first page: links",
        "before_content": "above what the page shows",
        "after_content": "below what the page shows",
        "footer": "the end of the page; there is no <footer> when nobody fills it",
        "home": "the welcome page, above the lists",
        "error": "the page of an error, below its detail; `problem` is in the context",
    }
)
_rendering: ContextVar[frozenset[str]] = ContextVar("myapp.slots", default=frozenset())
NOTHING = Markup()


class SlotGuard(Guard):
    """The slot stays empty. Each slot has a guard of its own: that one is filled says nothing about another."""

    def __init__(self, guards: Guards, plugin: str, caller: F, call: F) -> None:
        super().__init__(guards, plugin, t.cast("t.Any", caller).__wrapped__)
        self.target = call

    def run(self, *args: t.Any) -> Markup:
        """Return what the plugin puts into a slot.

        :raises RuntimeError: inside of itself, for the call around it, which fails.
        """
        active = _rendering.get()
        if self.plugin in active:
            raise RuntimeError(
                "A slot was rendered with a template that has the slots of a page. Render one that does not extend"
                " base.html."
            )
        token = _rendering.set(active | {self.plugin})
        try:
            return t.cast("Markup", super().run(*args))
        finally:
            _rendering.reset(token)

    def fall_back(self, *args: t.Any) -> Markup:
        """Return nothing."""
        return NOTHING

    def check(self, result: t.Any, *args: t.Any) -> Markup:
        """Escape what is text and not Markup; refuse what is neither."""
        if result is None:
            return NOTHING
        if not isinstance(result, str) and not hasattr(result, "__html__"):
            raise TypeError(f"It returned a {type(result).__name__} and not text, Markup or None.")
        return escape(result)


def attach_slots(app: Flask, state: PluginState) -> None:
    """Give templates ``slot(name)``: what the plugins put there, in the order of ``flask plugins list``."""
    guards = get_guards(app)
    makers: list[Callable[[str], SlotGuard]] = []
    for plugin, target in state.active:
        caller = state.hooks.find_caller("myapp_slot", target)
        if caller is not None:
            call = functools.partial(_call, caller, {"app": app, "plugin": plugin})
            makers.append(functools.partial(_make_guard, guards, plugin.name, caller, call, Told()))
    app.jinja_env.globals["slot"] = _make_slot(makers) if makers else _empty


def _call(caller: Callable[..., t.Any], arguments: dict[str, t.Any], name: str, context: Mapping[str, t.Any]) -> t.Any:
    return caller(**arguments, name=name, context=context)


def _make_guard(guards: Guards, plugin: str, caller: F, call: F, told: Told, name: str) -> SlotGuard:
    guard = SlotGuard(guards, plugin, caller, call)
    guard.kind = f"slot {name}"
    guard.told = told
    guards.guards.append(guard)
    return guard


def _make_slot(makers: list[Callable[[str], SlotGuard]]) -> Callable[[Context, str], Markup]:
    # Made when a template first has the slot: those of plugins may have any names.
    slots: dict[str, list[SlotGuard]] = {}
    lock = threading.Lock()

    def guards_of(name: str) -> list[SlotGuard]:
        with lock:
            if name not in slots:
                slots[name] = [make(name) for make in makers]
            return slots[name]

    @pass_context
    def slot(context: Context, name: str) -> Markup:
        view = MappingProxyType(context.get_all())
        return NOTHING.join([guard.run(name, view) for guard in slots.get(name) or guards_of(name)])

    return slot


def _empty(name: str) -> Markup:
    return NOTHING
