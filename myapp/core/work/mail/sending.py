"""``send_mail``: a mail is a row of the task's transaction, and a job delivers it after the commit."""

from __future__ import annotations

import logging
import typing as t
from collections import Counter
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import undefer

from ...config import get_config
from ...data import get_db
from ...tasks import get_task, new_id, open_task
from ..functions import job
from ..models import Job
from ..progress import find_attempt
from ..state import get_state
from .models import OPEN, Mail, Recipient
from .rendering import render
from .server import find_sender, find_server
from .transfer import Reply

if t.TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask
    from flask_mail import Message

    from ..link import Link
    from .transfer import Transfer

logger = logging.getLogger("myapp.mail")

#: How long after each failed attempt the next one comes; after the last of them a recipient is given up.
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 480))
#: A worker ends an attempt that is not over this long after its own end: a name that nobody looks up, say.
GRACE_SECONDS = 60.0
#: How many mails without a job are settled in one go: the worker that does it takes no jobs meanwhile.
MAXIMUM_ABANDONED = 100
#: Mails that somebody waits for and no job hands in. As text, as the statements of the ledger are: it is asked by every
#: worker at its start.
ABANDONED = """
    SELECT id FROM mails
    WHERE id IN (SELECT mail_id FROM mails_recipients WHERE state IN ('queued', 'retry'))
    AND NOT EXISTS (
        SELECT 1 FROM jobs WHERE unique_key = 'myapp.deliver_mail ' || mails.id || ' ' || mails.attempts
        AND state IN ('ready', 'running') AND unique_key IS NOT NULL
    )
"""
CANCELLED = "The job that was to hand the mail in was cancelled."
FAILED = "The job that was to hand the mail in failed, or lost its worker, in each of its tries: flask jobs list."


def send_mail(message: Message) -> str:
    """Queue ``message`` with the commit of the current task, and return the id of the mail.

    It is rendered now: what is wrong with it fails the task, and what changes later does not change it. After the
    commit a job hands it in, and again where that fails, until each recipient has it or is given up; a rollback takes
    it back. Without ``MYAPP_MAIL_URL`` it is stored only: ``flask mail show ID``.

    :param message: a :class:`flask_mail.Message`; it stays as it is, and may be changed and sent again.
    :raises NoTaskError: outside of a task.
    :raises ValidationError: when an address, a header or an attachment cannot be sent as it is.
    :raises MailError: without recipients.
    """
    task = get_task()
    task.check_open("send_mail()")
    config, now = task.app.config, get_state(task.app).clock.now()
    mail_id = new_id()
    # Before the first query: nobody waits for the write lock while templates and attachments become bytes.
    rendered = render(message, mail_id=mail_id, default_sender=find_sender(config), now=now.timestamp())
    is_captured = find_server(config) is None
    mail = Mail(
        id=mail_id,
        message_id=rendered.message_id,
        subject=rendered.subject,
        sender=rendered.sender.spec,
        content=rendered.content,
        created=now,
        task_id=task.id,
        attempts=0,
    )
    mail.recipients = [
        Recipient(address=address, state="captured" if is_captured else "queued") for address in rendered.recipients
    ]
    get_db().add(mail)
    get_db().flush()
    if not is_captured:
        queue_attempt(mail_id, 0)
    elif not (get_config(task.app).is_development or task.app.testing):
        logger.warning("Mail %s is captured and nobody gets it, because MYAPP_MAIL_URL is not set.", mail_id)
    return mail_id


def queue_attempt(mail_id: str, attempts: int, run_at: datetime | None = None) -> None:
    """Let a worker hand the mail in, after the commit; while the same attempt waits or runs, this changes nothing."""
    timeout = get_task().app.config["MYAPP_MAIL_ATTEMPT_SECONDS"] + GRACE_SECONDS
    # Nobody's: whoever caused the mail is not to see who gets it, and not to take it back.
    deliver_mail.with_options(run_at=run_at, timeout=timeout, on_behalf=False).enqueue(mail_id, attempts)


def retry_mail(mail: Mail) -> int:
    """Hand ``mail`` in once more after the commit, for everybody who does not have it; return for how many.

    Those who were given up get all of their attempts again. Captured mail stays captured.
    """
    # An attempt that ends at this moment either sees what is written here, or is seen here.
    get_db().refresh(mail, with_for_update=True)
    waiting = [recipient for recipient in mail.recipients if recipient.state in (*OPEN, "dead")]
    for recipient in waiting:
        if recipient.state == "dead":
            recipient.state, recipient.attempts, recipient.settled = "retry", 0, None
    if waiting:
        queue_attempt(mail.id, mail.attempts)
        _hurry(mail)
    return len(waiting)


def _hurry(mail: Mail) -> None:
    """Make due the attempt that waits for its time, if it was there before."""
    now = get_state(get_task().app).clock.now()
    waits = sa.update(Job).where(Job.unique_key == _job_key(mail), Job.state == "ready", Job.run_at > now)
    get_db().execute(waits.values(run_at=now))


def _job_key(mail: Mail) -> str:
    """Return what the ledger has as the unique key of the next attempt."""
    return f"{deliver_mail.name} {_unique_key(mail.id, mail.attempts)}"


def _unique_key(mail_id: str, attempts: int) -> str:
    return f"{mail_id} {attempts}"


@job(name="myapp.deliver_mail", queue="mail", unique_key=_unique_key)
def deliver_mail(mail_id: str, attempts: int) -> dict[str, int]:
    """Hand a mail in once, for every recipient that is open, and write down what became of each.

    :param attempts: how often the mail was handed in before; an attempt that somebody else has made is not made again.
    :return: how many recipients are in which state by it.
    """
    app = get_task().app
    # No transaction is open while the server is waited for.
    with open_task(app, read_only=True):
        mail = get_db().get(Mail, mail_id, options=[undefer(Mail.content)])
    if mail is None or mail.attempts != attempts:
        logger.info("Mail %s was handed in by somebody else, or is gone.", mail_id)
        return {}
    addresses = [recipient.address for recipient in mail.recipients if recipient.state in OPEN]
    if not addresses:
        return {}
    transfer: Transfer = app.extensions["myapp.mail"]
    replies = transfer(find_server(app.config), mail.sender, addresses, mail.content)

    def write_down() -> list[str]:
        # By itself, so that it can be repeated: what the server has taken would be handed in again.
        with open_task(app):
            return _write_down(mail_id, attempts, replies)

    attempt = find_attempt()
    return dict(Counter(write_down() if attempt is None else attempt.insist(write_down)))


def _write_down(mail_id: str, attempts: int, replies: dict[str, Reply]) -> list[str]:
    """Settle the recipients, and queue the next attempt if somebody needs one; return the states."""
    db, now = get_db(), get_state(get_task().app).clock.now()
    counted = db.execute(
        sa.update(Mail).where(Mail.id == mail_id, Mail.attempts == attempts).values(attempts=attempts + 1)
    )
    if t.cast("sa.CursorResult[t.Any]", counted).rowcount != 1:
        logger.warning("Mail %s was handed in by two workers; what the other one wrote down stands.", mail_id)
        return []
    waiting = sa.select(Recipient).where(Recipient.mail_id == mail_id, Recipient.state.in_(OPEN))
    recipients = db.scalars(waiting).all()
    asked = [recipient for recipient in recipients if recipient.address in replies]
    for recipient in asked:
        settle(recipient, replies[recipient.address], now)
    # Who was opened again meanwhile has not been asked, and has no time to wait for.
    next_at = [recipient.next_at or now for recipient in recipients if recipient.state in OPEN]
    if next_at:
        queue_attempt(mail_id, attempts + 1, min(next_at))
    return [recipient.state for recipient in asked]


def settle(recipient: Recipient, reply: Reply, now: datetime) -> None:
    """Write down what became of one recipient in one attempt."""
    recipient.attempts += 1
    recipient.reply = reply.text
    recipient.next_at = None
    if reply.is_accepted:
        recipient.state, recipient.settled = "sent", now
    elif reply.is_refused_for_good or recipient.attempts > len(RETRY_AFTER):
        _give_up(recipient, reply.text, now)
    else:
        recipient.state, recipient.next_at = "retry", now + RETRY_AFTER[recipient.attempts - 1]


def _give_up(recipient: Recipient, why: str, now: datetime) -> None:
    recipient.state, recipient.settled, recipient.next_at, recipient.reply = "dead", now, None, why
    logger.warning(
        "Mail %s is given up for one recipient: %s See: flask mail show %s", recipient.mail_id, why, recipient.mail_id
    )


def settle_abandoned(app: Flask, link: Link) -> None:
    """Settle the recipients who wait for a mail that no job hands in any more; workers do it now and then.

    A job that was cancelled gives them up. One that is out of tries, because it ended its workers say, was an attempt
    that failed: the next one comes in its time, and after the last one they are given up.
    """
    for (mail_id,) in link.read(f"{ABANDONED} LIMIT {MAXIMUM_ABANDONED}"):
        with open_task(app):
            _settle_abandoned(mail_id)


def _settle_abandoned(mail_id: str) -> None:
    db, now = get_db(), get_state(get_task().app).clock.now()
    mail = db.get(Mail, mail_id, with_for_update=True)
    # Another worker may have been faster, or somebody has asked for another attempt meanwhile.
    if mail is None or db.scalar(sa.text(f"{ABANDONED} AND mails.id = :id"), {"id": mail_id}) is None:
        return
    waiting = [recipient for recipient in mail.recipients if recipient.state in OPEN]
    last = sa.select(Job.state).where(Job.unique_key == _job_key(mail)).order_by(Job.finished.desc()).limit(1)
    if db.scalar(last) == "cancelled":
        for recipient in waiting:
            _give_up(recipient, CANCELLED, now)
    else:
        replies = {recipient.address: Reply(None, FAILED) for recipient in waiting}
        _write_down(mail.id, mail.attempts, replies)
