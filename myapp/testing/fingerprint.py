"""temporary"""

from __future__ import annotations

import typing as t

from flask import Flask


def fingerprint(app: Flask) -> dict[str, t.Any]:
    """Return what a plugin that failed must not have changed."""
    scoped = (
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
        app.template_context_processors,
        app.error_handler_spec,
    )
    return {
        "rules": sorted(f"{rule.rule} {rule.endpoint}" for rule in app.url_map.iter_rules()),
        "endpoints": sorted(app.view_functions),
        "blueprints": sorted(app.blueprints),
        "functions": [sorted((str(key), len(value)) for key, value in functions.items()) for functions in scoped],
        "filters": sorted(app.jinja_env.filters),
        "commands": sorted(app.cli.commands),
        "config": sorted(app.config.keys() - {"MYAPP_PLUGINS", "MYAPP_INSTANCE_PATH"}),
    }
