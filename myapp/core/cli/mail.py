"""``flask mail …``: what was sent, what became of it, and whether the server takes mail."""

from __future__ import annotations

import email
import email.policy
import json
import typing as t
from datetime import UTC, datetime

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.orm import undefer

from ..data import get_db
from ..errors import MailServerError, ValidationError
from ..tasks import new_id, untasked
from ..work import mail as mails
from .terminal import visible

if t.TYPE_CHECKING:
    from email.message import EmailMessage

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
SUBJECT_WIDTH = 50
NO_SERVER = (
    "MYAPP_MAIL_URL is not set: mail is captured, and nobody gets it. Set it to something like"
    " smtp+starttls://user:password@mail.example.com:587"
)


class _UnreachableError(click.ClickException):
    """Ends the command with 3: what it needs does not answer."""

    exit_code = 3


@click.group(cls=AppGroup)
def mail() -> None:
    """Look at mails, send them again, try the server."""


@mail.command("list")
@click.option("--state", type=click.Choice(mails.STATES), help="Only those with a recipient in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Only the newest.")
@AS_JSON
def list_mails(state: str | None, limit: int, as_json: bool) -> None:
    """List mails, the newest first."""
    query = sa.select(mails.Mail).order_by(mails.Mail.created.desc(), mails.Mail.id.desc()).limit(limit)
    if state is not None:
        query = query.where(mails.Mail.recipients.any(mails.Recipient.state == state))
    found = list(get_db().scalars(query))
    if as_json:
        _print_json({"mails": [_plain(each.to_dict("recipients")) for each in found]})
        return
    if not found:
        click.echo("There is no such mail." if state else "No mail was sent yet. A view sends one with send_mail(…).")
    for each in found:
        first, *others = [recipient.address for recipient in each.recipients]
        to = f"{first} and {len(others)} more" if others else first
        subject = _cut(each.subject or "(no subject)")
        click.echo(f"{each.id}  {each.created:%Y-%m-%d %H:%M:%S} UTC  {each.state:<8}  {to}  {subject}")


@mail.command("show")
@click.argument("mail_id", metavar="ID")
@click.option("--raw", is_flag=True, help="Print the message as it is sent, and nothing else.")
@AS_JSON
def show(mail_id: str, raw: bool, as_json: bool) -> None:
    """Show the mail with this ID: what became of each recipient, and what it says."""
    found = _find(mail_id)
    if raw:
        click.echo(found.content, nl=False)
        return
    message = email.message_from_bytes(found.content, policy=email.policy.default)
    text, html = _body(message, "plain"), _body(message, "html")
    files = [str(part.get_filename()) for part in message.iter_attachments()]
    if as_json:
        shown = {**found.to_dict("recipients"), "from": str(message["From"]), "text": text, "html": html}
        _print_json({"mail": _plain({**shown, "attachments": files})})
        return
    click.echo(f"Subject:    {found.subject}\nFrom:       {visible(str(message['From']))}")
    click.echo(f"Queued:     {found.created:%Y-%m-%d %H:%M:%S} UTC by task {found.task_id}")
    click.echo(f"Message-ID: {found.message_id}")
    for recipient in found.recipients:
        click.echo(f"To:         {recipient.address}: {_fate(recipient)}")
    if files:
        click.echo(f"Attached:   {visible(', '.join(files))}")
    click.echo(f"\n{visible(text)}")
    if html:
        click.echo(f"It has a part in HTML as well: flask mail show {mail_id} --raw, or --json.")


@mail.command("retry")
@click.argument("mail_id", metavar="ID")
def retry(mail_id: str) -> None:
    """Hand the mail with this ID in once more, now, for everybody who does not have it."""
    if mails.find_server(current_app.config) is None:
        raise click.ClickException(NO_SERVER)
    count = mails.retry_mail(_find(mail_id))
    if not count:
        raise click.ClickException(
            "Nobody waits for this mail: everybody has it, or it was captured. See it: flask mail show ID"
        )
    click.echo(f"A worker hands it in once more, for {count} recipient{'' if count == 1 else 's'}.")


# It waits for a server, and needs no database.
@mail.command("test")
@click.argument("address")
@untasked
def send_test(address: str) -> None:
    """Send a mail to ADDRESS now, without a job, and say what the server answers to each step.

    Ends with 0 when the server took it, 1 when something was refused, 3 when the server cannot be reached.
    """
    from flask_mail import Message  # 5 ms, for those who send.

    server = mails.find_server(current_app.config)
    if server is None:
        raise click.ClickException(NO_SERVER)
    sender = mails.find_sender(current_app.config)
    body = f"Sent by flask mail test. Links of this app begin with {current_app.config['MYAPP_PUBLIC_URL']}\n"
    message = Message("A test of the mail server", recipients=[address], sender=sender, body=body)
    try:
        now = datetime.now(UTC).timestamp()
        rendered = mails.render(message, mail_id=new_id(), default_sender=sender, now=now)
    except ValidationError as error:
        raise click.UsageError(error.message) from error
    try:
        reply = mails.probe(server, rendered.sender.spec, rendered.recipients[0], rendered.content, click.echo)
    except MailServerError as error:
        failure = _UnreachableError if error.is_unreachable else click.ClickException
        raise failure(str(error)) from error
    if not reply.is_accepted:
        raise click.ClickException(f"The server did not take the mail: {reply.text}")
    click.echo(f"{server} took the mail for {address}. Whether it arrives is up to the servers behind it.")


def _find(mail_id: str) -> mails.Mail:
    found = get_db().get(mails.Mail, mail_id, options=[undefer(mails.Mail.content)])
    if found is None:
        raise click.ClickException(f"There is no mail {mail_id}. Those there are: flask mail list")
    return found


def _fate(recipient: mails.Recipient) -> str:
    parts = [recipient.state]
    if recipient.attempts:
        parts.append(f"after {recipient.attempts} attempt{'' if recipient.attempts == 1 else 's'}")
    if recipient.next_at is not None:
        parts.append(f"again at {recipient.next_at:%Y-%m-%d %H:%M:%S} UTC")
    return ", ".join(parts) + (f": {recipient.reply}" if recipient.reply else "")


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content()).replace("\r\n", "\n")


def _cut(text: str) -> str:
    return text if len(text) <= SUBJECT_WIDTH else f"{text[: SUBJECT_WIDTH - 1]}…"


def _plain(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _print_json(document: dict[str, t.Any]) -> None:
    click.echo(json.dumps({"schema": 1, **document}, indent=2))
