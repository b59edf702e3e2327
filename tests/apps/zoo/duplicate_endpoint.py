from flask import Blueprint, abort

bp = Blueprint("duplicate_endpoint", __name__)
bp.before_app_request(lambda: abort(418))
bp.add_url_rule("/", "index", lambda: "one")
bp.add_url_rule("/two", "index", lambda: "two")


def myapp_blueprints(app, plugin):
    return bp
