from flask import Blueprint, g, jsonify

blueprint = Blueprint("first_version", __name__)
deprecated = "2026-01-31"
sunset = ("2027-01-31", "https://example.com/sunset")


@blueprint.before_request
def mark():
    g.version = "one"


@blueprint.errorhandler(KeyError)
def missing(error):
    return jsonify(handled_by="v1"), 404


@blueprint.get("/")
def index():
    return "version one"
