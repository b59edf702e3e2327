"""One attempt: bounded in time, verified, with a reply for each recipient, whatever the server does."""

from __future__ import annotations

import socket
import time
import typing as t

import pytest

from myapp.core.work.mail import MailServer, Reply, Transfer
from myapp.core.work.mail.transfer import RESTING
from tests.servers.smtp import closed_port, make_certificate, run_raw, run_smtp

if t.TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.smtp import MailHost

CONTENT = b"Subject: s\r\n\r\n.a line that begins with a dot\r\n"
SECONDS = 0.4
THREE = ["a@example.com", "b@example.com", "c@example.com"]


def server(
    port: int, security: t.Any = "none", host: str = "127.0.0.1", login: str = "", seconds: float = 20
) -> MailServer:
    """Return how to reach a test's server."""
    username, password = login.split(":") if login else (None, None)
    return MailServer(host, port, security, username, password, "app.example", seconds, seconds)


def hand_in(to: MailServer, recipients: t.Sequence[str] = THREE, content: bytes = CONTENT) -> dict[str, Reply]:
    """Make one attempt, and see that it ends in time."""
    started = time.monotonic()
    replies = Transfer()(to, "app@example.com", recipients, content)
    assert time.monotonic() - started < to.attempt_seconds + 5
    assert sorted(replies) == sorted(recipients)
    return replies


def test_each_recipient_has_the_reply_that_is_about_it(smtp: MailHost) -> None:
    """Of three, one is taken, one refused for now and one for good; Flask-Mail alone drops what was said of the two."""
    smtp.replies = {"b@example.com": "451 later", "c@example.com": "550 no such mailbox"}

    replies = hand_in(server(smtp.port))

    assert replies == {
        "a@example.com": Reply(250, "250 queued as 1"),
        "b@example.com": Reply(451, "451 later"),
        "c@example.com": Reply(550, "550 no such mailbox"),
    }
    assert [reply.is_accepted for _, reply in sorted(replies.items())] == [True, False, False]
    assert [reply.is_refused_for_good for _, reply in sorted(replies.items())] == [False, False, True]
    assert smtp.received == [("app@example.com", ["a@example.com"], CONTENT)]


@pytest.mark.parametrize("too_many", ["452 4.5.3 too many recipients", "552 too many recipients"])
def test_those_beyond_the_limit_of_a_transaction_are_in_the_next(smtp: MailHost, too_many: str) -> None:
    """At once, over the same connection, as RFC 5321 has it; with them goes who is told the same for a full mailbox."""
    smtp.most_recipients, smtp.too_many = 2, too_many
    smtp.replies = {"e@example.com": "452 mailbox full", "c@example.com": "550 no such mailbox"}
    everybody = [f"{letter}@example.com" for letter in "abcdefg"]

    replies = hand_in(server(smtp.port), everybody)

    assert [received.recipients for received in smtp.received] == [
        ["a@example.com", "b@example.com"],
        ["d@example.com", "f@example.com"],
        ["g@example.com"],
    ]
    assert [replies[address].code for address in everybody] == [250, 250, 550, 250, 452, 250, 250]
    assert smtp.asked.count("c@example.com") == 1


@pytest.mark.parametrize("said", ["550 enough for one connection", None])
def test_what_goes_wrong_in_a_further_transaction_gives_nobody_up(smtp: MailHost, said: str | None) -> None:
    """The mail was taken once; those who are left are asked again later."""
    smtp.most_recipients = 1
    smtp.replies = {"further MAIL": said}

    replies = hand_in(server(smtp.port))

    assert [reply.code for reply in replies.values()] == [250, None, None]


def test_every_address_of_the_server_is_tried(smtp: MailHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a family that the system does not have, as IPv6 on some; one where nobody listens; then the one."""
    # No system has this family.
    unknown = (255, socket.SOCK_STREAM, 6, "", ("::1", smtp.port, 0, 0))
    refused, right = (
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (closed_port(), smtp.port)
    )
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: [unknown, refused, right])

    assert {reply.code for reply in hand_in(server(smtp.port, host="mail.example")).values()} == {250}


@pytest.mark.parametrize(
    ("step", "said", "code"),
    [
        ("EHLO", "421 too busy", None),
        ("EHLO", None, None),
        ("MAIL", "550 not from you", 550),
        ("MAIL", "530 log in first", None),
        ("b@example.com", "421 going down", None),
        ("b@example.com", None, None),
        ("DATA", "452 disk full", 452),
        ("DATA", "554 spam", 554),
        ("DATA", None, None),
    ],
)
def test_a_refusal_on_the_way_is_the_reply_for_all(
    smtp: MailHost, step: str, said: str | None, code: int | None
) -> None:
    """A verdict on the mail counts as one; what is between us and the server has no code, and is tried again."""
    smtp.replies = {step: said}

    replies = hand_in(server(smtp.port))

    assert [reply.code for reply in replies.values()] == [code, code, code]
    assert all((said or "closed the connection") in reply.text for reply in replies.values())
    assert smtp.received == []


def test_a_verdict_stands_when_the_connection_breaks_later(smtp: MailHost) -> None:
    """What was refused for good before a connection broke is not asked again."""
    smtp.replies = {"a@example.com": "550 gone", "b@example.com": None}

    replies = hand_in(server(smtp.port))

    assert [replies[address].code for address in THREE] == [550, None, None]


def test_a_reply_that_cannot_be_read_is_no_verdict(smtp: MailHost) -> None:
    """One of 9,000 letters: nobody is given up because of it."""
    smtp.replies = {"DATA": "554 " + "x" * 9_000}
    assert {reply.code for reply in hand_in(server(smtp.port)).values()} == {None}


def say_nothing(connection: socket.socket) -> None:
    """Take the connection; it stays open until the test has ended."""


def drip(connection: socket.socket) -> None:
    """Send a byte now and then, which would begin each time-out of the socket anew."""
    while True:
        connection.sendall(b"2")
        connection.settimeout(SECONDS / 8)
        try:
            connection.recv(1)
        except TimeoutError:
            continue


def never_end(connection: socket.socket) -> None:
    """Send a greeting that goes on for ever."""
    while True:
        connection.sendall(b"220-welcome\r\n" * 100)


def read_nothing(connection: socket.socket) -> None:
    """Take the commands, and leave the content where it is; the connection stays open."""
    lines = connection.makefile("rb")
    for answer in (b"220 x", b"250 x", b"250 x", b"250 x", b"354 go on"):
        connection.sendall(answer + b"\r\n")
        if not answer.startswith(b"354"):
            lines.readline()


@pytest.mark.parametrize("serve", [say_nothing, drip, never_end, read_nothing])
def test_a_server_that_takes_its_time_gets_no_more_than_its_time(serve: t.Any) -> None:
    """Silent, slow, endless, deaf: the attempt is over at its end, and everybody is tried again."""
    with run_raw(serve) as port:
        replies = hand_in(server(port, seconds=SECONDS), ["a@example.com"], CONTENT + b"x" * 76 * 400_000)

    assert replies["a@example.com"].code is None
    assert f"was not done after {SECONDS:g} s" in replies["a@example.com"].text


def test_what_is_no_smtp_server_is_no_refusal() -> None:
    """A wrong port is found out, and loses nothing."""
    with run_raw(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert hand_in(server(port), ["a@example.com"])["a@example.com"].code is None


def test_a_server_that_is_not_there_is_named() -> None:
    """Nobody listens, or the name is unknown: the text says which."""
    port = closed_port()
    assert hand_in(server(port), ["a@b"])["a@b"] == Reply(None, f"Nobody listens at 127.0.0.1:{port}.")
    assert "cannot be looked up" in hand_in(server(25, host="nobody.invalid"), ["a@b"])["a@b"].text


def test_without_a_server_everybody_waits() -> None:
    """A worker that was not told of the server gives nobody up at once."""
    assert "MYAPP_MAIL_URL" in Transfer()(None, "a@b", ["c@d"], b"")["c@d"].text


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_the_certificate_is_verified_before_anything_is_said(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody gets the password but the server that the URL names; Flask-Mail alone takes any certificate."""
    certificate, context = make_certificate(tmp_path, "127.0.0.1")
    login = "ann:secret"
    with run_smtp(tls=context, is_implicit=security == "tls", login=login) as host:
        unknown = hand_in(server(host.port, security, login=login))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        wrong_name = hand_in(server(host.port, security, "localhost", login=login))
        assert host.asked == []
        assert {reply.code for reply in (*unknown.values(), *wrong_name.values())} == {None}
        assert "self-signed certificate" in unknown["a@example.com"].text
        assert "mismatch" in wrong_name["a@example.com"].text

        assert hand_in(server(host.port, security, login=login))["a@example.com"].is_accepted
        wrong = hand_in(server(host.port, security, login="ann:guessed"))["a@example.com"]
        nobody = hand_in(server(host.port, security))["a@example.com"]

    assert wrong.code is None
    assert "535" in wrong.text
    assert "guessed" not in wrong.text
    assert nobody.code is None
    assert "530" in nobody.text


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_encryption_that_is_asked_for_is_never_left_out(smtp: MailHost, security: str) -> None:
    """A server without it, or somebody in between who hides it, gets no mail."""
    replies = hand_in(server(smtp.port, security))

    assert {reply.code for reply in replies.values()} == {None}
    assert smtp.asked == []


def test_a_goodbye_is_not_waited_for(smtp: MailHost) -> None:
    """What the server has taken is known at once: until it is written down, a crash would send it again."""
    smtp.pauses_at = "QUIT"
    started = time.monotonic()
    assert hand_in(server(smtp.port))["a@example.com"].is_accepted
    assert time.monotonic() - started < 5
    smtp.go_on()


def test_a_silent_server_does_not_let_one_mail_after_the_other_wait() -> None:
    """The second one is not handed in, and tried again like one that was; a server that says no is asked each time."""
    transfer = Transfer()
    with run_raw(say_nothing) as port:
        slow = server(port, seconds=SECONDS)
        assert "was not done" in transfer(slow, "app@b", ["a@b"], CONTENT)["a@b"].text
        started = time.monotonic()
        second = transfer(slow, "app@b", ["a@b"], CONTENT)["a@b"]
        assert time.monotonic() - started < SECONDS
        assert (second.code, second.text) == (None, RESTING)

    transfer, port = Transfer(), closed_port()
    for _ in range(3):
        assert "Nobody listens" in transfer(server(port), "app@b", ["a@b"], CONTENT)["a@b"].text
