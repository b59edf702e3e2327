from flask import Blueprint, abort

bp = Blueprint("half", __name__)


@bp.get("/half")
def index():
    return "half registered"


@bp.before_app_request
def refuse():
    abort(418)


@bp.record
def fail(state):
    raise RuntimeError("the blueprint cannot be registered")
