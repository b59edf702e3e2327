"""Load and register the plugins of a plan on one app. Whatever fails is the error of the plugin whose step runs."""

from __future__ import annotations

import copy
import typing as t
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import click
from flask import Blueprint
from flask.cli import AppGroup

from ..config import get_config
from ..data import owner_package, register_migrations
from ..discovery import Clash, Owner, get_ownership
from ..errors import PluginError
from .context import PluginContext
from .failures import attributed, configure_models
from .files import register_own_files
from .guarding import guarding
from .hooks import find_unknown_hook
from .imports import file_of, import_plugin, root_of, why_skipped
from .manifest import VARIABLE
from .settings import read_settings

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask

    from .attempts import Attempts
    from .report import PluginState
    from .scan import Candidate

    Loaded: t.TypeAlias = tuple[PluginContext, t.Any]
    Step: t.TypeAlias = Callable[[Flask, PluginState, PluginContext, t.Any], None]


@dataclass
class Builder:
    """Imports and registers plugins on one app.

    :param settings: every ``MYAPP_PLUGIN_…`` key that is set.
    :param prefixes: the operator's mounts, by plugin.
    """

    app: Flask
    state: PluginState
    attempts: Attempts
    settings: Mapping[str, t.Any]
    prefixes: Mapping[str, str]
    loaded: dict[str, Loaded] = field(default_factory=dict)

    def load(self, order: Iterable[Candidate]) -> dict[str, str]:
        """Import plugins, in this order, up to the first that does not want to be served.

        :return: that one, with its reason: others may require it, so that the plan is to be made anew. Nothing when
            all want to.
        :raises PluginError: when one cannot be imported.
        """
        for candidate in order:
            if candidate.name not in self.loaded:
                plugin, target = self.loaded[candidate.name] = self._load(candidate)
                with attributed(plugin, "enabled-failed", file_of(target)):
                    reason = why_skipped(target, self.app)
                if reason:
                    return {candidate.name: reason}
        return {}

    def register(self, order: Iterable[Candidate]) -> None:
        """Call each hook for all plugins before the next hook.

        :raises PluginError: when one fails. The app is half built then: throw it away.
        """
        plugins = [self.loaded[candidate.name] for candidate in order]
        self.state.active.extend(plugins)
        self.attempts.active = tuple(plugin.name for plugin, _ in plugins)
        self.attempts.note_imports()
        for plugin, target in plugins:
            with attributed(plugin, "hook-failed", file_of(target)):
                self.state.hooks.register(target, plugin.name)
        ownership = get_ownership(self.app)
        for name, step in STEPS.items():
            for plugin, target in plugins:
                with (
                    attributed(plugin, "hook-failed", file_of(target), self.app),
                    ownership.step(self.app, Owner("plugin", plugin.name)),
                    guarding(self.app, plugin.name),
                ):
                    step(self.app, self.state, plugin, target)
                self.attempts.steps[plugin.name].append(name)
        # Last: the models of a hook that imports them late are there as well.
        for plugin, target in plugins:
            configure_models(plugin, [other for other, _ in plugins], file_of(target))

    def _load(self, candidate: Candidate) -> Loaded:
        """Return what the plugin is told about itself, and its module or object, which has no wrong hooks."""
        name = candidate.name
        steps = self.attempts.steps[name] = ["found", "planned"]
        # Before the import: a plugin that is not configured does not run.
        try:
            declared, sources = candidate.manifest.get("config", {}), get_config(self.app).sources
            settings = read_settings(self.settings, name, declared, sources)
        except ValueError as error:
            raise PluginError(name, "settings-invalid", str(error)) from None
        mount = self.prefixes.get(name, candidate.mount).strip("/")
        plugin = PluginContext(name, candidate.version, f"/{mount}" if mount else "", settings, "", None)
        with attributed(plugin, "import-failed"):
            target, module = import_plugin(candidate, self.attempts)
        steps.append("imported")
        with attributed(plugin, "hook-failed", file_of(target)):
            unknown = find_unknown_hook(target)
        if unknown:
            raise PluginError(name, "hook-unknown", f"{file_of(target)}: {unknown}")
        _check_manifest(candidate, target)
        return replace(plugin, module=module, root_path=root_of(target)), target


def _check_manifest(candidate: Candidate, target: t.Any) -> None:
    """Compare what was read with what the import has made of it, where that matters.

    :raises PluginError: when there is a manifest that could not be read, or one that says critical only now.
    """
    if candidate.target is not None:
        return
    manifest = getattr(target, VARIABLE, None)
    is_critical = isinstance(manifest, dict) and bool(manifest.get("critical")) and not candidate.is_critical
    if is_critical or (manifest is not None and not candidate.has_manifest):
        summary = f"{VARIABLE} is to be a literal at the top of the module: it is read before the import."
        name = candidate.name
        raise PluginError(name, "manifest-invalid", f"{file_of(target)}: {summary}", is_critical=is_critical)


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
            _mount_commands(app, plugin, own)
            commands = dict(app.cli.commands)
    register_own_files(app, plugin, file_of(target))


def _register_commands(app: Flask, state: PluginState, plugin: PluginContext, target: t.Any) -> None:
    commands = _several(state.hooks.call("myapp_commands", target, app=app, plugin=plugin), click.Command)
    if len(commands) == 1 and isinstance(commands[0], click.Group) and commands[0].name == plugin.name:
        # A copy: the group is the plugin module's, which another app of the process uses as well.
        group = copy.copy(commands[0])
        group.commands = dict(group.commands)
        own = _own_group(app, plugin)
        for name, command in own.commands.items() if own is not None else ():
            _add_command(plugin, group, name, command)
        app.cli.commands.pop(plugin.name, None)
        app.cli.add_command(group, plugin.name)
    elif commands:
        _mount_commands(app, plugin, {str(command.name): command for command in commands})


def _mount_commands(app: Flask, plugin: PluginContext, commands: dict[str, click.Command]) -> None:
    """Put ``commands`` into the group ``flask <plugin>``, which is made for this app."""
    group = _own_group(app, plugin)
    if group is None:
        group = AppGroup(plugin.name, help=f"Commands of the plugin {plugin.name}.")
        app.cli.add_command(group)
    for name, command in commands.items():
        _add_command(plugin, group, name.removeprefix(f"{plugin.name}."), command)


def _own_group(app: Flask, plugin: PluginContext) -> click.Group | None:
    """Return the group ``flask <plugin>`` if the plugin has one; a command of that name is nobody else's."""
    ownership, owner = get_ownership(app), Owner("plugin", plugin.name)
    found = app.cli.commands.get(plugin.name)
    first = ownership.commands.get(plugin.name, owner)
    if found is not None and first != owner:
        ownership.clashes.append(Clash("command", plugin.name, first, owner, owner))
        ownership.commands[plugin.name] = owner
        del app.cli.commands[plugin.name]
        return None
    return found if isinstance(found, click.Group) else None


def _add_command(plugin: PluginContext, group: click.Group, name: str, command: click.Command) -> None:
    if name in group.commands:
        raise ValueError(f"The command `flask {plugin.name} {name}` is there twice. Rename one of the two.")
    group.add_command(command, name)


def _register_migrations(app: Flask, state: PluginState, plugin: PluginContext, target: t.Any) -> None:
    for folder in state.hooks.call("myapp_migrations", target, plugin=plugin):
        register_migrations(app, plugin.name, owner_package(plugin.module), (plugin.root_path or Path()) / folder)


def _several(results: list[t.Any], kind: type[t.Any]) -> list[t.Any]:
    """Return what a hook returned, one or an iterable, as a list.

    :raises TypeError: when something else is in it.
    """
    if not results:
        return []
    [result] = results
    several = list(result) if isinstance(result, Iterable) and not isinstance(result, kind) else [result]
    for value in several:
        if not isinstance(value, kind):
            raise TypeError(f"The hook returned a {type(value).__name__} and not a {kind.__name__}.")
    return several


#: What registers, in this order.
STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "configured": _configure,
        "blueprints": _register_blueprints,
        "commands": _register_commands,
        "migrations": _register_migrations,
    }
)
