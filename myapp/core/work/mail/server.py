"""Where mail is handed in: ``MYAPP_MAIL_URL``, taken apart."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from .rendering import DOMAIN

if t.TYPE_CHECKING:
    from flask import Config

#: How each scheme is encrypted, and the port that it has without one in the URL.
SCHEMES: dict[str, tuple[t.Literal["none", "starttls", "tls"], int]] = {
    "smtp": ("none", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("tls", 465),
}


@dataclass(frozen=True)
class MailServer:
    """The SMTP server that takes our mail, and how long it may take for it."""

    host: str
    port: int
    #: ``starttls`` and ``tls`` verify the certificate; none of the three is ever changed by what the server offers.
    security: t.Literal["none", "starttls", "tls"]
    username: str | None
    password: str | None = field(repr=False)
    #: How this machine introduces itself; smtplib would ask the DNS, which may take long.
    hello: str
    connect_seconds: float
    attempt_seconds: float

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def find_server(config: Config) -> MailServer | None:
    """Return the server of ``MYAPP_MAIL_URL``; None without one: then mail is captured."""
    if not config["MYAPP_MAIL_URL"]:
        return None
    # The configuration has checked it.
    parts = urlsplit(config["MYAPP_MAIL_URL"])
    security, port = SCHEMES[parts.scheme]
    return MailServer(
        host=parts.hostname or "",
        port=parts.port or port,
        security=security,
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        hello=public_host(config),
        connect_seconds=config["MYAPP_MAIL_CONNECT_SECONDS"],
        attempt_seconds=config["MYAPP_MAIL_ATTEMPT_SECONDS"],
    )


def find_sender(config: Config) -> str:
    """Return ``MYAPP_MAIL_FROM``, or an address at the host of ``MYAPP_PUBLIC_URL``."""
    host = public_host(config)
    return t.cast("str", config["MYAPP_MAIL_FROM"] or f"myapp@{host if DOMAIN.fullmatch(host) else 'localhost'}")


def public_host(config: Config) -> str:
    """Return the host of ``MYAPP_PUBLIC_URL`` as SMTP writes it: in ASCII, numbers in brackets."""
    host = urlsplit(config["MYAPP_PUBLIC_URL"]).hostname or "localhost"
    if ":" in host:
        return f"[IPv6:{host}]"
    if host.replace(".", "").isdigit():
        return f"[{host}]"
    # A name that is none in the DNS still serves on a network of one's own.
    return host if host.isascii() else "localhost"
