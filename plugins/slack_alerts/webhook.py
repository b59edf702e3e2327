"""One POST to a Slack webhook, and what became of it."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

if t.TYPE_CHECKING:
    from collections.abc import Mapping

#: How long a server may ask to be left alone; what it asks beyond that is taken for this.
MAXIMUM_WAIT_SECONDS = 300.0


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt.

    :param reason: what went wrong, as a part of a sentence; empty when the message was taken.
    :param retry_seconds: when to try again at the earliest; None when that would help nothing.
    :param is_reached: whether somebody answered.
    """

    reason: str = ""
    retry_seconds: float | None = None
    is_reached: bool = True


def check_url(url: str) -> str:
    """Return the webhook's URL.

    :raises ValueError: when it is none; it is never printed, because whoever knows it can post.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ValueError("The webhook_url is no URL of a webhook. Write it as https://hooks.slack.com/services/…")
    return url


def post(url: str, text: str, timeout_seconds: float) -> Outcome:
    """Send ``text``, once, and return what became of it; nothing is raised for a server that is away or answers no.

    A redirect is not followed: nobody is told the text but the server that the operator has named.
    """
    # Only here, in the thread that sends: they cost more than all the rest of the plugin.
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *args: t.Any, **kwargs: t.Any) -> None:
            return None

    body = json.dumps({"text": text}).encode()
    request = Request(url, body, {"Content-Type": "application/json", "User-Agent": "myapp-slack-alerts"})  # noqa: S310 - check_url() lets http and https pass only.
    try:
        # What the body says is not read: a server could make that last for ever.
        build_opener(Stay).open(request, timeout=timeout_seconds).close()
    except HTTPError as error:
        with error:
            return _refused(error.code, error.headers)
    except (OSError, HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        reason = "no answer in time" if isinstance(cause, TimeoutError) else type(cause).__name__
        return Outcome(f"the server cannot be reached ({reason})", 1.0, is_reached=False)
    return Outcome()


def _refused(status: int, headers: Mapping[str, str]) -> Outcome:
    known = [entry.phrase for entry in HTTPStatus if entry.value == status]
    reason = f"the server answered {' '.join([str(status), *known])}"
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
        return Outcome(reason, _read_wait(headers.get("Retry-After", "")))
    return Outcome(reason)


def _read_wait(value: str) -> float:
    """Return the seconds that ``Retry-After`` asks for (:rfc:`9110#section-10.2.3`); one when it says nothing."""
    seconds = 1.0
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        seconds = float(value)
    elif value:
        try:
            seconds = (parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return seconds
    return min(max(seconds, 0.0), MAXIMUM_WAIT_SECONDS)
