"""What is to be sent, and what became of it: one row for each mail, and one for each of its recipients."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ...data import Model, UTCDateTime

#: What a recipient can be. ``queued`` waits for the first attempt, ``retry`` for another one; ``dead`` was refused for
#: good or too often, and waits for a person; ``captured`` was stored while no server was set, and is never sent.
STATES = ("queued", "retry", "sent", "dead", "captured")
#: Those for whom there is something to be done.
OPEN = ("queued", "retry")

_IS_OPEN = sa.text("state IN ('queued', 'retry')")


class Mail(Model):
    """A mail as it is sent, byte by byte, at every attempt."""

    __tablename__ = "mails"
    __public__ = ("id", "message_id", "subject", "sender", "created", "task_id", "attempts", "state", "recipients")

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    message_id: Mapped[str] = mapped_column(sa.String(320))
    subject: Mapped[str] = mapped_column(sa.Text)
    #: The address that the server hears, and that gets what bounces.
    sender: Mapped[str] = mapped_column(sa.String(254))
    content: Mapped[bytes] = mapped_column(sa.LargeBinary, deferred=True, deferred_raiseload=True)
    created: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    #: The task that queued it.
    task_id: Mapped[str] = mapped_column(sa.String(64))
    #: How often it was handed in. Whoever hands it in once more counts it, and is fenced off when somebody else has.
    attempts: Mapped[int] = mapped_column(default=0)

    recipients: Mapped[list[Recipient]] = relationship(
        back_populates="mail", order_by="Recipient.id", lazy="selectin", cascade="all, delete-orphan"
    )

    @property
    def state(self) -> str:
        """What became of it, in one word: the state of the recipient that is furthest from being served."""
        states = {recipient.state for recipient in self.recipients}
        return next(state for state in ("queued", "retry", "dead", "sent", "captured") if state in states)

    def __repr__(self) -> str:
        return f"<Mail {self.id}>"


class Recipient(Model):
    """One mailbox that a mail goes to; every attempt settles each one for itself."""

    __tablename__ = "mails_recipients"
    __table_args__ = (
        sa.UniqueConstraint("mail_id", "address"),
        # Those who wait are few, and are looked for again and again.
        sa.Index("ix_mails_recipients_open", "mail_id", sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
    )
    __public__ = ("address", "state", "attempts", "next_at", "settled", "reply")

    id: Mapped[int] = mapped_column(primary_key=True)
    mail_id: Mapped[str] = mapped_column(sa.ForeignKey(Mail.id, ondelete="CASCADE"))
    address: Mapped[str] = mapped_column(sa.String(254))
    state: Mapped[str] = mapped_column(sa.String(8), default="queued")
    attempts: Mapped[int] = mapped_column(default=0)
    #: When it is tried again.
    next_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: When it was sent, or given up.
    settled: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: What the server said last, or why it could not be asked.
    reply: Mapped[str] = mapped_column(sa.Text, default="")

    mail: Mapped[Mail] = relationship(back_populates="recipients")

    def __repr__(self) -> str:
        return f"<Recipient {self.id} {self.state}>"
