"""What a request brings: its body as JSON, validated by pydantic with every failure named."""

from __future__ import annotations

import json
import typing as t

import flask
import pydantic
from flask import request
from werkzeug.exceptions import BadRequest

from ..errors import ApiException, ValidationError

B = t.TypeVar("B", bound=pydantic.BaseModel)

#: How deep lists and objects may lie inside each other: what comes later, here and elsewhere, may recurse.
MAXIMUM_DEPTH = 64


class Request(flask.Request):
    """A request that says where its body stops being JSON: the place, and nothing of what stands there."""

    def on_json_loading_failed(self, e: ValueError | None) -> t.Any:
        """Raise the 415 or the 400 of Flask; the 400 says what is wrong."""
        try:
            return super().on_json_loading_failed(e)
        except BadRequest as error:
            # In debug mode Flask says it in its own words.
            if error.description == BadRequest.description:
                error.description = "The body is not JSON that can be read."
                if isinstance(e, json.JSONDecodeError):
                    error.description = f"The body is not JSON: {e.msg} (line {e.lineno}, column {e.colno})."
            raise


def read_json() -> t.Any:
    """Return what the body of the request says as JSON.

    :raises ApiException: 415 for another type, 400 for what cannot be read.
    """
    if not request.is_json:
        accepts = "Accept-Patch" if request.method == "PATCH" else "Accept-Post"
        raise ApiException("Send JSON: Content-Type: application/json.", 415, headers={accepts: "application/json"})
    try:
        value = request.get_json()
    except BadRequest as error:
        length = request.max_content_length
        longer = "" if length is None else f" Or it is longer than {length:,} bytes."
        raise ApiException(f"{error.description}{longer}") from None
    if _is_deep(value):
        raise ApiException(f"The body is nested more than {MAXIMUM_DEPTH} levels deep.")
    return value


def validate(model: type[B], value: t.Any) -> B:
    """Return ``value``, which came as JSON, as ``model``; what JSON has no type for may be text in a strict one.

    :raises ValidationError: with an entry for every failure; what was sent is not repeated.
    """
    try:
        return model.model_validate_json(json.dumps(value))
    except pydantic.ValidationError as error:
        entries = error.errors(include_input=False, include_url=False, include_context=False)
        raise ValidationError(
            errors=[
                {
                    "pointer": "".join(f"/{_escaped(part)}" for part in entry["loc"]),
                    "code": entry["type"],
                    "detail": entry["msg"].removeprefix("Value error, "),
                }
                for entry in entries
            ]
        ) from None


def _is_deep(value: t.Any) -> bool:
    level = [value]
    for _ in range(MAXIMUM_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _escaped(part: int | str) -> str:
    """Return one step of a JSON Pointer (:rfc:`6901`); the name of an unknown key may be no text at all."""
    return str(part).replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()
