from flask import Blueprint

bp = Blueprint("zebra", __name__)


@bp.get("/")
def index():
    return "zebra"
