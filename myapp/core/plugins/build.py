"""Import and register the plugins of a plan on one app. Whatever fails is the error of the plugin whose step runs."""

from __future__ import annotations

import copy
import importlib
import sys
import typing as t
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import click
from flask import Blueprint
from flask.cli import AppGroup

from ..data import register_migrations
from ..discovery import describe
from ..errors import PluginError
from .context import PluginContext, read_settings
from .finder import install_finder
from .hooks import find_unknown_hook
from .ownership import guarding

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask import Flask

    from .report import PluginState
    from .scan import Candidate


def build(app: Flask, state: PluginState, order: Iterable[Candidate], prefixes: dict[str, str]) -> None:
    """Import every plugin, then call each hook for all of them before the next hook.

    :param prefixes: the operator's mounts, by plugin.
    :raises PluginError: when one fails. The app is half built then: throw it away.
    """
    state.active.extend(_load(app, candidate, prefixes) for candidate in order)
    # pluggy calls the last that was registered first.
    for plugin, target in reversed(state.active):
        with attributed(plugin.name, "hook-failed", file_of(target)):
            state.hooks.register(target, plugin.name)
    for step in (_configure, _register_blueprints, _register_commands, _register_migrations):
        for plugin, target in state.active:
            with (
                attributed(plugin.name, "hook-failed", file_of(target)),
                guarding(app, state.guards, plugin.name),
            ):
                step(app, state, plugin, target)


@contextmanager
def attributed(name: str, code: str, home: str | None = None) -> Iterator[None]:
    """Turn whatever is raised, ``sys.exit()`` included, into the error of the plugin ``name``."""
    try:
        yield
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        summary = str(error) if code == "settings-invalid" else describe(error, home)
        raise PluginError(name, code, summary) from error


def file_of(target: t.Any) -> str | None:
    """Return the file that a plugin's module or object comes from, for messages."""
    module = target if isinstance(target, ModuleType) else sys.modules.get(type(target).__module__)
    return getattr(module, "__file__", None)


def _load(app: Flask, candidate: Candidate, prefixes: dict[str, str]) -> tuple[PluginContext, t.Any]:
    """Return what the plugin is told about itself, and its module or object, which has no wrong hooks."""
    name, version = candidate.name, candidate.version
    # Before the import: a plugin that is not configured does not run.
    with attributed(name, "settings-invalid"):
        settings = read_settings(app, name, candidate.manifest.get("config", {}))
    with attributed(name, "import-failed"):
        target, module = _import(candidate)
    with attributed(name, "hook-failed", file_of(target)):
        unknown = find_unknown_hook(target)
    if unknown:
        raise PluginError(name, "hook-unknown", f"{file_of(target)}: {unknown}")
    mount = prefixes.get(name, candidate.mount).strip("/")
    return PluginContext(name, version, f"/{mount}" if mount else "", settings, module, _root_path(target)), target


def _import(candidate: Candidate) -> tuple[t.Any, str]:
    """Return the module or object with the hooks, and the dotted name of the module."""
    if candidate.target is not None:
        return candidate.target, candidate.module
    module, _, attributes = candidate.module.partition(":")
    if not module:
        module = install_finder().claim(candidate.name, t.cast("Path", candidate.location))
    target: t.Any = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        target = getattr(target, attribute)
    return target, module


def _root_path(target: t.Any) -> Path | None:
    file = file_of(target) if isinstance(target, ModuleType) else None
    return Path(file).parent if file else None


def _configure(app: Flask, state: PluginState, plugin: PluginContext, target: t.Any) -> None:
    state.hooks.call("myapp_configure", target, app=app, plugin=plugin)


def _register_blueprints(app: Flask, state: PluginState, plugin: PluginContext, target: t.Any) -> None:
    commands = dict(app.cli.commands)
    for blueprint in _several(state.hooks.call("myapp_blueprints", target, app=app, plugin=plugin), Blueprint):
        bare = blueprint.name == plugin.name
        prefix = f"{plugin.mount}/{(blueprint.url_prefix or '').strip('/')}".rstrip("/")
        app.register_blueprint(blueprint, name_prefix="" if bare else plugin.name, url_prefix=prefix or "/")
        # Flask has put the blueprint's commands at the top; below `flask <plugin>` nobody else's are replaced.
        added = {name: command for name, command in app.cli.commands.items() if commands.get(name) is not command}
        app.cli.commands.clear()
        app.cli.commands.update(commands)
        if added:
            own = dict(blueprint.cli.commands) if bare or blueprint.cli_group is None else added
            _mount_commands(app, plugin, own, blueprint.name)
            commands = dict(app.cli.commands)


def _register_commands(app: Flask, state: PluginState, plugin: PluginContext, target: t.Any) -> None:
    commands = _several(state.hooks.call("myapp_commands", target, app=app, plugin=plugin), click.Command)
    if len(commands) == 1 and isinstance(commands[0], click.Group) and commands[0].name == plugin.name:
        # A copy: the group is the plugin module's, which another app of the process uses as well.
        group = copy.copy(commands[0])
        group.commands = dict(group.commands)
        own = app.cli.commands.get(plugin.name)
        for name, command in own.commands.items() if isinstance(own, click.Group) else ():
            _add_command(plugin, group, name, command)
        app.cli.commands.pop(plugin.name, None)
        app.cli.add_command(group, plugin.name)
    elif commands:
        _mount_commands(app, plugin, {str(command.name): command for command in commands}, plugin.name)


def _mount_commands(app: Flask, plugin: PluginContext, commands: dict[str, click.Command], source: str) -> None:
    """Put ``commands`` into the group ``flask <plugin>``, which is made for this app."""
    group = app.cli.commands.get(plugin.name)
    if not isinstance(group, click.Group):
        group = AppGroup(plugin.name, help=f"Commands of the plugin {plugin.name}.")
        app.cli.add_command(group)
    for name, command in commands.items():
        _add_command(plugin, group, name.removeprefix(f"{plugin.name}."), command)


def _add_command(plugin: PluginContext, group: click.Group, name: str, command: click.Command) -> None:
    if name in group.commands:
        raise ValueError(f"The command `flask {plugin.name} {name}` is there twice. Rename one of the two.")
    group.add_command(command, name)


def _register_migrations(app: Flask, state: PluginState, plugin: PluginContext, target: t.Any) -> None:
    for folder in state.hooks.call("myapp_migrations", target, plugin=plugin):
        package = ".".join(plugin.module.split(".")[: 2 if plugin.module.startswith("myapp_plugins.") else 1])
        register_migrations(app, plugin.name, package, (plugin.root_path or Path()) / folder)


def _several(results: list[t.Any], kind: type[t.Any]) -> list[t.Any]:
    """Return what a hook returned, one or an iterable, as a list.

    :raises TypeError: when something else is in it.
    """
    if not results:
        return []
    one = isinstance(results[0], kind)
    several = [results[0]] if one else list(results[0])
    for value in several:
        if not isinstance(value, kind):
            raise TypeError(f"The hook returned a {type(value).__name__} and not a {kind.__name__}.")
    return several
