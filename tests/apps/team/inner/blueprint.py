from flask import Blueprint

blueprint = Blueprint("inner", __name__)


@blueprint.get("/page")
def page():
    return "inner"
