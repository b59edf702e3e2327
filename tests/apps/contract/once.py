from flask import Blueprint

__plugin__ = {"name": "once", "version": "1.0", "summary": "For one app, with a setting that nobody was told about"}

blueprint = Blueprint("once", __name__)


def myapp_configure(app, plugin):
    app.extensions["once"] = plugin.config["key"]
    blueprint.before_request(lambda: None)


def myapp_blueprints(app, plugin):
    return blueprint
