"""A log record as a text for Slack: short, without secrets, and unable to call anybody."""

from __future__ import annotations

import logging
import re
import typing as t

from flask import has_request_context, request

from myapp import hide_passwords, task

if t.TYPE_CHECKING:
    from collections.abc import Iterable

MESSAGE_LENGTH, TRACEBACK_LENGTH = 1_000, 2_000
#: What is looked through for secrets at most; it is much more than what is sent.
READ_LENGTH = 20_000

_WORD = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|(?:api|access|private)[_-]?key|signature|session|credential)"
_VALUE = r"""(?:\\?"[^"\r\n]*"|\\?'[^'\r\n]*'|[^\s"',;&)}\]]+)"""
#: Secrets beside those of URLs, and what is left of them. No pattern goes over a long line more than once.
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A header, to the end of its line.
    (re.compile(r"(?i)((?:authorization|cookie)\\?[\"']?\s{0,3}[:=])[^\r\n]+"), r"\1 ***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 ***"),
    (re.compile(rf"(?i)({_WORD}[\w-]{{0,40}}\\?[\"']?\s{{0,3}}(?:=>|[=:])\s{{0,3}}){_VALUE}"), r"\1***"),
    # Tokens and hashes that can be told by how they begin.
    (re.compile(r"\bmyapp_[\w-]{43}|\b(?:xox[a-z]-|gh[a-z]_|sk-)[\w-]{16,}|\beyJ[\w-]{8,}\.[\w.-]+"), "***"),
    (re.compile(r"\$(?:argon2|2[aby]|pbkdf2|scrypt)[\w$=,./+-]+"), "***"),
    (re.compile(r"hooks\.slack\.com/\S+"), "hooks.slack.com/***"),
)


def render(record: logging.LogRecord, name: str) -> str:
    """Return the text of one alert: level, application, message, where, and the end of the traceback.

    :param name: what the application is called there.
    """
    lines = [f"*{record.levelname}* {_plain(name)}: {_plain(record.getMessage(), MESSAGE_LENGTH)}"]
    lines.append(_plain(" · ".join(_iter_places(record))))
    if record.exc_info and record.exc_info[0] is not None:
        lines.append(f"```{_plain(logging.Formatter().formatException(record.exc_info), -TRACEBACK_LENGTH)}```")
    return "\n".join(lines)


def redact(text: str) -> str:
    """Return ``text`` without what looks like a secret; rather too little is left than too much."""
    text = hide_passwords(text)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _plain(text: str, length: int = MESSAGE_LENGTH) -> str:
    """Return the beginning of ``text``, or its end for a negative length, as Slack shows it literally."""
    # Redacted before it is cut: half a secret is not found any more.
    text = redact(text[:READ_LENGTH] if length > 0 else text[-READ_LENGTH:])
    if len(text) > abs(length):
        text = f"{text[:length]}…" if length > 0 else f"…{text[length:]}"
    for char, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("```", "'''")):
        text = text.replace(char, instead)
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def _iter_places(record: logging.LogRecord) -> Iterable[str]:
    yield f"{record.name} ({record.filename}:{record.lineno})"
    if has_request_context():
        # The rule, not the path: what is in its place may be a token.
        yield f"{request.method} {request.url_rule or 'no rule'}"
        yield f"request {task.id}"
