"""A first API to look at: ``GET /demo/add?a=2&b=3`` (founding document 002)."""

from __future__ import annotations

import re

from flask import Blueprint, request

from myapp import ApiResult, ValidationError

blueprint = Blueprint("demo", __name__, url_prefix="/demo")

#: As many digits as any client can mean; int() of a longer text costs time that grows with its square.
INTEGER = re.compile(r"[+-]?[0-9]{1,30}")


@blueprint.get("/add")
def add() -> ApiResult:
    """Return the sum of the integers ``a`` and ``b`` of the query.

    :raises ValidationError: with an entry for each that is missing or no integer.
    """
    texts = {name: request.args.get(name, "").strip() for name in ("a", "b")}
    errors = [
        {"parameter": name, "code": "integer", "detail": "This must be an integer of at most 30 digits."}
        for name, text in texts.items()
        if not INTEGER.fullmatch(text)
    ]
    if errors:
        raise ValidationError(errors=errors)
    return ApiResult({"sum": int(texts["a"]) + int(texts["b"])})
