"""A list over HTTP, a page at a time."""

from __future__ import annotations

import typing as t

from flask import request

from ..errors import ValidationError
from .results import ApiResult

if t.TYPE_CHECKING:
    from flask import Response

DEFAULT_LIMIT, MAXIMUM_LIMIT = 50, 200


def read_limit() -> int:
    """Return how many items the query asks for: its ``limit``, 50 without one.

    :raises ValidationError: for one that is not 1 to 200.
    """
    text = request.args.get("limit", str(DEFAULT_LIMIT))
    # As many digits as the largest one has: int() of a long text takes long.
    if not text.isascii() or not text.isdigit() or len(text) > 3 or not 1 <= int(text) <= MAXIMUM_LIMIT:
        detail = f"This must be a number from 1 to {MAXIMUM_LIMIT}."
        raise ValidationError(errors=[{"parameter": "limit", "code": "range", "detail": detail}])
    return int(text)


def page(items: list[t.Any], following: str | None) -> ApiResult:
    """Return the answer that is one page: its items, and where the next ones are, in the body and as a link.

    :param following: the address of the next page; None for the last one.
    """
    headers = None if following is None else {"Link": f'<{following}>; rel="next"'}
    return ApiResult({"items": items, "next": following}, headers=headers)


def forbid_storing(response: Response) -> Response:
    """Keep an answer out of every cache: an ``after_request`` function for what changes, and is somebody's."""
    response.headers["Cache-Control"] = "no-store"
    return response
