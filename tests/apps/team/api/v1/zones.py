from flask import Blueprint

blueprint = Blueprint("zones", __name__)
url_prefix = "/zones"


@blueprint.get("/")
def index():
    return "zones"
