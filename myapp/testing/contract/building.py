"""Checks of what a plugin is before it serves anything: its manifest, its import, the apps that are built with it."""

from __future__ import annotations

import os
import sys
import typing as t
from importlib.metadata import PackageNotFoundError, distribution

import pluggy

from ...core import data
from ...core.config import plain_name
from ...core.errors import PluginError
from ...core.plugins.hooks import HOOKS, HookManager, find_unknown_hook
from ..fingerprint import differences, fingerprint
from .trial import NEEDS_SETTINGS, OTHER_MOUNT, SERVED, NotServedError, why_not_served

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from .trial import Trial

START_SECONDS = 0.25
#: Groups of entry points that are Flask's: one of them that fails takes every command down.
FORBIDDEN_GROUPS = ("flask.commands",)


def manifest_is_valid(trial: Trial) -> Iterator[str]:
    """It is there, can be read without an import, and says what the plugin is."""
    candidate = trial.candidate
    if candidate.problem is not None:
        yield str(candidate.problem)
        return
    if not candidate.manifest:
        yield (
            f"There is no __plugin__ in {candidate.file or candidate.module}. Write at its top:"
            f' __plugin__ = {{"name": "{candidate.name}", "version": "0.1.0", "summary": "…"}}'
        )
        return
    for key in ("name", "version", "summary"):
        if not candidate.manifest.get(key):
            yield f"The manifest has no {key!r}: `flask plugins list` would not show it."
    declared = plain_name(str(candidate.manifest.get("name", candidate.name)))
    if declared != candidate.name:
        yield f"The manifest says the name {declared!r}, and the entry point {candidate.name!r}. Let them be the same."


def import_has_no_side_effects(trial: Trial) -> Iterator[str]:
    """Importing it needs no app, and starts, writes and changes nothing."""
    imported = trial.imported
    if imported.error:
        yield f"It cannot be imported: {imported.error}."
    for what, place in imported.effects:
        where = f" ({place})" if place else ""
        yield f"Its import {what}{where}."
    if imported.effects:
        yield (
            "Every command imports it: do such things in myapp_configure, or in myapp_ready, which is called on the app"
            " that is going to serve."
        )


def hooks_are_known(trial: Trial) -> Iterator[str]:
    """It has hooks, and each is one of the application's, with arguments that it gives."""
    target = trial.imported.target
    if target is None:
        yield f"It cannot be imported: {trial.imported.error}."
        return
    unknown = find_unknown_hook(target)
    if unknown:
        yield unknown
    hooks = HookManager()
    try:
        hooks.register(target, trial.name)
    except pluggy.PluginValidationError as error:
        yield " ".join(str(error).split())
    if not unknown and not any(callable(getattr(target, hook, None)) for hook in HOOKS):
        yield f"It has no hook, and so it does nothing. The hooks are {', '.join(HOOKS)}."


def boots_with_default_config(trial: Trial) -> Iterator[str]:
    """Without any setting of its own the app is built; the plugin is served, or says what it needs."""
    prefix = f"MYAPP_PLUGIN_{trial.name.upper()}__"
    own = {key: value for key, value in os.environ.items() if key.startswith(prefix)}
    for key in own:
        del os.environ[key]
    try:
        report = trial.report(trial.create([*trial.required, trial.subject.wanted]))
    except PluginError as error:
        # A critical plugin stops the start instead of being skipped.
        if error.code != NEEDS_SETTINGS:
            yield error.format_message()
        return
    finally:
        os.environ.update(own)
    explains = report.state == "skipped" or (report.problem and report.problem.code == NEEDS_SETTINGS)
    if report.state not in SERVED and not explains:
        yield why_not_served(report)
    elif report.problem is not None and report.problem.code == "ready-failed":
        yield f"It is served, but {report.problem}"


def builds_twice(trial: Trial) -> Iterator[str]:
    """One app after the other is built with it, in one process, and the second one is like the first."""
    first, _ = trial.first
    try:
        second = trial.build()
    except NotServedError as error:
        yield (
            f"The first app serves it, and the second one does not. {error} What the module keeps outlives an app: make"
            " what an app needs in myapp_configure, and keep it in app.extensions."
        )
        return
    for line in differences(fingerprint(first), fingerprint(second)):
        yield f"The second app differs from the first ({line}). Let the hooks do the same at every call."


def two_apps_coexist(trial: Trial) -> Iterator[str]:
    """Two apps with it live side by side, at different paths; neither is kept or changed by the other."""
    first, _ = trial.first
    before = fingerprint(first)
    second = trial.build(MYAPP_BLUEPRINT_PREFIXES={trial.name: OTHER_MOUNT})
    for line in differences(before, fingerprint(first)):
        yield f"Building another app has changed the first one ({line})."
    mount = trial.report(first).mount
    for rule in sorted(own_rules(second, trial.absent)):
        if mount and is_below(rule, mount):
            yield f"The operator has moved it to {OTHER_MOUNT}, and {rule} stays where it was. Use plugin.mount."
    for name in sorted(own_modules(trial)):
        for key, value in vars(sys.modules[name]).items():
            if any(holds(value, app) for app in (first, second)):
                yield (
                    f"{name}.{key} keeps an app: with two in one process it is one of the other's. Use current_app, or"
                    f' keep what belongs to an app in app.extensions["{trial.name}"].'
                )


def disabled_equals_absent(trial: Trial) -> Iterator[str]:
    """Once it has been imported, an app in which it is disabled is as if it had never been there."""
    _ = trial.first
    folders = {"MYAPP_PLUGIN_DIRS": (os.path.dirname(trial.subject.path),)} if trial.subject.path else {}
    disabled = trial.create(None, MYAPP_PLUGINS=tuple(trial.required), **folders)
    for line in differences(trial.absent_fingerprint, fingerprint(disabled)):
        yield (
            f"It is disabled, and the app is not the one without it ({line}). Its import or another app has changed"
            " what all apps share: do that in a hook, on the app that the hook is given."
        )


def names_are_its_own(trial: Trial) -> Iterator[str]:
    """Its URLs lie below its mount; endpoints, blueprints, commands and tables begin with its name."""
    app, _ = trial.first
    name, mount = trial.name, trial.report(app).mount
    for rule in sorted(own_rules(app, trial.absent)):
        if mount and not is_below(rule, mount):
            yield f"The URL {rule} lies outside of {mount}. Return its blueprint from myapp_blueprints."
    for kind, of in (("endpoint", app.view_functions), ("blueprint", app.blueprints)):
        others: t.Any = trial.absent.view_functions if kind == "endpoint" else trial.absent.blueprints
        for other in sorted(of.keys() - others.keys()):
            if other != name and not other.startswith(f"{name}."):
                yield f"The {kind} {other} does not begin with {name}. Return its blueprint from myapp_blueprints."
    for command in sorted(app.cli.commands.keys() - trial.absent.cli.commands.keys() - {name}):
        yield f"The command `flask {command}` is not below `flask {name}`. Return it from myapp_commands."
    for group in FORBIDDEN_GROUPS:
        for point in entry_points_of(trial, group):
            yield f"Its distribution has the entry point {point} in {group}. Return commands from myapp_commands."


def starts_in_250_ms(trial: Trial) -> Iterator[str]:
    """Its import and its hooks take no longer."""
    _, seconds = trial.first
    if seconds > START_SECONDS:
        yield (
            f"It adds {seconds * 1000:.0f} ms to every start, and {START_SECONDS * 1000:.0f} ms are what it may. Import"
            " what is costly where it is used, and let myapp_ready start a thread for what takes long."
        )


def is_below(rule: str, mount: str) -> bool:
    """Whether a rule is the path ``mount`` or lies below it."""
    return f"{rule}/".startswith(f"{mount}/")


def own_rules(app: Flask, absent: Flask) -> set[str]:
    """Return the rules of ``app`` that ``absent`` does not have."""
    return {rule.rule for rule in app.url_map.iter_rules()} - {rule.rule for rule in absent.url_map.iter_rules()}


def own_modules(trial: Trial) -> Iterator[str]:
    """Yield the names of the plugin's modules that are imported."""
    package = data.owner_package(trial.imported.module.partition(":")[0])
    yield from (name for name in list(sys.modules) if data.is_below(name, package))


def holds(value: t.Any, app: Flask) -> bool:
    """Whether a module's global is ``app``, or a list, set or dict that has it."""
    if isinstance(value, dict):
        return any(one is app for pair in value.items() for one in pair)
    return value is app or (isinstance(value, list | tuple | set) and any(one is app for one in value))


def entry_points_of(trial: Trial, group: str) -> list[str]:
    """Return the names of the entry points that the plugin's distribution has in ``group``."""
    try:
        points = distribution(trial.candidate.origin.partition(" ")[0]).entry_points
    except (PackageNotFoundError, ValueError):
        # It comes from a folder.
        return []
    return sorted(point.name for point in points.select(group=group))
