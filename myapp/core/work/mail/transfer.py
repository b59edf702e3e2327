"""Handing a mail in: what comes of it, for each recipient.

The module that does it is imported at the first mail: smtplib and Flask-Mail are 7 ms of every other start.
"""

from __future__ import annotations

import time
import typing as t
from importlib import import_module

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .server import MailServer

#: What a server says is kept up to this length.
TEXT_LENGTH = 500
UNSET = "MYAPP_MAIL_URL is not set where the jobs run, so that there is no server to ask."
RESTING = "The server has just let another mail wait in vain, and was not asked."
#: For how many times as long as it let us wait a server is left alone.
REST = 2
#: What takes no longer than this has not let anybody wait.
PATIENCE_SECONDS = 0.2


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


class Transfer:
    """Where the mail of one app is handed in; it keeps workers from waiting in vain one mail after the other.

    A server that is silent costs an attempt all of its time. Afterwards nobody asks it for twice as long, so that a
    worker has two thirds of its time for other jobs, however many mails are due. One that refuses at once costs nothing
    and is asked for each mail.
    """

    def __init__(self) -> None:
        self._asked_again_at = 0.0

    def __call__(
        self, server: MailServer | None, sender: str, recipients: Sequence[str], content: bytes
    ) -> dict[str, Reply]:
        """Hand ``content`` in for ``recipients``, once, and return what became of each; see :func:`.smtp.attempt`."""
        began = time.monotonic()
        if server is None or began < self._asked_again_at:
            return dict.fromkeys(recipients, Reply(None, UNSET if server is None else RESTING))
        smtp = import_module(".smtp", __package__)
        replies: dict[str, Reply] = smtp.attempt(server, sender, recipients, content)
        if all(reply.code is None for reply in replies.values()):
            ended = time.monotonic()
            if ended - began > PATIENCE_SECONDS:
                self._asked_again_at = ended + REST * (ended - began)
        return replies


def probe(server: MailServer, sender: str, recipient: str, content: bytes, report: Callable[[str], None]) -> Reply:
    """Do what :class:`Transfer` does, for one recipient and somebody who watches.

    :param report: is told each step as it is done.
    :raises MailServerError: when the server could not be asked.
    """
    smtp = import_module(".smtp", __package__)
    return t.cast("Reply", smtp.probe(server, sender, recipient, content, report))


def plain(text: str) -> str:
    """Return what somebody else said, in one line, without control characters, not too long."""
    return "".join(sign if sign.isprintable() else " " for sign in text)[:TEXT_LENGTH].strip()
