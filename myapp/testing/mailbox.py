"""What was sent, for tests: the mails that tasks have committed."""

from __future__ import annotations

import email
import email.policy
import re
import typing as t
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import undefer

from ..core.data import get_db
from ..core.work.mail import Mail

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from ..core.app import CustomFlask

LINK = re.compile(r"https?://[^\s<>\"')]+")


@dataclass(frozen=True)
class SentMail:
    """One mail, as it was rendered when it was sent."""

    id: str
    #: Everybody who gets it: To, Cc and Bcc.
    recipients: tuple[str, ...]
    #: ``captured`` where no server is set, else what became of it: ``queued``, ``retry``, ``sent``, ``dead``.
    state: str
    #: The message itself, for its headers and attachments.
    message: EmailMessage

    @property
    def subject(self) -> str:
        """Its subject."""
        return str(self.message["Subject"] or "")

    @property
    def sender(self) -> str:
        """Its From, with the name."""
        return str(self.message["From"])

    @property
    def text(self) -> str:
        """What it says as text; empty if it has none."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """What it says as HTML; empty if it has none."""
        return self._body("html")

    @property
    def links(self) -> list[str]:
        """The links of the text, in order: the one that activates an account, say."""
        return [link.rstrip(".,;:!?") for link in LINK.findall(self.text)]

    @property
    def attachments(self) -> dict[str, bytes]:
        """What is attached, by file name."""
        parts = self.message.iter_attachments()
        return {part.get_filename() or "": t.cast("bytes", part.get_payload(decode=True)) for part in parts}

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return "" if part is None else str(part.get_content()).replace("\r\n", "\n")


class Mailbox:
    """The mails of an app, the oldest first: ``mailbox.last.subject``, ``len(mailbox)``, ``for mail in mailbox``.

    It looks into the database each time, and sees what is committed: a mail of a task that rolled back is not there.
    """

    def __init__(self, app: CustomFlask) -> None:
        self.app = app

    @property
    def last(self) -> SentMail:
        """The newest one.

        :raises AssertionError: when there is none.
        """
        mails = self._read()
        assert mails, "No task has sent a mail and committed."  # noqa: S101
        return mails[-1]

    def to(self, address: str) -> list[SentMail]:
        """Return those that ``address`` gets."""
        return [mail for mail in self._read() if address in mail.recipients]

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[SentMail]:
        return iter(self._read())

    def __getitem__(self, index: int) -> SentMail:
        return self._read()[index]

    def _read(self) -> list[SentMail]:
        with self.app.task(read_only=True):
            query = sa.select(Mail).options(undefer(Mail.content)).order_by(Mail.created, Mail.id)
            return [
                SentMail(
                    mail.id,
                    tuple(recipient.address for recipient in mail.recipients),
                    mail.state,
                    email.message_from_bytes(mail.content, policy=email.policy.default),
                )
                for mail in get_db().scalars(query)
            ]
