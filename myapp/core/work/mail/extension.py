"""What Flask-Mail looks for in ``app.extensions["mail"]``."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .sending import send_mail

if t.TYPE_CHECKING:
    from flask_mail import Message


@dataclass(frozen=True)
class MailExtension:
    """Stands where Flask-Mail keeps its settings: messages find the sender, extensions that send find :meth:`send`.

    Those send with the commit of the task then, as :func:`send_mail` does.
    """

    default_sender: str
    #: Flask-Mail would write ``ue.txt`` for ``ü.txt``.
    ascii_attachments: bool = False

    def send(self, message: Message) -> None:
        """Queue ``message`` with the commit of the task."""
        send_mail(message)

    def send_message(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Queue the message that Flask-Mail makes of the arguments."""
        from flask_mail import Message  # 5 ms, for those who send.

        send_mail(Message(*args, **kwargs))
