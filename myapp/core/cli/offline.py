"""``flask blueprints``, ``flask plugins`` and ``flask config``: they answer also when the app cannot boot.

Flask loads this module for every command, before there is an app, and one that cannot be imported takes all commands
down. So it imports click and Flask only; the parts of the core are imported by the command that runs.
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import asdict
from importlib import import_module

import click
from flask.cli import ScriptInfo

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flask import Flask

    from ..config import Loaded
    from ..discovery import ModuleReport
    from ..plugins import PluginReport

    Reports: t.TypeAlias = Sequence[ModuleReport] | Sequence[PluginReport]

OK, PROBLEMS, CANNOT_RUN = 0, 1, 2
SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|_KEY|KEY$|DSN|CREDENTIAL")

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


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
@_as_json
@click.pass_context
def list_blueprints(context: click.Context, as_json: bool) -> None:
    """List every blueprint module with its state, its URLs and what is wrong with it."""
    app, cause = _load_app(context, "myapp.discovery")
    _finish(
        context, "blueprints", _reports(app, _known_modules, _modules_of), ("name", "state", "rules"), as_json, cause
    )


@plugins.command("list")
@_as_json
@click.pass_context
def list_plugins(context: click.Context, as_json: bool) -> None:
    """List every plugin with its state, its version, where it comes from and what is wrong with it."""
    app, cause = _load_app(context, "myapp.plugins")
    columns = ("name", "state", "version", "mount", "origin")
    _finish(context, "plugins", _reports(app, _known_plugins, _plugins_of), columns, as_json, cause)


@config.command("show")
@_as_json
@click.pass_context
def show_config(context: click.Context, as_json: bool) -> None:
    """List every setting with its value and the layer that it came from; secrets are hidden."""
    entries = _entries(_load_config(context))
    if as_json:
        click.echo(json.dumps({"schema": 1, "config": entries}, indent=2))
    else:
        _print_table(("key", "value", "source"), [{key: str(value) for key, value in row.items()} for row in entries])


@config.command("explain")
@click.argument("key")
@click.pass_context
def explain_config(context: click.Context, key: str) -> None:
    """Say which layer the setting KEY came from."""
    entries = {entry["key"]: entry for entry in _entries(_load_config(context))}
    if key not in entries:
        raise click.UsageError(
            f"{key} is not set and is no setting of myapp.{_part('config').did_you_mean(key, list(entries))}"
        )
    entry = entries[key]
    click.echo(f"{key} is {entry['value']} (from {entry['source']}).")


def _part(name: str) -> t.Any:
    """Return a part of the core, imported only now: the docstring of the module says why."""
    return import_module(f"..{name}", __package__)


def _load_app(context: click.Context, extension: str) -> tuple[Flask | None, str]:
    """Return the app, or None and what stopped it, as a text whose last line is the cause."""
    try:
        app = context.ensure_object(ScriptInfo).load_app()
    except click.ClickException as error:
        return None, error.format_message().strip()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - Whatever the team's module raises is what is to be shown.
        return None, _describe(error)
    if extension not in app.extensions:
        return None, f"{app.import_name} is not an application of myapp.create_app()."
    return app, ""


def _describe(error: BaseException) -> str:
    try:
        return str(_part("discovery").describe(error))
    except ImportError:
        # What is missing may be a package that the core itself needs.
        return f"{type(error).__name__}: {error}"


def _reports(app: Flask | None, known: Callable[[], Reports], of_app: Callable[[Flask], Reports]) -> Reports:
    if app is not None:
        return of_app(app)
    try:
        return known()
    except (click.ClickException, ImportError) as error:
        # The settings cannot be read either, or a package is not installed; the cause says the rest.
        click.echo(f"Nothing can be listed: {error}", err=True)
        return ()


def _modules_of(app: Flask) -> Reports:
    return t.cast("Reports", _part("discovery").get_report(app))


def _plugins_of(app: Flask) -> Reports:
    return t.cast("Reports", _part("plugins").get_report(app))


def _known_modules() -> Reports:
    packages = _load_known().settings.blueprint_packages
    return [report for package in packages for report in _part("discovery").scan(package)]


def _known_plugins() -> Reports:
    return t.cast("Reports", _part("plugins").scan_offline(_load_known()))


def _load_known() -> Loaded:
    """Return the configuration without the app's own layer; development, because nothing is served."""
    return t.cast("Loaded", _part("config").load({"MYAPP_PROFILE": "development"}))


def _load_config(context: click.Context) -> Loaded:
    app, cause = _load_app(context, "myapp.config")
    if app is not None:
        return t.cast("Loaded", _part("config").get_config(app))
    click.echo(f"The application could not be loaded; these are the settings without its own.\n{cause}", err=True)
    return t.cast("Loaded", _part("config").load())


def _entries(loaded: Loaded) -> list[dict[str, str]]:
    values = {f"MYAPP_{name.upper()}": value for name, value in loaded.settings} | loaded.others
    return [
        {"key": key, "value": _shown(key, values[key]), "source": loaded.sources.get(key, "the defaults")}
        for key in sorted(values)
    ]


def _shown(key: str, value: t.Any) -> str:
    if SECRET.search(key):
        return "***"
    # The password of a URL.
    return re.sub(r"(//[^/:@\s]*):[^@/\s]*@", r"\1:***@", str(value))


def _finish(
    context: click.Context, name: str, reports: Reports, columns: tuple[str, ...], as_json: bool, cause: str
) -> t.NoReturn:
    """Print ``reports`` and end the command: 0 fine, 1 problems, 2 the app cannot boot."""
    rows = [asdict(report) for report in reports]
    if as_json:
        click.echo(json.dumps({"schema": 1, name: rows}, indent=2))
    else:
        _print_table(columns, rows)
        for row in rows:
            _print_note(row)
    if cause:
        click.echo(f"The application could not be loaded:\n{cause}", err=True)
        context.exit(CANNOT_RUN)
    context.exit(PROBLEMS if any(row["problem"] for row in rows) else OK)


def _print_table(columns: tuple[str, ...], rows: Sequence[Mapping[str, t.Any]]) -> None:
    if not rows:
        click.echo("There is none.")
        return
    table = [columns, *(tuple(_cell(row[column]) for column in columns) for row in rows)]
    widths = [max(len(line[number]) for line in table) for number in range(len(columns))]
    for line in table:
        click.echo("  ".join(_padded(line, widths)).rstrip())


def _cell(value: t.Any) -> str:
    return (", ".join(value) if isinstance(value, tuple) else str(value)) or "-"


def _padded(line: Iterable[str], widths: Iterable[int]) -> Iterable[str]:
    return (cell.ljust(width) for cell, width in zip(line, widths, strict=True))


def _print_note(row: Mapping[str, t.Any]) -> None:
    if row["problem"]:
        click.echo(f"\n{row['name']}: {row['problem']['summary']}\n  {row['problem']['hint']}")
    elif row["reason"]:
        click.echo(f"\n{row['name']}: {row['reason']}")
