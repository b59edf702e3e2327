"""Drop-in while ``flask run --debug`` runs: files that Werkzeug's reloader does not look at restart the server."""

from __future__ import annotations

import fnmatch
import os
import sys
import threading
import time
import typing as t
from pathlib import Path

import click
from flask.cli import run_command
from werkzeug.serving import is_running_from_reloader

from .. import discovery, plugins

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..config import Loaded

    Snapshot: t.TypeAlias = dict[str, int]

INTERVAL_SECONDS = 0.25
#: The exit status that tells Werkzeug's reloader to start its child again.
RELOAD = 3
IGNORED_FOLDERS = frozenset({"__pycache__", "node_modules"})


def watch_folders(loaded: Loaded) -> None:
    """Restart the server when a Python file appears, changes or goes in the blueprint packages, the plugin folders and
    the folders of plugins that are installed for editing.

    Only in the child of the reloader of ``flask run``, in a thread that ends with the process. Called before the app
    is built: a file that appears meanwhile is not missed, and an app that cannot be built is built again when what
    stops it has changed. Reads ``MYAPP_BLUEPRINT_PACKAGES`` and ``MYAPP_PLUGIN_DIRS``.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command or not is_running_from_reloader():
        return
    folders = [folder for root in loaded.settings.blueprint_packages for folder in discovery.find_folders(root)]
    folders += [str(folder) for folder in (*loaded.plugin_dirs, *plugins.iter_editable())]
    # What the operator excludes from Werkzeug's reloader is excluded from this one.
    excluded = tuple(context.params.get("exclude_patterns") or ())
    before = take_snapshot(folders, excluded)
    threading.Thread(target=_watch, args=(folders, excluded, before), name="myapp-watch", daemon=True).start()


def take_snapshot(folders: Iterable[str], excluded: Iterable[str] = ()) -> Snapshot:
    """Return when each Python file below ``folders`` has changed; a folder that is not there has none.

    :param folders: a file counts as one with this file alone.
    :param excluded: patterns of paths that are left out, as ``flask run --exclude-patterns`` has them.
    """
    snapshot: Snapshot = {}
    for top in folders:
        walk = [(str(Path(top).parent), list[str](), [Path(top).name])] if Path(top).is_file() else os.walk(top)
        for folder, inner, files in walk:
            inner[:] = [name for name in inner if name not in IGNORED_FOLDERS and not name.startswith(".")]
            for path in (os.path.join(folder, name) for name in files if name.endswith(".py")):
                if not any(fnmatch.fnmatch(path, pattern) for pattern in excluded):
                    try:
                        snapshot[path] = Path(path).stat().st_mtime_ns
                    except OSError:
                        # It went while this looked: it is not there.
                        continue
    return snapshot


def wait_for_change(before: Snapshot, look: Callable[[], Snapshot], pause: Callable[[], None]) -> list[str]:
    """Return the paths that differ from ``before``, once they stay as they are: a copy may be half done.

    :param look: takes a snapshot.
    :param pause: waits between two of them.
    """
    last = before
    while True:
        pause()
        now = look()
        if now == last and now != before:
            return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
        last = now


def _watch(folders: list[str], excluded: tuple[str, ...], before: Snapshot) -> None:
    # Nothing tells of files that appear, on every system that Python runs on; this thread has nothing else to do.
    changed = wait_for_change(before, lambda: take_snapshot(folders, excluded), lambda: time.sleep(INTERVAL_SECONDS))
    click.echo(f" * Detected change in {changed[0]!r}, reloading", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit(): that ends this thread only. Nothing is lost that Werkzeug's own reloader would keep: a task that
    # has not committed is rolled back by the database.
    os._exit(RELOAD)
