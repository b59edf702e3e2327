"""``flask mail …`` says what was sent, what became of it, and whether the server takes mail."""

from __future__ import annotations

import json
import typing as t

import pytest

from myapp import Message, send_mail
from myapp.core.cli.offline import entries_of
from myapp.core.config import get_config
from myapp.core.work import drain, get_state
from myapp.core.work.mail import find_server
from tests.servers.smtp import MailHost, closed_port, run_raw, run_smtp

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    from myapp import CustomFlask

    Run = Callable[..., Result]

A, B = "a@example.com", "b@example.com"


@pytest.fixture
def smtp() -> Iterator[MailHost]:
    """Return an SMTP server that asks for a login."""
    with run_smtp(login="ann:secret-word") as host:
        yield host


@pytest.fixture
def mail_app(make_app: Callable[..., CustomFlask], smtp: MailHost) -> CustomFlask:
    """Return an app that hands its mail to ``smtp``."""
    return make_app(config={"MYAPP_MAIL_URL": f"smtp://ann:secret-word@127.0.0.1:{smtp.port}"})


@pytest.fixture
def run(mail_app: CustomFlask) -> Run:
    """Return a function that runs a command of the app."""
    return lambda *arguments: mail_app.test_cli_runner().invoke(args=["mail", *arguments])


def send(app: CustomFlask, *recipients: str, subject: str = "Hello", body: str = "World") -> str:
    """Send a mail in a task of its own."""
    with app.task():
        message = Message(subject, recipients=list(recipients), body=body, html="<p>World")
        message.attach("a.txt", "text/plain", "x")
        return send_mail(message)


def test_list_shows_what_became_of_each(mail_app: CustomFlask, smtp: MailHost, run: Run) -> None:
    """The newest first; one JSON document for programs, and only a state for those who look for it."""
    assert "No mail was sent yet" in run("list").output
    smtp.replies = {B: "550 no such mailbox"}
    first, second = send(mail_app, A, subject="x" * 80), send(mail_app, A, B)
    drain(mail_app)

    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines] == [second, first]
    assert "dead" in lines[0]
    assert f"{A} and 1 more" in lines[0]
    assert lines[1].endswith("x…")
    assert len(run("list", "--limit", "1").output.splitlines()) == 1
    assert [line.split()[0] for line in run("list", "--state", "dead").output.splitlines()] == [second]
    document = json.loads(run("list", "--json").output)
    assert document["schema"] == 1
    assert [mail["state"] for mail in document["mails"]] == ["dead", "sent"]
    assert [(r["address"], r["state"], r["reply"]) for r in document["mails"][0]["recipients"]] == [
        (A, "sent", "250 queued as 2"),
        (B, "dead", "550 no such mailbox"),
    ]


def test_show_says_all_of_one(mail_app: CustomFlask, smtp: MailHost, run: Run) -> None:
    """The fate of each recipient, the text, what is attached; the message itself with ``--raw``."""
    smtp.replies = {B: "451 later"}
    mail_id = send(mail_app, A, B)
    drain(mail_app)

    output = run("show", mail_id).output
    assert "Subject:    Hello" in output
    assert f"To:         {A}: sent, after 1 attempt: 250 queued as 1" in output
    assert f"To:         {B}: retry, after 1 attempt, again at 2" in output
    assert "World" in output
    assert "Attached:   a.txt" in output
    assert run("show", mail_id, "--raw").stdout_bytes == smtp.received[0].content
    shown = json.loads(run("show", mail_id, "--json").output)["mail"]
    assert (shown["text"].strip(), shown["html"].strip(), shown["attachments"]) == ("World", "<p>World", ["a.txt"])
    missing = run("show", "nonsense")
    assert missing.exit_code == 1
    assert "flask mail list" in missing.stderr


def test_a_mail_cannot_write_on_the_terminal(mail_app: CustomFlask, run: Run) -> None:
    """The text may be a stranger's: what would move the cursor or change the title is shown as a sign."""
    output = run("show", send(mail_app, A, body="be\x1b]0;evil\x07\x9b2Jfore\nafter")).output

    assert "\x1b" not in output
    assert "\x9b" not in output
    assert "fore\nafter" in output


def test_retry_asks_again_for_those_who_were_given_up(mail_app: CustomFlask, smtp: MailHost, run: Run) -> None:
    """And for nobody who has it; a second one, while the first waits, changes nothing."""
    smtp.replies = {B: "550 no such mailbox"}
    mail_id = send(mail_app, A, B)
    drain(mail_app)
    smtp.replies = {}

    for _ in range(2):
        result = run("retry", mail_id)
        assert result.exit_code == 0
        assert "for 1 recipient." in result.output
    drain(mail_app)

    assert smtp.asked == [A, B, B]
    nobody = run("retry", mail_id)
    assert nobody.exit_code == 1
    assert "Nobody waits" in nobody.stderr


def test_retry_does_not_wait_for_the_next_attempt(mail_app: CustomFlask, smtp: MailHost, run: Run) -> None:
    """One that is due in a minute, or in eight hours, is due now; and it is one attempt, not two."""
    smtp.replies = {A: "451 later", B: "550 no such mailbox"}
    mail_id = send(mail_app, A, B)
    drain(mail_app)
    smtp.replies = {}

    assert "for 2 recipients." in run("retry", mail_id).output
    assert [ended.state for ended in drain(mail_app)] == ["done"]

    get_state(mail_app).clock.advance(1_000_000)
    assert drain(mail_app) == []
    assert smtp.asked == [A, B, A, B]


def test_a_mail_is_tried_and_each_step_told(run: Run, smtp: MailHost) -> None:
    """Exit 0, and never the password."""
    result = run("test", A)

    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.output.splitlines()] == [
        *("Connected to 127.0.0.1", "Logged in as ann.", "Sender myapp@localhost", f"Recipient {A}", "Content"),
        "127.0.0.1",
    ]
    assert "secret-word" not in result.output + result.stderr
    assert len(smtp.received) == 1
    assert "No mail was sent yet" in run("list").output


@pytest.mark.parametrize(("step", "reply"), [(A, "550 no such mailbox"), ("DATA", "554 spam"), (A, "451 later")])
def test_a_refusal_is_exit_1(run: Run, smtp: MailHost, step: str, reply: str) -> None:
    """With the words of the server."""
    smtp.replies = {step: reply}

    result = run("test", A)

    assert result.exit_code == 1
    assert reply in result.stderr


def test_a_wrong_password_is_exit_1(make_app: Callable[..., CustomFlask], smtp: MailHost) -> None:
    """Somebody answered; neither password is printed."""
    app = make_app(config={"MYAPP_MAIL_URL": f"smtp://ann:guessed-word@127.0.0.1:{smtp.port}"})

    result = app.test_cli_runner().invoke(args=["mail", "test", A])

    assert result.exit_code == 1
    assert "does not let us in" in result.stderr
    assert "guessed-word" not in result.output + result.stderr


def test_a_server_that_cannot_be_reached_is_exit_3(make_app: Callable[..., CustomFlask]) -> None:
    """Nobody listens, or nobody answers in time."""
    with run_raw(lambda connection: None) as silent:
        for port in (closed_port(), silent):
            config = {"MYAPP_MAIL_URL": f"smtp://127.0.0.1:{port}", "MYAPP_MAIL_ATTEMPT_SECONDS": 0.2}
            result = make_app(config=config).test_cli_runner().invoke(args=["mail", "test", A])
            assert result.exit_code == 3, result.output


def test_without_a_server_the_remedy_is_named(cli_runner: t.Any) -> None:
    """Mail is captured then: nothing can be tried, or tried again."""
    for arguments in (["test", A], ["retry", "x"]):
        result = cli_runner.invoke(args=["mail", *arguments])
        assert result.exit_code == 1
        assert "MYAPP_MAIL_URL" in result.stderr


def test_what_is_no_address_is_a_usage_error(run: Run) -> None:
    """Exit 2, before anybody is asked."""
    assert run("test", "nobody").exit_code == 2


def test_the_password_is_nowhere(mail_app: CustomFlask) -> None:
    """Not in the listing of the settings, and not in what a debugger or a log shows of the server."""
    shown = {entry["key"]: entry["value"] for entry in entries_of(get_config(mail_app))}

    assert shown["MYAPP_MAIL_URL"].startswith("smtp://ann:***@127.0.0.1")
    assert "secret-word" not in str(shown)
    assert "secret-word" not in repr(find_server(mail_app.config))
