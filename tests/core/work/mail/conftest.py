"""Apps that send, and the servers that they send to."""

from __future__ import annotations

import typing as t

import pytest

from myapp import get_db
from myapp.core.work import drain, get_state
from myapp.core.work.mail import Mail
from tests.servers.smtp import MailHost, run_smtp

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask

#: What became of each recipient: state, attempts, the last reply.
Fates = dict[str, tuple[str, int, str]]


@pytest.fixture
def smtp() -> Iterator[MailHost]:
    """Return an SMTP server that takes everything until it is told otherwise."""
    with run_smtp() as host:
        yield host


@pytest.fixture
def mail_app(make_db_app: Callable[..., CustomFlask], smtp: MailHost) -> CustomFlask:
    """Return an app that hands its mail to ``smtp``."""
    return make_db_app(
        MYAPP_MAIL_URL=smtp.url,
        MYAPP_MAIL_FROM="App <app@example.com>",
        MYAPP_MAIL_CONNECT_SECONDS=2.0,
        MYAPP_MAIL_ATTEMPT_SECONDS=2.0,
    )


@pytest.fixture
def deliver(mail_app: CustomFlask) -> Callable[..., list[str]]:
    """Return a function that lets seconds pass, runs the jobs that are due then, and gives the states they ended in."""

    def run(after_seconds: float = 0) -> list[str]:
        get_state(mail_app).clock.advance(after_seconds)
        return [ended.state for ended in drain(mail_app)]

    return run


@pytest.fixture
def fates(mail_app: CustomFlask) -> Callable[[str], Fates]:
    """Return a function that says what became of each recipient of a mail."""

    def read(mail_id: str) -> Fates:
        with mail_app.task(read_only=True):
            mail = get_db().get_one(Mail, mail_id)
            return {
                recipient.address: (recipient.state, recipient.attempts, recipient.reply)
                for recipient in mail.recipients
            }

    return read
