"""``flask plugins inspect``, ``config``, ``enable``, ``disable``, ``migrate``. The rules of ``offline`` hold here."""

from __future__ import annotations

import json
import logging
import os
import sys
import typing as t
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import import_module

import click

from . import offline
from .offline import plugins
from .terminal import visible

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask import Flask

    from ..config import Loaded
    from ..plugins import PluginReport

    Entry: t.TypeAlias = dict[str, t.Any]

__all__ = ["plugins"]

SAFE_MODE = "MYAPP_SAFE_MODE"
#: What `inspect` prints of a plugin, in this order.
MEMBERS = (
    *("version", "summary", "origin", "module", "file", "mount", "is_critical", "decision"),
    *("requires", "after", "before", "rules", "commands", "reason"),
)


@plugins.command("inspect")
@click.argument("name")
@offline.as_json_option
@click.pass_context
def inspect_plugin(context: click.Context, name: str, as_json: bool) -> None:
    """Show what is known of the plugin NAME: what it declares, what was decided, what it serves.

    Exit 0 fine, 1 something is wrong with it, 2 the application could not be loaded.
    """
    app, cause = offline.load_app(context, "myapp.plugins")
    loaded = _settings_of(app)
    report = _find(offline.reports_of_plugins(context, app), name, cause)
    manifest = offline.part("plugins").read_manifests(loaded).get(report.name, {})
    entry = asdict(report) | {
        "decision": offline.part("plugins").read_state(loaded).of(report.name).decision,
        "requires": {**manifest.get("requires", {})},
        "after": [*manifest.get("after", ())],
        "before": [*manifest.get("before", ())],
        "rules": _rules_of(app, report.name),
        "commands": _commands_of(app, report.name),
        "settings": _describe_settings(loaded, report.name),
    }
    if as_json:
        click.echo(json.dumps({"schema": 1, "plugins": [entry]}, indent=2))
    else:
        _print(entry)
    offline.leave(context, cause, has_problems=report.problem is not None)


@plugins.command("config")
@click.argument("name")
@offline.as_json_option
@click.pass_context
def configure_plugin(context: click.Context, name: str, as_json: bool) -> None:
    """List the settings of the plugin NAME: their values, where these come from, and what they are for.

    Secrets are hidden. Exit 0 fine, 1 one of them cannot be used, 2 the application could not be loaded.
    """
    app, cause = offline.load_app(context, "myapp.plugins")
    loaded = _settings_of(app)
    report = _find(offline.reports_of_plugins(context, app), name, cause)
    settings = _describe_settings(loaded, report.name)
    if as_json:
        entry = {"name": report.name, "state": report.state, "settings": settings}
        click.echo(json.dumps({"schema": 1, "plugins": [entry]}, indent=2))
    else:
        _print_settings(settings)
        if report.state == "misconfigured":
            offline.print_note(asdict(report))
    offline.leave(context, cause, has_problems=report.state == "misconfigured")


@plugins.command("enable")
@click.argument("name")
@click.pass_context
def enable_plugin(context: click.Context, name: str) -> None:
    """Load the plugin NAME from the next start on, also one whose manifest leaves it off.

    MYAPP_SAFE_MODE, MYAPP_PLUGINS and MYAPP_PLUGINS_DISABLED come before the decision.
    """
    loaded, reports = _look(context)
    report = _find(reports, name)
    _decide(loaded, report.name, is_enabled=True)
    settings = loaded.settings
    if report.name in settings.plugins_disabled:
        click.echo("MYAPP_PLUGINS_DISABLED names it: it stays off until that is changed.", err=True)
    elif settings.plugins is not None and report.name not in settings.plugins:
        click.echo("MYAPP_PLUGINS does not name it: it stays off until that is changed.", err=True)


@plugins.command("disable")
@click.argument("name")
@click.option("--force", is_flag=True, help="Without asking, also a plugin that is critical.")
@click.pass_context
def disable_plugin(context: click.Context, name: str, force: bool) -> None:
    """Load the plugin NAME no more, from the next start on. It works when the application cannot boot."""
    loaded, reports = _look(context)
    report = _find(reports, name)
    if report.name in loaded.settings.required_plugins:
        raise click.ClickException(
            f"MYAPP_REQUIRED_PLUGINS names {report.name}, and nothing would start without it. Take it out there first."
        )
    consequences = list(_iter_consequences(loaded, reports, report))
    for sentence in consequences:
        click.echo(sentence, err=True)
    lost = [one.name for one in _find_dependents(loaded, reports, report.name) if not one.is_critical]
    if lost:
        click.echo(f"Not loaded without it, because they require it: {', '.join(lost)}.", err=True)
    if consequences and not force and not _is_confirmed(report.name):
        raise click.ClickException(f"Nothing was changed. To disable it all the same: --force {report.name}")
    _decide(loaded, report.name, is_enabled=False)


@plugins.command("migrate")
@click.argument("name", required=False)
@click.pass_context
def migrate_plugins(context: click.Context, name: str | None) -> None:
    """Upgrade the tables of the plugin NAME, or of every plugin.

    Those of the core come first, because a plugin's may refer to them.
    """
    app, cause = offline.load_app(context, "myapp.plugins")
    if app is None:
        offline.leave(context, cause, has_problems=True)
    data = offline.part("data")
    owners = list(data.get_schema(app).owners)
    if name is not None:
        # Not offline.reports_of_plugins(): in development the look at the tables has upgraded them.
        report = _find(offline.part("plugins").get_report(app), name)
        if report.name not in owners:
            is_served = report.state in ("active", "degraded")
            why = "it brings no tables" if is_served else f"it is {report.state}"
            raise click.ClickException(f"{report.name} cannot be migrated: {why}.")
        owners = ["core", report.name]
    import_module(".schema", __package__).upgrade_tables(app, owners)


def _settings_of(app: Flask | None) -> Loaded:
    """Return the settings of the app, or those that are known without one.

    :raises click.ClickException: when they cannot be read.
    """
    try:
        return t.cast("Loaded", offline.part("config").get_config(app)) if app is not None else offline.load_known()
    except ImportError as error:
        raise click.UsageError(f"myapp itself needs a package that cannot be imported: {error}") from error


def _look(context: click.Context) -> tuple[Loaded, Sequence[PluginReport]]:
    """Return the settings and the plugins for a decision, and import no plugin: the one in question may hang.

    :raises click.ClickException: when decisions do not count.
    """
    with _safe_mode():
        app, cause = offline.load_app(context, "myapp.plugins")
    if app is not None and not offline.part("plugins").is_discovered(app):
        raise click.ClickException(
            "The application names its plugins itself, create_app(plugins=…), so that no decision counts. Change it"
            " there."
        )
    if cause:
        last = cause.splitlines()[-1]
        click.echo(f"The application could not be loaded; its settings are read without its own: {last}", err=True)
    loaded, plugin_part = _settings_of(app), offline.part("plugins")
    loaded = replace(loaded, settings=loaded.settings.model_copy(update={"safe_mode": False}))
    reports = offline.known_plugins(loaded)
    # What was decided about a plugin that is not here now can be changed as well.
    kept = plugin_part.read_state(loaded).require().plugins.keys() - {report.name for report in reports}
    gone = [plugin_part.PluginReport(name, "0", "unknown", "not installed") for name in sorted(kept)]
    return loaded, [*reports, *gone]


@contextmanager
def _safe_mode() -> Iterator[None]:
    before, level = os.environ.get(SAFE_MODE), logging.root.manager.disable
    os.environ[SAFE_MODE] = "1"
    # What is said of safe mode is not meant for somebody who did not ask for it.
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        os.environ.pop(SAFE_MODE)
        if before is not None:
            os.environ[SAFE_MODE] = before


def _find(reports: Sequence[PluginReport], name: str, cause: str = "") -> PluginReport:
    """Return the report of the plugin ``name``.

    :param cause: why the application could not be loaded; plugins that its code passes are not known then.
    :raises click.UsageError: when there is none, with the closest name.
    """
    wanted = offline.part("config").plain_name(name)
    found = next((report for report in reports if report.name == wanted), None)
    if found is None:
        hint = offline.part("config").did_you_mean(wanted, [report.name for report in reports])
        text = f"No plugin is called {name}.{hint or ' Those there are: flask plugins list'}"
        raise click.UsageError(f"{text}\nThe application could not be loaded:\n{cause}" if cause else text)
    return found


def _decide(loaded: Loaded, name: str, *, is_enabled: bool) -> None:
    plugin_part = offline.part("plugins")
    word = "enabled" if is_enabled else "disabled"
    if plugin_part.read_state(loaded).require().of(name).decision == word:
        click.echo(f"{name} was {word} already. Nothing was changed.")
        return
    path = plugin_part.decide(loaded, name, is_enabled).path
    click.echo(f"{name} is {word} from the next start on ({path}).")


def _iter_consequences(loaded: Loaded, reports: Sequence[PluginReport], report: PluginReport) -> Iterator[str]:
    """Yield a sentence for everything that is lost with a plugin and that its operator may not have thought of."""
    if report.is_critical:
        yield f"{report.name} is critical: what it guards is not guarded without it. ({report.summary or 'no summary'})"
    for one in _find_dependents(loaded, reports, report.name):
        if one.is_critical:
            yield f"{one.name} is critical and requires {report.name}: nothing would start. Disable it first."


def _find_dependents(loaded: Loaded, reports: Sequence[PluginReport], name: str) -> list[PluginReport]:
    """Return the plugins that are on and require the plugin ``name``, by name."""
    manifests = offline.part("plugins").read_manifests(loaded)
    dependents = [one for one in reports if name in manifests.get(one.name, {}).get("requires", {})]
    return sorted((one for one in dependents if one.state not in ("disabled", "skipped")), key=lambda one: one.name)


def _is_confirmed(name: str) -> bool:
    return sys.stdin.isatty() and click.confirm(f"Disable {name}?", err=True)


def _describe_settings(loaded: Loaded, name: str) -> list[Entry]:
    """Return the settings that the plugin ``name`` declares, with their values as they may be shown."""
    values = {entry["key"]: entry for entry in offline.entries_of(loaded)}
    declared = offline.part("plugins").iter_declared(loaded)
    return [asdict(setting) | values[setting.key] for setting in declared if setting.plugin == name]


def _rules_of(app: Flask | None, name: str) -> list[str]:
    if app is None:
        return []
    owner_of = offline.part("discovery").owner_of
    owners = {rule.rule: owner_of(app, rule.endpoint) for rule in app.url_map.iter_rules()}
    return sorted(rule for rule, owner in owners.items() if (owner.kind, owner.name) == ("plugin", name))


def _commands_of(app: Flask | None, name: str) -> list[str]:
    group = None if app is None else app.cli.commands.get(name)
    return [f"flask {name} {command}" for command in sorted(group.commands)] if isinstance(group, click.Group) else []


def _print(entry: Entry) -> None:
    click.echo(f"plugin {entry['name']}: {entry['state']}")
    for member in MEMBERS:
        if entry[member]:
            click.echo(f"  {member.removeprefix('is_'):<11}{visible(_text(entry[member]))}")
    for problem in [entry["problem"], *entry["conflicts"][1:]]:
        if problem:
            click.echo(f"  {'problem':<11}{problem['code']}: {problem['summary']}\n  {'next':<11}{problem['hint']}")
    if entry["settings"]:
        click.echo()
        _print_settings(entry["settings"])


def _text(value: t.Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {ranges}".strip() for key, ranges in value.items())
    return ", ".join(value) if isinstance(value, list | tuple) else "yes" if value is True else str(value)


def _print_settings(settings: Sequence[Entry]) -> None:
    if not settings:
        click.echo("It declares no settings.")
    for setting in settings:
        click.echo(f"{setting['key']} is {setting['value'] or 'empty'} (from {setting['source']}).")
        notes = [setting["type"], "required" * setting["is_required"], "secret" * setting["is_secret"]]
        click.echo(f"    {setting['help'] or 'No help.'} ({', '.join(filter(None, notes))})")
