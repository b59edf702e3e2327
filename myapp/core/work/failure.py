"""Why a job did not end well, as the ledger keeps it."""

from __future__ import annotations

import json
import logging
import traceback
import typing as t
from dataclasses import asdict, dataclass

from werkzeug.exceptions import HTTPException

from ..errors import JobCancelledError, UnknownJobError, well_formed
from ..web import members_of

if t.TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("myapp.work")

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
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | None) -> Failure | None:
        """Return what :meth:`to_text` gave."""
        return None if text is None else cls(**json.loads(text))


def describe(error: BaseException) -> Failure:
    """Return what the ledger keeps of ``error``; whatever the exception does when it is looked at."""
    summary = f"{type(error).__qualname__}: {_shown(lambda: str(error))}"[:500]
    if isinstance(error, JobCancelledError):
        return Failure("cancelled", "Cancelled while it ran.")
    if isinstance(error, UnknownJobError):
        return Failure("unknown", str(error))
    if isinstance(error, HTTPException):
        return Failure("problem", summary, problem=_plain(members_of(error)))
    lines = _shown(lambda: "".join(traceback.format_exception(error)))
    return Failure("exception", summary, lines[-MAXIMUM_TRACEBACK:])


def _shown(show: Callable[[], str]) -> str:
    try:
        return well_formed(show())
    except Exception as error:  # noqa: BLE001
        return f"<it raised {type(error).__qualname__} when it was to be shown>"


def _plain(members: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the members of a problem as JSON has them; what JSON has not is left out, and named in the log."""
    plain = {}
    for key, value in members.items():
        try:
            text = json.dumps(value, default=str, ensure_ascii=False, allow_nan=False)
            plain[well_formed(key)] = json.loads(well_formed(text))
        except Exception as error:  # noqa: BLE001
            shown = _shown(lambda error=error: str(error))  # type: ignore[misc]
            logger.warning("The member %s of a problem is left out, because it is not JSON: %s", key, shown)
    return plain
