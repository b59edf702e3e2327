from flask import Blueprint, abort

bp = Blueprint("record_raises", __name__)


@bp.get("/")
def index():
    return "half registered"


@bp.before_app_request
def refuse():
    abort(418)


@bp.record
def fail(state):
    raise RuntimeError("the blueprint cannot be registered")


def myapp_blueprints(app, plugin):
    return bp
