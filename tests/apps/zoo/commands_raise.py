from flask import Blueprint

bp = Blueprint("commands_raise", __name__)
bp.add_url_rule("/", "index", lambda: "half registered")


def myapp_blueprints(app, plugin):
    return bp


def myapp_commands(app, plugin):
    raise SystemExit(4)
