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
    return render_template(
        "home.html",
        modules=discovery.get_report(app),
        plugins=plugins.get_report(app),
        is_development=get_config(app).is_development,
    )
