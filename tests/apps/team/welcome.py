from flask import Blueprint

blueprint = Blueprint("welcome", __name__)
fallback = True


@blueprint.get("/")
def index():
    return "welcome"


@blueprint.get("/about")
def about():
    return "about"
