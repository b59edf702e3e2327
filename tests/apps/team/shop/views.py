from flask import Blueprint

blueprint = Blueprint("shop", __name__)


@blueprint.get("/list")
def list_():
    return "shop"
