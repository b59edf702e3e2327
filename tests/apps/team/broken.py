from flask import Blueprint

from team import _log

_log.executed.append(__name__)
bp = Blueprint("broken", __name__)


def fail():
    raise RuntimeError("the true error")


fail()
