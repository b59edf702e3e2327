"""The welcome page, until a blueprint of yours claims ``/`` (founding document 002)."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template

from myapp.core import discovery, plugins
from myapp.core.config import get_config

blueprint = Blueprint("home", __name__)
#: Registered after every other blueprint and plugin: whoever serves ``/`` wins.
fallback = True


@blueprint.get("/")
def index() -> str:
    """Show what is loaded and which file to edit first."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    loaded = get_config(app)
    packages = loaded.settings.blueprint_packages
    # Where myapp is installed from a wheel, its own package is no place for files of the team.
    own = [folder for name in packages if (loaded.root / (folder := name.replace(".", "/"))).is_dir()]
    return render_template(
        "home.html",
        modules=discovery.get_report(app),
        plugins=plugins.get_report(app),
        packages=packages,
        plugin_dirs=loaded.settings.plugin_dirs,
        blueprint_dir=own[-1] if own else None,
        is_development=loaded.is_development,
    )
