"""Users and their tokens."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from ..data import Model, UTCDateTime
from .addresses import address_key, normalize_address

LABEL_LENGTH = 100


def _now() -> datetime:
    return datetime.now(UTC)


class User(Model):
    """A person, or a program that acts like one.

    Assigning ``address`` normalises it, and is a ValueError when it is none. Two users whose addresses differ in case
    only cannot be stored.
    """

    __tablename__ = "users"
    # An id is never given to somebody else, whatever still refers to it.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    __public__ = ("id", "address", "active", "created")

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(sa.String(254))
    address_key: Mapped[str] = mapped_column(sa.String(762), unique=True)
    password_hash: Mapped[str] = mapped_column(sa.String(255))
    #: Whether its tokens and its password open anything.
    active: Mapped[bool] = mapped_column(default=True)
    created: Mapped[datetime] = mapped_column(UTCDateTime, default=_now)

    @validates("address")
    def _set_address(self, _name: str, text: str) -> str:
        address = normalize_address(text)
        self.address_key = address_key(address)
        return address

    def __repr__(self) -> str:
        return f"<User {self.id}>"


class Token(Model):
    """A Bearer token (:rfc:`6750`): what is kept of it is the SHA-256, by which it is found.

    It has no column for its last use: every request that reads would have to write.
    """

    __tablename__ = "users_tokens"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    __public__ = ("id", "label", "scopes", "created", "expires", "revoked")

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    #: The names of its scopes with blanks between them, as :rfc:`6749#section-3.3` writes them.
    scope: Mapped[str] = mapped_column(sa.Text, default="")
    label: Mapped[str] = mapped_column(sa.String(LABEL_LENGTH), default="")
    created: Mapped[datetime] = mapped_column(UTCDateTime, default=_now)
    expires: Mapped[datetime | None] = mapped_column(UTCDateTime)
    revoked: Mapped[datetime | None] = mapped_column(UTCDateTime)

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)

    @property
    def scopes(self) -> list[str]:
        """What it may be used for, sorted."""
        return self.scope.split()

    @property
    def is_good(self) -> bool:
        """Whether it is neither revoked nor expired, and its user is active."""
        return self.revoked is None and (self.expires is None or self.expires > _now()) and self.user.active

    def revoke(self) -> None:
        """Refuse it from the commit on."""
        self.revoked = self.revoked or _now()
