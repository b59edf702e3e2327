from flask import Blueprint, g

blueprint = Blueprint("users", __name__, url_prefix="/users")


@blueprint.get("/")
def index():
    return f"users of {g.version}"


@blueprint.get("/missing")
def missing():
    raise KeyError
