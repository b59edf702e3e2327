from flask import Blueprint

bp = Blueprint("accounts", __name__, url_prefix="/people")


@bp.get("/")
def index():
    return "accounts"


@bp.cli.command("count")
def count():
    print("three accounts")
