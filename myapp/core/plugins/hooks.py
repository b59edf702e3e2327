"""One pluggy manager for each app, and the check that a plugin's hooks are hooks."""

from __future__ import annotations

import functools
import inspect
import typing as t
from types import ModuleType

import pluggy

from ..config import did_you_mean
from . import hookspecs

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOOKS = tuple(sorted(name for name in vars(hookspecs) if name.startswith(hookspecs.PREFIX)))
_MARK = f"{hookspecs.PROJECT}_impl"


class HookManager(pluggy.PluginManager):
    """pluggy's manager, which takes the name of a hook for its mark."""

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)

    def parse_hookimpl_opts(self, plugin: t.Any, name: str) -> t.Any:
        """Return pluggy's options of the hook ``name``; no other attribute is looked at, let alone evaluated."""
        if name not in HOOKS:
            return None
        return super().parse_hookimpl_opts(plugin, name) or ({} if _is_function(plugin, name) else None)

    def call(self, hook: str, target: t.Any, /, **arguments: t.Any) -> list[t.Any]:
        """Return what the implementation of ``hook`` in ``target`` alone returned: nothing or one result."""
        if not _is_function(target, hook):
            # To ask pluggy, about all plugins for each of them, costs more than everything else that is done for one.
            return []
        others = [other for other in self.get_plugins() if other is not target]
        return t.cast("list[t.Any]", self.subset_hook_caller(hook, others)(**arguments))

    def find_caller(self, hook: str, target: t.Any) -> Callable[..., t.Any] | None:
        """Return a function that calls the implementation of ``hook`` in ``target``, or None when it has none."""
        caller: pluggy.HookCaller = getattr(self.hook, hook)
        if not any(one.plugin is target for one in caller.get_hookimpls()):
            return None
        others = [other for other in self.get_plugins() if other is not target]
        alone = self.subset_hook_caller(hook, others)

        @functools.wraps(getattr(target, hook))
        def call(**arguments: t.Any) -> t.Any:
            results = alone(**arguments)
            return results[0] if results else None

        return call


def find_hooks(plugin: t.Any) -> list[str]:
    """Return the names of the hooks that a plugin implements."""
    return [name for name in HOOKS if _is_function(plugin, name)]


def find_unknown_hook(plugin: t.Any) -> str:
    """Return a sentence about what looks like a hook and cannot be called as one; nothing when all is well."""
    for name in _iter_hook_names(plugin):
        if name not in HOOKS:
            return f"{name} is not a hook.{did_you_mean(name, list(HOOKS))} The hooks are {', '.join(HOOKS)}."
    for name in HOOKS:
        value = _static(plugin, name)
        if value is None or isinstance(value, property):
            continue
        if not _is_function(plugin, name):
            return f"{name} is a {type(value).__name__} and not a function."
        if inspect.iscoroutinefunction(getattr(value, "__func__", value)):
            return f"{name} is async, and the hooks are called without an event loop. Take the async away."
    return ""


def _iter_hook_names(plugin: t.Any) -> Iterator[str]:
    if isinstance(plugin, ModuleType):
        # Nothing is inherited and nothing evaluated: a look at fifty modules costs what one object does.
        for name, value in vars(plugin).items():
            if inspect.isfunction(value) and (name.startswith(hookspecs.PREFIX) or hasattr(value, _MARK)):
                yield name
        return
    for name in dir(plugin):
        function = inspect.getattr_static(plugin, name, None)
        if _is_function(plugin, name) and (name.startswith(hookspecs.PREFIX) or hasattr(function, _MARK)):
            yield name


def _is_function(plugin: t.Any, name: str) -> bool:
    function = _static(plugin, name)
    return inspect.isfunction(function) or isinstance(function, staticmethod | classmethod)


def _static(plugin: t.Any, name: str) -> t.Any:
    """Return an attribute as it was written; a property is not evaluated."""
    if isinstance(plugin, ModuleType):
        return vars(plugin).get(name)
    return inspect.getattr_static(plugin, name, None)
