"""Headers that tell clients of an API version that it goes away (:rfc:`9745`, :rfc:`8594`)."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from datetime import UTC, date, datetime

from flask import Response, request
from werkzeug.http import http_date

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from flask import Flask

    from .walk import Found

VERSION = re.compile(r"v(\d+)")


@dataclass(frozen=True)
class Farewell:
    """What every answer below a package says.

    :param deprecation: the value of ``Deprecation``, a date as ``@seconds``.
    :param sunset: the value of ``Sunset``, an HTTP date.
    :param links: pairs of relation and target; a target that begins with ``/`` is below the application's root.
    """

    deprecation: str | None
    sunset: str | None
    links: tuple[tuple[str, str], ...]

    def add_headers(self, response: Response) -> Response:
        """Put the headers on ``response``; what the view itself has set stays."""
        if self.deprecation is not None:
            response.headers.setdefault("Deprecation", self.deprecation)
        if self.sunset is not None:
            response.headers.setdefault("Sunset", self.sunset)
        for relation, target in self.links:
            where = request.root_path + target if target.startswith("/") else target
            response.headers.add("Link", f'<{where}>; rel="{relation}"')
        return response


def say_farewell(app: Flask, name: str, deprecated: t.Any, sunset: t.Any, successor: str | None) -> None:
    """Send ``Deprecation``, ``Sunset`` and ``Link`` with every answer of the blueprints below ``name``.

    :param name: the package as a blueprint path, ``api.v1``. Attached to the app by this name and not to a blueprint:
        a blueprint outlives the app, and refuses what is set up after its first registration.
    :param deprecated: since when: a date, a datetime (a naive one is in UTC), an ISO 8601 text, or a pair of one of
        them and the address of a page about it.
    :param sunset: when it goes away, in the same forms.
    :param successor: the path of the version to use instead.
    :raises ValueError: for a text that is not a date.
    :raises TypeError: for anything else.
    """
    since, since_page = _moment("deprecated", deprecated)
    until, until_page = _moment("sunset", sunset)
    links = (("deprecation", since_page), ("sunset", until_page), ("successor-version", successor))
    farewell = Farewell(
        None if since is None else f"@{int(since.timestamp())}",
        None if until is None else http_date(until),
        tuple((relation, target) for relation, target in links if target is not None),
    )
    app.after_request_funcs[name].append(farewell.add_headers)


def find_successor(package: Found, all_found: Iterable[Found], is_deprecated: t.Callable[[Found], bool]) -> str | None:
    """Return the path of the newest version beside ``package`` that is newer and stays; None when there is none."""
    version = _version(package)
    siblings = [
        other
        for other in all_found
        if other.is_package and other.package == package.package and _version(other) > version >= 0
    ]
    staying = [other for other in siblings if not is_deprecated(other)]
    return max(staying, key=_version).prefix if staying else None


def _version(package: Found) -> int:
    match = VERSION.fullmatch(package.name.rpartition(".")[2])
    return int(match[1]) if match else -1


def _moment(name: str, value: t.Any) -> tuple[datetime | None, str | None]:
    """Return the moment and the address that an attribute of a package gives."""
    page = None
    if isinstance(value, tuple) and len(value) == 2:
        value, page = value[0], str(value[1])
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if value is None:
        return None, page
    if not isinstance(value, datetime):
        raise TypeError(f"{name} is {value!r}. Write a date, such as {name} = '2026-01-31'.")
    return (value.replace(tzinfo=UTC) if value.tzinfo is None else value), page
