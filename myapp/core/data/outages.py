"""Errors of the database that are nobody's mistake: what to tell the client, and what the operator."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from sqlalchemy import exc

from . import sqlite

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


#: What SQLite's result codes mean.
_SQLITE = (
    (
        sqlite.BUSY,
        Outage(
            "The database is busy. Nothing was changed; try again.",
            "Another process holds the write lock of {database}. Find it (for example with fuser) and let it finish.",
            1,
        ),
    ),
    (
        sqlite.CANTOPEN,
        Outage(
            "The database cannot be opened right now. Nothing was changed; try again later.",
            "{database} cannot be opened. Check that the file and its folder exist and belong to the user of this"
            " process.",
            30,
        ),
    ),
    (
        sqlite.FULL,
        Outage(
            "The database cannot be written right now. Nothing was changed; try again later.",
            "{database} cannot grow: the disk or a quota is full. Free some space; nothing that was committed is lost.",
            30,
        ),
    ),
    (
        sqlite.IOERR,
        Outage(
            "The database cannot be written right now. Nothing was changed; try again later.",
            "{database} cannot be written: a limit on file sizes, a full or a failing disk. Check `ulimit -f`, the free"
            " space and the kernel's log; nothing that was committed is lost.",
            30,
        ),
    ),
    (
        sqlite.READONLY,
        Outage(
            "The database cannot be written right now. Nothing was changed; try again later.",
            "{database} may not be written by the user of this process. Correct the owner of the file and of its"
            " folder.",
            30,
        ),
    ),
)


#: What PostgreSQL says: the beginning of its SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_POSTGRESQL = (
    (
        ("40001", "40P01"),
        Outage(
            "Somebody else changed the same data at the same time. Nothing was changed; try again.",
            "Two transactions on {database} were in each other's way, and one had to give in. If it happens often, let"
            " them change rows in the same order, or lock what they are about to change.",
            1,
        ),
    ),
    (
        ("55P03",),
        Outage(
            "The database is busy. Nothing was changed; try again.",
            "A lock of {database} was not to be had in time. Look into pg_stat_activity for who holds it.",
            1,
        ),
    ),
    (
        ("53100",),
        Outage(
            "The database cannot be written right now. Nothing was changed; try again later.",
            "The disk of {database} is full. Free some space; nothing that was committed is lost.",
            30,
        ),
    ),
    (
        ("53300",),
        Outage(
            "The database is busy. Nothing was changed; try again.",
            "{database} takes no more connections. Raise max_connections, run fewer processes, or put a pooler in"
            " front.",
            5,
        ),
    ),
    (
        ("08", "28", "3D", "57P"),
        Outage(
            "The database cannot be reached right now. Nothing was changed; try again later.",
            "{database} refuses connections. Check that it runs, and MYAPP_DATABASE_URL.",
            30,
        ),
    ),
)
_UNREACHABLE = Outage(
    "The database cannot be reached right now. Nothing was changed; try again later.",
    "{database} cannot be reached. Check that it runs, the network in between, and MYAPP_DATABASE_URL.",
    30,
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
    if url.get_backend_name() == "postgresql":
        found = _find_of_postgresql(error)
        name = f"The database {url.database} at {url.host or 'the local socket'}"
    else:
        found = _find_of_sqlite(error)
        name = str(url.database)
    return None if found is None else found._replace(remedy=found.remedy.format(database=name))


def _find_of_sqlite(error: exc.OperationalError) -> Outage | None:
    code = sqlite.code_of(error.orig)
    return next((outage for known, outage in _SQLITE if known == code), None)


def _find_of_postgresql(error: exc.OperationalError) -> Outage | None:
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # Not the server's word but the driver's: it was not reached, or went away.
        return _UNREACHABLE
    return next((outage for states, outage in _POSTGRESQL if state.startswith(states)), None)
