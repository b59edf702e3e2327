"""Handing a mail in: what comes of it, for each recipient.

The module that does it is imported at the first mail: smtplib and Flask-Mail are 7 ms of every other start.
"""

from __future__ import annotations

import typing as t
from importlib import import_module

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .server import MailServer

#: What a server says is kept up to this length.
TEXT_LENGTH = 500
UNSET = "MYAPP_MAIL_URL is not set where the jobs run, so that there is no server to ask."


class Reply(t.NamedTuple):
    """What became of one recipient: the code of the server's reply, None when there was none, and its text."""

    code: int | None
    text: str

    @property
    def is_accepted(self) -> bool:
        """Whether the server has taken the mail for this recipient."""
        return self.code is not None and 200 <= self.code < 300

    @property
    def is_refused_for_good(self) -> bool:
        """Whether another attempt would meet the same refusal (:rfc:`5321#section-4.2.1`)."""
        return self.code is not None and self.code >= 500


def transfer(server: MailServer | None, sender: str, recipients: Sequence[str], content: bytes) -> dict[str, Reply]:
    """Hand ``content`` in for ``recipients``, once, and return what became of each; see :func:`.smtp.attempt`."""
    if server is None:
        return dict.fromkeys(recipients, Reply(None, UNSET))
    smtp = import_module(".smtp", __package__)
    return t.cast("dict[str, Reply]", smtp.attempt(server, sender, recipients, content))


def probe(server: MailServer, sender: str, recipient: str, content: bytes, report: Callable[[str], None]) -> Reply:
    """Do what :func:`transfer` does, for one recipient and somebody who watches.

    :param report: is told each step as it is done.
    :raises MailServerError: when the server could not be asked.
    """
    smtp = import_module(".smtp", __package__)
    return t.cast("Reply", smtp.probe(server, sender, recipient, content, report))


def plain(text: str) -> str:
    """Return what somebody else said, in one line, without control characters, not too long."""
    return "".join(sign if sign.isprintable() else " " for sign in text)[:TEXT_LENGTH].strip()
