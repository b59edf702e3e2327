from flask import Blueprint

ENABLED = False
bp = Blueprint("disabled", __name__)


@bp.get("/disabled")
def index():
    return "disabled"
