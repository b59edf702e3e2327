"""One pluggy manager for each app, and the check that a plugin's hooks are hooks."""

from __future__ import annotations

import functools
import inspect
import typing as t
from types import ModuleType

import pluggy

from ..config import did_you_mean
from . import hookspecs
from .imports import look_up

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOOKS = tuple(sorted(name for name in vars(hookspecs) if name.startswith(hookspecs.PREFIX)))
#: Those that are there for what they return.
RETURNING = frozenset({"myapp_blueprints", "myapp_commands", "myapp_migrations"})
_MARK = f"{hookspecs.PROJECT}_impl"


class HookManager(pluggy.PluginManager):
    """pluggy's manager, which takes the name of a hook for its mark."""

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)
        #: By plugin, the hooks of :data:`RETURNING` that have returned nothing.
        self.silent: dict[str, list[str]] = {}

    def parse_hookimpl_opts(self, plugin: t.Any, name: str) -> t.Any:
        """Return pluggy's options of the hook ``name``; no other attribute is looked at, let alone evaluated."""
        if name not in HOOKS:
            return None
        function = look_up(plugin, name)
        if inspect.isfunction(function):
            # What nearly all hooks are: pluggy looks for everything else first.
            return getattr(function, _MARK, None) or {}
        return super().parse_hookimpl_opts(plugin, name) or ({} if _is_function(plugin, name) else None)

    def call(self, hook: str, target: t.Any, /, **arguments: t.Any) -> list[t.Any]:
        """Return what the implementation of ``hook`` in ``target`` alone returned: nothing or one result."""
        one = self.find(hook, target)
        if one is None:
            return []
        result = self._run(hook, one, arguments)
        if result is None and hook in RETURNING:
            self.silent.setdefault(one.plugin_name, []).append(hook)
        return [] if result is None else [result]

    def find_caller(self, hook: str, target: t.Any) -> Callable[..., t.Any] | None:
        """Return a function that calls the implementation of ``hook`` in ``target``, or None when it has none."""
        one = self.find(hook, target)
        if one is None:
            return None

        @functools.wraps(getattr(target, hook))
        def call(**arguments: t.Any) -> t.Any:
            return self._run(hook, one, arguments)

        return call

    def find(self, hook: str, target: t.Any) -> pluggy.HookImpl | None:
        """Return the implementation of ``hook`` in ``target``, or None."""
        caller: pluggy.HookCaller = getattr(self.hook, hook)
        return next((one for one in caller.get_hookimpls() if one.plugin is target), None)

    def _run(self, hook: str, one: pluggy.HookImpl, arguments: dict[str, t.Any]) -> t.Any:
        """Call one implementation as pluggy does, without asking about all plugins for each of them."""
        if one.wrapper or one.hookwrapper:
            others = [other for other in self.get_plugins() if other is not one.plugin]
            results = self.subset_hook_caller(hook, others)(**arguments)
            return results[0] if results else None
        optional = {name: arguments[name] for name in one.kwargnames if name in arguments}
        return one.function(*(arguments[name] for name in one.argnames), **optional)


def find_hooks(plugin: t.Any) -> list[str]:
    """Return the names of the hooks that a plugin implements."""
    return [name for name in HOOKS if _is_function(plugin, name)]


def find_unknown_hook(plugin: t.Any) -> str:
    """Return a sentence about what looks like a hook and cannot be called as one; nothing when all is well."""
    for name in _iter_hook_names(plugin):
        if name not in HOOKS:
            return f"{name} is not a hook.{did_you_mean(name, list(HOOKS))} The hooks are {', '.join(HOOKS)}."
    for name in HOOKS:
        value = look_up(plugin, name)
        if value is None or isinstance(value, property):
            continue
        if not _is_function(plugin, name):
            return f"{name} is a {type(value).__name__} and not a function."
        if inspect.iscoroutinefunction(getattr(value, "__func__", value)):
            return f"{name} is async, and the hooks are called without an event loop. Take the async away."
    return ""


def _iter_hook_names(plugin: t.Any) -> Iterator[str]:
    if isinstance(plugin, ModuleType):
        for name, value in vars(plugin).items():
            if inspect.isfunction(value) and (name.startswith(hookspecs.PREFIX) or hasattr(value, _MARK)):
                yield name
        return
    for name in dir(plugin):
        function = look_up(plugin, name)
        if _is_function(plugin, name) and (name.startswith(hookspecs.PREFIX) or hasattr(function, _MARK)):
            yield name


def _is_function(plugin: t.Any, name: str) -> bool:
    function = look_up(plugin, name)
    return inspect.isfunction(function) or isinstance(function, staticmethod | classmethod)
