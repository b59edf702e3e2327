"""Errors of the database that are nobody's mistake: what to tell the client, and what the operator."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from sqlalchemy import exc

if t.TYPE_CHECKING:
    from flask import Flask


class Outage(t.NamedTuple):
    """A database that cannot work right now.

    :param detail: a sentence for the client, without names of this machine.
    :param remedy: a sentence for the operator.
    :param retry_after: seconds after which trying again makes sense.
    """

    detail: str
    remedy: str
    retry_after: int


#: What SQLite says, and what it means. The texts are SQLite's own (https://sqlite.org/rescode.html).
_SQLITE = (
    (
        "locked",
        "The database is busy. Nothing was changed; try again.",
        "Another process holds the write lock of {database}. Find it (for example with fuser) and let it finish.",
        1,
    ),
    (
        "unable to open",
        "The database cannot be opened right now. Nothing was changed; try again later.",
        "{database} cannot be opened. Check that the file and its folder exist and belong to the user of this process.",
        30,
    ),
    (
        "disk is full",
        "The database cannot be written right now. Nothing was changed; try again later.",
        "{database} cannot grow: the disk or a quota is full. Free some space; nothing that was committed is lost.",
        30,
    ),
    (
        "disk i/o error",
        "The database cannot be written right now. Nothing was changed; try again later.",
        "{database} cannot be written: a limit on file sizes, a full or a failing disk. Check `ulimit -f`, the free"
        " space and the kernel's log; nothing that was committed is lost.",
        30,
    ),
    (
        "readonly database",
        "The database cannot be written right now. Nothing was changed; try again later.",
        "{database} may not be written by the user of this process. Correct the owner of the file and of its folder.",
        30,
    ),
)


def find_outage(app: Flask, error: BaseException) -> Outage | None:
    """Return what ``error`` means when it is an outage of the database, else None."""
    if isinstance(error, exc.TimeoutError):
        return Outage(
            "The database is busy. Nothing was changed; try again.",
            "Every connection of the pool is in use. Look for requests that hold get_db() while they wait.",
            1,
        )
    if not isinstance(error, exc.OperationalError):
        return None
    url = sa.make_url(app.extensions["myapp.config"].database_url)
    text = str(error.orig).lower()
    for words, detail, remedy, retry_after in _SQLITE:
        if words in text:
            return Outage(detail, remedy.format(database=url.database), retry_after)
    return None
