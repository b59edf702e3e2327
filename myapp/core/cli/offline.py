"""``flask blueprints``, ``flask plugins`` and ``flask config``: they answer also when the app cannot boot.

Flask loads this module for every command, before there is an app, and one that cannot be imported takes all commands
down. So it imports click and Flask only; the parts of the core are imported by the command that runs.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import click
from flask.cli import ScriptInfo

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from flask import Flask

    from ..config import Loaded
    from ..discovery import ModuleReport
    from ..errors import PluginError
    from ..plugins import PluginReport

    Reports: t.TypeAlias = Sequence[ModuleReport] | Sequence[PluginReport]

R = t.TypeVar("R")

OK, PROBLEMS, CANNOT_RUN = 0, 1, 2
#: What Flask looks at when nobody names an application.
APP_FILES = ("wsgi.py", "app.py")
#: Where the error of the plugin that stopped the start is kept on the ScriptInfo.
FAILURE = "myapp.failure"
#: Names one, for `flask` and for `python -m myapp`, where there is none.
NAME_AN_APP = r"printf 'FLASK_APP=myapp:create_app()\nMYAPP_PROFILE=development\n' >> .env"

as_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


@click.group()
def blueprints() -> None:
    """Look at the blueprint modules."""


@click.group()
def plugins() -> None:
    """Look at the plugins."""


@click.group()
def config() -> None:
    """Look at the configuration."""


@blueprints.command("list")
@as_json_option
@click.pass_context
def list_blueprints(context: click.Context, as_json: bool) -> None:
    """List every blueprint module with its state, its URLs and what is wrong with it."""
    app, cause = load_app(context, "myapp.discovery")
    _finish(context, "blueprints", reports_of_modules(app), ("name", "state", "rules"), as_json, cause)


@plugins.command("list")
@as_json_option
@click.pass_context
def list_plugins(context: click.Context, as_json: bool) -> None:
    """List every plugin with its state, its version, where it comes from and what is wrong with it."""
    app, cause = load_app(context, "myapp.plugins")
    columns = ("name", "state", "version", "mount", "origin")
    _finish(context, "plugins", reports_of_plugins(context, app), columns, as_json, cause)


@plugins.command("new")
@click.argument("name")
@click.option("--into", metavar="FOLDER", help="Where to write it; default: the first folder of MYAPP_PLUGIN_DIRS.")
@click.pass_context
def new_plugin(context: click.Context, name: str, into: str | None) -> None:
    """Write a new plugin called NAME: a package that is served, tested and installed as it is."""
    has_app = names_app(context.ensure_object(ScriptInfo))
    import_module(".new", __package__).create(name, into, has_app=has_app)


@config.command("show")
@as_json_option
@click.pass_context
def show_config(context: click.Context, as_json: bool) -> None:
    """List every setting with its value and the layer that it came from; secrets are hidden."""
    entries = entries_of(_load_config(context))
    if as_json:
        click.echo(json.dumps({"schema": 1, "config": entries}, indent=2))
    else:
        print_table(("key", "value", "source"), [{key: str(value) for key, value in row.items()} for row in entries])


@config.command("explain")
@click.argument("key")
@click.pass_context
def explain_config(context: click.Context, key: str) -> None:
    """Say which layer the setting KEY came from."""
    entries = {entry["key"]: entry for entry in entries_of(_load_config(context))}
    if key not in entries:
        raise click.UsageError(
            f"{key} is not set and is no setting of myapp.{part('config').did_you_mean(key, list(entries))}"
        )
    entry = entries[key]
    click.echo(f"{key} is {entry['value']} (from {entry['source']}).")


def part(name: str) -> t.Any:
    """Return a part of the core, imported only now: the docstring of the module says why."""
    return import_module(f"..{name}", __package__)


def load_app(context: click.Context, extension: str) -> tuple[Flask | None, str]:
    """Return the app, or None and what stopped it, as a text whose last line is the cause."""
    info = context.ensure_object(ScriptInfo)
    if not names_app(info):
        return None, f"No application is named in this folder, in .env or by --app. To name myapp's own: {NAME_AN_APP}"
    try:
        app = info.load_app()
    except click.ClickException as error:
        if isinstance(error, part("errors").PluginError):
            info.data[FAILURE] = error
        return None, error.format_message().strip()
    except BaseException as error:
        # Whatever the team's module raises is what is to be shown.
        if not part("errors").is_own_failure(error):
            raise
        return None, _describe(error)
    if extension not in app.extensions:
        return None, f"{app.import_name} is not an application of myapp.create_app()."
    return app, ""


def names_app(info: ScriptInfo) -> bool:
    """Whether somebody has said which application the command is about, or Flask would find one in this folder."""
    return bool(info.create_app or info.app_import_path) or any(Path(name).is_file() for name in APP_FILES)


def _describe(error: BaseException) -> str:
    try:
        return str(part("discovery").describe(error))
    except ImportError:
        # What is missing may be a package that the core itself needs.
        return f"{type(error).__name__}: {error}"


def reports_of_modules(app: Flask | None) -> Sequence[ModuleReport]:
    """Return what is known of each blueprint module; little without an app."""
    return part("discovery").get_report(app) if app is not None else _known("blueprint modules", known_modules)


def reports_of_plugins(context: click.Context, app: Flask | None) -> Sequence[PluginReport]:
    """Return what is known of each plugin; without an app what its manifest says, and which one stopped the start."""
    if app is None:
        failure = context.ensure_object(ScriptInfo).data.get(FAILURE)
        return _known("plugins", lambda: known_plugins(failure=failure))
    look_at_tables(app)
    return t.cast("Sequence[PluginReport]", part("plugins").get_report(app))


def look_at_tables(app: Flask) -> None:
    """Let the reports of plugins say what is wrong with their tables; print why, when that cannot be found out."""
    trouble = part("ops").look_at_tables(app)
    if trouble:
        click.echo(trouble, err=True)


def known_modules() -> list[ModuleReport]:
    """Return the blueprint modules of the settings, none of which is imported."""
    settings = load_known().settings
    scan = part("discovery").scan
    return [report for package in settings.blueprint_packages for report in scan(package, settings.blueprint_prefixes)]


def known_plugins(loaded: Loaded | None = None, failure: PluginError | None = None) -> Sequence[PluginReport]:
    """Return the plugins of the settings, none of which is imported.

    :param loaded: the settings, where they are known better than without the app.
    :param failure: what stopped the start, if it was a plugin.
    """
    return t.cast("Sequence[PluginReport]", part("plugins").scan_offline(loaded or load_known(), failure))


def _known(what: str, find: Callable[[], Sequence[R]]) -> Sequence[R]:
    try:
        return find()
    except (click.ClickException, ImportError) as error:
        # The settings cannot be read either, or a package is not installed; the cause says the rest.
        click.echo(f"No {what} can be listed: {error}", err=True)
        return ()


def load_known() -> Loaded:
    """Return the configuration without the app's own layer; development, because nothing is served."""
    return t.cast("Loaded", part("config").load({"MYAPP_PROFILE": "development"}))


def _load_config(context: click.Context) -> Loaded:
    app, cause = load_app(context, "myapp.config")
    if app is not None:
        return t.cast("Loaded", part("config").get_config(app))
    click.echo(f"The application could not be loaded; these are the settings without its own.\n{cause}", err=True)
    return t.cast("Loaded", part("config").load())


def entries_of(loaded: Loaded) -> list[dict[str, str]]:
    """Return every setting with its value, as it may be shown, and the layer that it came from.

    Those of plugins are among them, also when they are not set: their manifests declare them.
    """
    declared = {setting.key: setting for setting in part("plugins").iter_declared(loaded)}
    values = {f"MYAPP_{name.upper()}": value for name, value in loaded.settings} | loaded.others
    secret = {key for key, setting in declared.items() if setting.is_secret}
    # Nobody says that these are no secrets: a manifest that cannot be read, a plugin that is not there, or has none.
    secret |= {key for key in values.keys() - declared.keys() if key.startswith("MYAPP_PLUGIN_")}
    entries = [
        {"key": key, "value": _shown(key, values[key], secret), "source": loaded.sources.get(key, "the defaults")}
        for key in values
    ]
    for key in declared.keys() - values.keys():
        default = declared[key].default
        value = "not set" if default is None else _shown(key, default, secret)
        entries.append({"key": key, "value": value, "source": f"the manifest of {declared[key].plugin}"})
    return sorted(entries, key=lambda entry: entry["key"])


def _shown(key: str, value: t.Any, secret: Collection[str]) -> str:
    if key in secret or part("config").looks_secret(key):
        return "***"
    return str(part("config").hide_password(str(value)))


def _finish(
    context: click.Context, name: str, reports: Reports, columns: tuple[str, ...], as_json: bool, cause: str
) -> t.NoReturn:
    """Print ``reports`` and end the command: 0 fine, 1 problems, 2 the app cannot boot."""
    rows = [asdict(report) for report in reports]
    if as_json:
        click.echo(json.dumps({"schema": 1, name: rows}, indent=2))
    else:
        print_table(columns, rows)
        for row in rows:
            print_note(row)
    leave(context, cause, has_problems=any(row["problem"] for row in rows))


def leave(context: click.Context, cause: str, *, has_problems: bool) -> t.NoReturn:
    """End the command: 0 fine, 1 problems, 2 the app cannot boot, for ``cause``, which is printed last."""
    if cause:
        click.echo(f"The application could not be loaded:\n{cause}", err=True)
        context.exit(CANNOT_RUN)
    context.exit(PROBLEMS if has_problems else OK)


def print_table(columns: tuple[str, ...], rows: Sequence[Mapping[str, t.Any]]) -> None:
    """Print ``columns`` of ``rows``, each as wide as it has to be."""
    if not rows:
        click.echo("There is none.")
        return
    table = [columns, *(tuple(_cell(row[column]) for column in columns) for row in rows)]
    widths = [max(len(line[number]) for line in table) for number in range(len(columns))]
    for line in table:
        click.echo("  ".join(_padded(line, widths)).rstrip())


def _cell(value: t.Any) -> str:
    text = "" if value is None else ", ".join(value) if isinstance(value, tuple) else str(value)
    return text or "-"


def _padded(line: Iterable[str], widths: Iterable[int]) -> Iterable[str]:
    return (cell.ljust(width) for cell, width in zip(line, widths, strict=True))


def print_note(row: Mapping[str, t.Any]) -> None:
    """Print what is wrong with something and the next step, or why it is as it is."""
    if row["problem"]:
        click.echo(f"\n{row['name']}: {row['problem']['summary']}\n  {row['problem']['hint']}")
    elif row["reason"]:
        click.echo(f"\n{row['name']}: {row['reason']}")
