"""Checks of what a plugin serves: its views, its templates, its static files."""

from __future__ import annotations

import typing as t
from pathlib import Path

from flask import got_request_exception

from ...core.discovery import describe

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from flask.sansio.scaffold import Scaffold

    from .trial import Trial


def views_answer(trial: Trial) -> Iterator[str]:
    """Each page that needs no argument answers without a 5xx while the database is empty."""
    app, _ = trial.first
    errors: list[BaseException] = []

    def note(_sender: Flask, exception: BaseException, **_more: t.Any) -> None:
        errors.append(exception)

    with got_request_exception.connected_to(note, app):
        for path in own_pages(app, trial.name):
            errors.clear()
            # The status is known before the body is: a stream of events has no end.
            response = app.test_client().get(path, buffered=False)
            status = response.status_code
            response.close()
            if status >= 500:
                reason = f": {describe(errors[-1])}" if errors else ""
                yield f"GET {path} is {status} while the database is empty{reason}."


def files_lie_in_its_namespace(trial: Trial) -> Iterator[str]:
    """Its templates lie in ``templates/<name>/``, and no file that it serves lies outside of its folder."""
    app, _ = trial.first
    name = trial.name
    found = dict.fromkeys(own_templates(app, name))
    found.update(dict.fromkeys(sorted({*app.jinja_env.list_templates()} - {*trial.absent.jinja_env.list_templates()})))
    for template in found:
        if not template.startswith(f"{name}/"):
            yield (
                f"The template {template} has a name that others may have: the first one found is rendered. Move it to"
                f" templates/{name}/{template} and render {name}/{template}."
            )
    for blueprint in own_blueprints(app, name):
        for folder in (blueprint.static_folder, blueprint.template_folder):
            if folder is None:
                continue
            place = Path(blueprint.root_path, folder)
            if not place.is_dir():
                yield f"The blueprint of {blueprint.import_name} names the folder {place}, which is not there. Make it."
                continue
            root = place.resolve()
            for file in sorted(place.rglob("*")):
                if not file.resolve().is_relative_to(root):
                    yield f"{file} is a link that leaves {place}: what it points to is served. Copy it."


def own_blueprints(app: Flask, name: str) -> Iterator[Scaffold]:
    """Yield the blueprints of the plugin ``name``."""
    for key, blueprint in app.blueprints.items():
        if key == name or key.startswith(f"{name}."):
            yield blueprint


def own_pages(app: Flask, name: str) -> list[str]:
    """Return the paths of the plugin ``name`` that a GET without arguments reaches."""
    return sorted(
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(f"{name}.") and "GET" in (rule.methods or ()) and not rule.arguments
    )


def own_templates(app: Flask, name: str) -> Iterator[str]:
    """Yield the names that the templates of the plugin's blueprints have for Jinja, hidden or not."""
    for blueprint in own_blueprints(app, name):
        if blueprint.jinja_loader is not None:
            yield from blueprint.jinja_loader.list_templates()
