"""Messages from a pair of templates: a text, and the same as HTML."""

from __future__ import annotations

import contextvars
import re
import typing as t

from flask import stream_template
from jinja2 import TemplateNotFound

from ...errors import MailError
from ...tasks import get_task, pushed_context

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask
    from flask_mail import Message
    from jinja2 import Environment

    from .rendering import AddressLike

SUBJECT = re.compile(r"\s*Subject:[ \t]*([^\r\n]*)(?:\r?\n)*")
LINE_BREAK = re.compile(r"[\r\n]")
#: Where an app keeps the environment of the texts of its mails.
ENVIRONMENT = "myapp.mail.texts"


class Printed(str):
    """What an expression has put into a text, ``{{ … }}``, and not the author of the template."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return itself: Jinja takes the text of whatever it prints."""
        return self


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
    parts, html = contextvars.Context().run(_render, app, template, context)
    line, text = _split(parts)
    if subject is None:
        if line is None:
            raise MailError(
                f"{template}.txt says no subject. Let it begin with a line like Subject: Welcome, or pass subject=…."
            )
        subject = line
    return Message(subject, recipients=list(recipients), body=text, html=html, sender=t.cast("t.Any", sender))


def _split(parts: list[str]) -> tuple[str | None, str]:
    """Return the subject that the first line says, or None, and the text below it.

    The line ends where the template ends it. A line break in what was printed is a part of the subject, which cannot be
    sent then: what follows it is not made a part of the text in silence.
    """
    text = "".join(parts)
    lines = "".join(LINE_BREAK.sub(" ", part) if isinstance(part, Printed) else part for part in parts)
    match = SUBJECT.match(lines)
    if match is None:
        return None, text
    return text[match.start(1) : match.end(1)].strip(" \t"), text[match.end() :]


def _render(app: Flask, template: str, context: dict[str, t.Any]) -> tuple[list[str], str | None]:
    with pushed_context(app):
        text = _render_one(_texts(app), f"{template}.txt", context)
        if text is None:
            raise MailError(
                f"There is no template {template}.txt. Each mail has a text, for those who read no HTML; put it beside"
                f" the other templates."
            )
        html = _render_one(app.jinja_env, f"{template}.html", context)
        return text, None if html is None else "".join(html)


def _texts(app: Flask) -> Environment:
    """Return the app's own environment, but for what an expression prints: that is marked."""
    if ENVIRONMENT not in app.extensions:
        inner = app.jinja_env.finalize or (lambda value: value)

        def finalize(value: t.Any) -> t.Any:
            value = inner(value)
            # What is markup stays it, where an application escapes texts as well.
            return value if hasattr(value, "__html__") else Printed(value)

        # Another environment has another cache: what is compiled without the marks has none.
        app.extensions[ENVIRONMENT] = app.jinja_env.overlay(finalize=finalize, bytecode_cache=None)
    return t.cast("Environment", app.extensions[ENVIRONMENT])


def _render_one(environment: Environment, name: str, context: dict[str, t.Any]) -> list[str] | None:
    try:
        return list(stream_template(environment.get_template(name), **context))
    except TemplateNotFound as error:
        # Not one that this one includes.
        if error.name != name:
            raise
        return None
