"""Messages from a pair of templates: a text, and the same as HTML."""

from __future__ import annotations

import contextvars
import re
import typing as t

from flask import render_template
from jinja2 import TemplateNotFound

from ...errors import MailError
from ...tasks import get_task, pushed_context

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask
    from flask_mail import Message

    from .rendering import AddressLike

SUBJECT = re.compile(r"\s*Subject:[ \t]*([^\r\n]*)(?:\r?\n)*")


def create_message(
    template: str,
    /,
    *,
    recipients: Sequence[AddressLike],
    subject: str | None = None,
    sender: AddressLike | None = None,
    **context: t.Any,
) -> Message:
    """Return a message whose text is ``<template>.txt`` and whose HTML, if there is one, is ``<template>.html``.

    The templates know ``context``, and nothing of the request that may be going on: ``url_for`` gives links that begin
    with ``MYAPP_PUBLIC_URL``, whatever host the client has named. HTML is escaped, text is not.

    :param template: the name of both without ``.txt`` and ``.html``: ``"emails/welcome"``.
    :param subject: the subject; without it the first line of the text says it: ``Subject: Welcome, {{ name }}``.
    :raises MailError: when nobody says a subject, or there is no text.
    """
    from flask_mail import Message  # 5 ms, for those who send.

    app = get_task().app
    # An empty Context has no request: url_for would take the Host header of one, in imported macros too.
    text, html = contextvars.Context().run(_render, app, template, context)
    match = SUBJECT.match(text)
    if match is not None:
        text = text[match.end() :]
    if subject is None:
        if match is None:
            raise MailError(
                f"{template}.txt says no subject. Let it begin with a line like Subject: Welcome, or pass subject=…."
            )
        subject = match[1].strip()
    return Message(subject, recipients=list(recipients), body=text, html=html, sender=t.cast("t.Any", sender))


def _render(app: Flask, template: str, context: dict[str, t.Any]) -> tuple[str, str | None]:
    with pushed_context(app):
        text = _render_one(f"{template}.txt", context)
        if text is None:
            raise MailError(
                f"There is no template {template}.txt. Each mail has a text, for those who read no HTML; put it beside"
                f" the other templates."
            )
        return text, _render_one(f"{template}.html", context)


def _render_one(name: str, context: dict[str, t.Any]) -> str | None:
    try:
        return render_template(name, **context)
    except TemplateNotFound as error:
        # Not one that this one includes.
        if error.name != name:
            raise
        return None
