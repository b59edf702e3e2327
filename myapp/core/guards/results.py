"""What a view returned, as the ledger keeps it."""

from __future__ import annotations

import typing as t

from flask import current_app
from werkzeug.http import HTTP_STATUS_CODES

from ..errors import ApiException

if t.TYPE_CHECKING:
    from flask import Response


def to_plain(rv: t.Any) -> t.Any:
    """Return what ``rv`` says: whatever a view may return, as plain data; a text stays one.

    Its status is that of an answer that nobody waits for: below 400 it is dropped.

    :raises ApiException: for a status of 400 or more, which rolls the job back as it does a request.
    :raises TypeError: for None, and for what is neither JSON nor text.
    """
    # Flask says so as well, with words that it takes from the request.
    if (rv[0] if isinstance(rv, tuple) and rv else rv) is None:
        raise TypeError("A view that is @background returned None. Return what JSON has, or an empty text.")
    response = current_app.make_response(rv)
    value = _read(response)
    if response.status_code >= 400:
        raise _failure(response.status_code, value)
    return value


def _read(response: Response) -> t.Any:
    if response.is_json:
        return current_app.json.loads(response.get_data())
    if (response.mimetype or "").startswith("text/"):
        return response.get_data(as_text=True)
    raise TypeError(
        f"A view that is @background returned {response.mimetype}, and the result of a job is JSON or text. Store the"
        " file, and return where it is."
    )


def _failure(status: int, value: t.Any) -> ApiException:
    if isinstance(value, str):
        return ApiException(value, status)
    return ApiException(HTTP_STATUS_CODES.get(status, "An error."), status, result=value)
