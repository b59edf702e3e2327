"""``flask plugins new``: needs neither an app nor a network. Imported by the command alone, as ``offline`` asks for."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import click

from ..plugins import create_plugin
from . import offline

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def create(name: str, into: str | None, *, has_app: bool) -> None:
    """Write the plugin ``name`` and say what to do with it.

    :param into: the folder to write it into; None for the first one that the application looks for plugins in.
    :param has_app: whether ``flask`` knows in this folder which application to run.
    :raises ScaffoldError: when that cannot be done.
    """
    folders = _plugin_folders(into)
    folder = Path(into).absolute() if into is not None else folders[0]
    plugin = create_plugin(name, folder, taken=set(_iter_taken()))
    shown = _shown(plugin)
    click.echo(f"Wrote the plugin {plugin.name} to {shown}. Its README.md says what is in it. Next:\n")
    if not has_app:
        click.echo(f"  {offline.NAME_AN_APP}")
    if folder.resolve() in (known.resolve() for known in folders):
        click.echo(f"  flask run --debug                      and open http://127.0.0.1:5000/{plugin.name}/")
    else:
        click.echo(f"  pip install -e {shown}\n  flask run --debug")
    click.echo(f"  pytest {shown}\n  pytest --myapp-contract {shown if os.sep in shown else f'.{os.sep}{shown}'}")


def _plugin_folders(into: str | None) -> list[Path]:
    """Return the folders in which the application looks for plugins.

    :raises click.ClickException: when the settings cannot be read and no other folder was named.
    """
    try:
        return list(offline.load_known().plugin_dirs)
    except click.ClickException as error:
        if into is not None:
            return []
        raise click.UsageError(f"{error.format_message()}\nUntil then, say where to write it: --into FOLDER") from error


def _iter_taken() -> Iterable[str]:
    """Yield the names that the application has already; those that nobody knows, because it cannot boot, are free."""
    for report in _known(offline.known_plugins):
        yield report.name
    for module in _known(offline.known_modules):
        yield module.name.partition(".")[0]


def _known(find: Callable[[], Iterable[t.Any]]) -> Iterable[t.Any]:
    try:
        return find()
    except (click.ClickException, ImportError) as error:
        # The settings cannot be read, or a package is not installed: what is written needs neither.
        click.echo(f"The names that are taken are not known: {error}", err=True)
        return ()


def _shown(plugin: Path) -> str:
    """Return a path as it is typed here."""
    here = Path.cwd()
    return str(plugin.relative_to(here) if plugin.is_relative_to(here) else plugin)
