from flask import Blueprint

blue_print = Blueprint("misspelt", __name__)
