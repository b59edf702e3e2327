from flask import Blueprint, jsonify

blueprint = Blueprint("second_version", __name__)


@blueprint.errorhandler(KeyError)
def missing(error):
    return jsonify(handled_by="v2"), 404
