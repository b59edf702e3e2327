"""Why a job did not end well, as the ledger keeps it."""

from __future__ import annotations

import json
import traceback
import typing as t
from dataclasses import asdict, dataclass

from werkzeug.exceptions import HTTPException

from ..errors import JobCancelledError, UnknownJobError
from ..web import members_of

#: What went wrong: an exception of the function; an answer that it raised (``ApiException``, ``abort``); a row that
#: names no function; the time that it was given; the worker that died under it; somebody who cancelled it.
Kind: t.TypeAlias = t.Literal["exception", "problem", "unknown", "timeout", "lost", "cancelled"]

MAXIMUM_TRACEBACK = 8_000


@dataclass(frozen=True)
class Failure:
    """The column ``error`` of a job.

    ``summary`` and ``traceback`` are for operators: they may say anything that the code says. A client may see
    ``problem``, which the function raised for it.
    """

    kind: Kind
    summary: str
    traceback: str | None = None
    #: The members of the problem (:rfc:`9457`) of an ``ApiException`` or of ``abort``.
    problem: dict[str, t.Any] | None = None

    def to_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_text(cls, text: str | None) -> Failure | None:
        """Return what :meth:`to_text` gave."""
        return None if text is None else cls(**json.loads(text))


def describe(error: BaseException) -> Failure:
    """Return what the ledger keeps of ``error``."""
    summary = f"{type(error).__qualname__}: {error}"[:500]
    if isinstance(error, JobCancelledError):
        return Failure("cancelled", "Cancelled while it ran.")
    if isinstance(error, UnknownJobError):
        return Failure("unknown", str(error))
    if isinstance(error, HTTPException):
        return Failure("problem", summary, problem=members_of(error))
    return Failure("exception", summary, "".join(traceback.format_exception(error))[-MAXIMUM_TRACEBACK:])
