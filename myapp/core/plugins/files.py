"""Templates and static files of a plugin: in its own namespace, and not outside of its folders."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from flask import Blueprint, abort
from flask.templating import DispatchingJinjaLoader
from jinja2 import FileSystemLoader

from ..config import get_config
from ..errors import PluginError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from flask.sansio.scaffold import Scaffold
    from jinja2 import BaseLoader

    from .context import PluginContext

EXTENSION = "myapp.plugin_files"


@dataclass
class Files:
    """Whose the blueprints of one app are, and what is wrong with their files."""

    #: The plugin of each blueprint that belongs to one.
    owners: dict[Scaffold, str] = field(default_factory=dict)
    #: A sentence about the files of a plugin that are not found.
    outside: dict[str, str] = field(default_factory=dict)


class TemplateLoader(DispatchingJinjaLoader):
    """Flask's loader, which finds templates of a plugin below ``<plugin>/`` only.

    A name is looked for in the app's own folder first, where a site may replace ``shop/index.html``, and then among
    the blueprints in the order of their registration.
    """

    def __init__(self, app: Flask, files: Files) -> None:
        super().__init__(app)
        self._owners = files.owners

    def _iter_loaders(self, template: str) -> Iterator[tuple[Scaffold, BaseLoader]]:
        for source, loader in super()._iter_loaders(template):
            owner = self._owners.get(source)
            if owner is None or template.startswith(f"{owner}/"):
                yield source, loader


def init_files(app: Flask) -> None:
    """Let the app look for templates by owner."""
    files = app.extensions[EXTENSION] = Files()
    app.jinja_env.loader = TemplateLoader(app, files)


def register_own_files(app: Flask, plugin: PluginContext, file: str | None) -> None:
    """Serve ``static/`` and ``templates/`` of a package that has no blueprint of its name, which would do it.

    :param file: the file of the plugin's module: what lies beside a plugin of one file is not its own.
    """
    if plugin.name in app.blueprints or plugin.root_path is None or Path(file or "").name != "__init__.py":
        return
    folders = {name: name for name in ("static", "templates") if (plugin.root_path / name).is_dir()}
    if folders:
        blueprint = Blueprint(
            plugin.name,
            plugin.module,
            root_path=str(plugin.root_path),
            static_folder=folders.get("static"),
            template_folder=folders.get("templates"),
        )
        # At the root its static files would be where the app's own are.
        app.register_blueprint(blueprint, url_prefix=plugin.mount or f"/{plugin.name}")


def own_files(app: Flask, plugin: str, paths: list[str]) -> None:
    """Keep the files of the blueprints ``paths``, which a plugin has registered, to its namespace.

    :raises PluginError: in strict mode, when there are templates that are not found.
    """
    files: Files = app.extensions[EXTENSION]
    for path in paths:
        blueprint = app.blueprints[path]
        files.owners[blueprint] = plugin
        endpoint = f"{path}.static"
        if endpoint in app.view_functions and blueprint.static_folder is not None:
            app.view_functions[endpoint] = _inside(blueprint.static_folder, app.view_functions[endpoint])
    outside = sorted({name for path in paths for name in _iter_outside(app.blueprints[path].jinja_loader, plugin)})
    if not outside:
        return
    summary = f"{', '.join(outside)}: templates are found in the folder {plugin}/ of templates/ only."
    files.outside[plugin] = summary
    if get_config(app).is_strict:
        raise PluginError(plugin, "template-outside", summary)


def _inside(folder: str, view: Callable[..., t.Any]) -> Callable[..., t.Any]:
    """Return the view of static files, which follows no link out of ``folder``: Werkzeug looks at the name alone."""

    def send_inside(filename: str) -> t.Any:
        root = os.path.realpath(folder)
        try:
            is_inside = Path(os.path.realpath(os.path.join(root, filename))).is_relative_to(root)
        except ValueError:
            # A null byte.
            is_inside = False
        return view(filename=filename) if is_inside else abort(404)

    return send_inside


def _iter_outside(loader: BaseLoader | None, plugin: str) -> Iterator[str]:
    """Yield what lies in a folder of templates beside that of the plugin's name, but for hidden files."""
    folders = loader.searchpath if isinstance(loader, FileSystemLoader) else []
    for folder in filter(os.path.isdir, folders):
        for entry in os.scandir(folder):
            if entry.name == plugin or entry.name.startswith((".", "__")):
                continue
            if entry.is_file() or any(path.is_file() for path in Path(entry.path).rglob("*")):
                yield entry.path
