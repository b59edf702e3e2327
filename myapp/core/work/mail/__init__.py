"""Mail: rows of the task's transaction, handed in by jobs. See ``docs/mail.md``."""

from __future__ import annotations

import typing as t

from .extension import MailExtension
from .models import OPEN, STATES, Mail, Recipient
from .rendering import render
from .sending import RETRY_AFTER, queue_attempt, retry_mail, send_mail
from .server import MailServer, find_sender, find_server
from .templates import create_message
from .transfer import Reply, Transfer, probe

if t.TYPE_CHECKING:
    from flask import Flask
    from flask_mail import Message as Message

__all__ = [
    "OPEN",
    "RETRY_AFTER",
    "STATES",
    "Mail",
    "MailExtension",
    "MailServer",
    "Message",
    "Recipient",
    "Reply",
    "Transfer",
    "create_message",
    "find_sender",
    "find_server",
    "init_app",
    "probe",
    "queue_attempt",
    "render",
    "retry_mail",
    "send_mail",
]


def init_app(app: Flask) -> None:
    """Let Flask-Mail's messages find their sender; nothing is connected before a job hands a mail in.

    Reads ``MYAPP_MAIL_URL`` (the server; without it mail is stored only), ``MYAPP_MAIL_FROM``,
    ``MYAPP_MAIL_CONNECT_SECONDS``, ``MYAPP_MAIL_ATTEMPT_SECONDS`` and ``MYAPP_PUBLIC_URL`` (links in templates, the
    name of this machine).
    """
    app.extensions["myapp.mail"] = Transfer()
    app.extensions["mail"] = MailExtension(find_sender(app.config))


def __getattr__(name: str) -> t.Any:
    if name != "Message":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from flask_mail import Message  # 5 ms, for those who send.

    return Message
