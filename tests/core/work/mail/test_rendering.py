"""A message becomes bytes that any server carries, and nothing of it can become another header."""

from __future__ import annotations

import email
import email.policy
import re
import typing as t

import pytest

from myapp import Message, ValidationError
from myapp.core.errors import MailError
from myapp.core.work.mail.rendering import Rendered, render

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from myapp import CustomFlask


@pytest.fixture(autouse=True)
def _context(app: CustomFlask) -> Iterator[None]:
    """Push an application context: Flask-Mail looks for its settings there."""
    with app.app_context():
        yield


def rendered(message: t.Any) -> Rendered:
    """Render a message of the mail 0190 at the beginning of 1970."""
    return render(message, mail_id="0190", default_sender="App <app@example.com>", now=0.0)


def made(**fields: t.Any) -> t.Any:
    """Return a message that is complete without ``fields``."""
    return Message(**{"subject": "s", "recipients": ["ann@example.com"], "body": "b", **fields})


def parsed(message: t.Any) -> EmailMessage:
    """Render a message, and read it as its reader does."""
    return t.cast("EmailMessage", email.message_from_bytes(rendered(message).content, policy=email.policy.default))


def test_a_reader_gets_what_was_written() -> None:
    """Letters of all kinds in the subject, the names, the headers, the bodies and the attachments."""
    message = made(
        subject="Grüße " * 30,
        recipients=[("Łukasz, Büro", "l@example.com"), "Ann <ann@bücher.example>"],
        cc=["cc@example.com"],
        bcc=["bcc@faß.example"],
        sender=("Ä, B", "ab@example.org"),
        reply_to="reply@example.com",
        body="Zeile eins\r\n.zwei\rdrei\n" + "ä" * 2_000,
        html="<p>" + "ü" * 2_000,
        extra_headers={"X-Note": "Łódź " * 40},
    )
    message.attach("Łódź.txt", "text/plain", "Łódź")
    message.attach("a.bin", None, b"\0\xff")

    result, read = rendered(message), parsed(message)

    assert result.recipients == (
        *("l@example.com", "ann@xn--bcher-kva.example"),
        *("cc@example.com", "bcc@xn--fa-hia.example"),
    )
    assert (result.message_id, result.sender) == ("<0190@example.org>", ("Ä, B", "ab@example.org"))
    assert read["Subject"] == "Grüße " * 29 + "Grüße "
    assert read["From"] == '"Ä, B" <ab@example.org>'
    assert {a.display_name: a.addr_spec for a in read["To"].addresses} == {
        "Łukasz, Büro": "l@example.com",
        "Ann": "ann@xn--bcher-kva.example",
    }
    assert (read["Cc"], read["Bcc"], read["Reply-To"]) == ("cc@example.com", None, "reply@example.com")
    assert (read["Date"], read["Message-ID"]) == ("Thu, 01 Jan 1970 00:00:00 +0000", "<0190@example.org>")
    assert read["X-Note"].strip() == ("Łódź " * 40).strip()
    text, html = read.get_body(("plain",)), read.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == ["Zeile eins", ".zwei", "drei", "ä" * 2_000]
    assert html.get_content().strip() == "<p>" + "ü" * 2_000
    assert [(a.get_filename(), a.get_content()) for a in read.iter_attachments()] == [
        ("Łódź.txt", "Łódź"),
        ("a.bin", b"\0\xff"),
    ]


@pytest.mark.parametrize("body", ["a\rb\nc\r\n.\r\nd", "x" * 5_000, "ä" * 5_000, "a\x0bb\x0cc\x85d\u2028e"])
def test_any_server_can_carry_the_bytes(body: str) -> None:
    """7 bits, lines of at most 998 bytes, every end of a line a CRLF; Flask-Mail alone sends long lines of 8 bits."""
    content = rendered(made(body=body, html=body)).content

    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", content) is None


def test_a_message_stays_as_it_is() -> None:
    """It can be changed and sent again: the second mail is another one."""
    message = made(bcc=["bcc@example.com"])
    message.attach("a.txt", "text/plain", "ä")
    before = {**vars(message), "attachments": list(message.attachments)}

    rendered(message)

    assert {**vars(message), "attachments": list(message.attachments)} == before
    assert message.attachments[0].data == "ä"


def test_hidden_recipients_are_nowhere_in_the_bytes() -> None:
    """Bcc goes to the server only, and a mail without To says so as RFC 5322 wants it."""
    result = rendered(made(recipients=[], bcc=["bcc@example.com", "bcc@EXAMPLE.com"]))

    assert result.recipients == ("bcc@example.com",)
    assert b"bcc" not in result.content
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in result.content


#: Each of them ends a line for some part of Python's email package.
BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\0"]


@pytest.mark.parametrize("end", BREAKS, ids=ascii)
@pytest.mark.parametrize(
    "field",
    ["subject", "recipients", "cc", "bcc", "sender", "reply_to", "extra_headers", "attachments", "name", "type"],
)
def test_nothing_becomes_another_header(field: str, end: str) -> None:
    """Flask-Mail alone lets line breaks through in Cc, Bcc and extra headers, and form feeds everywhere."""
    text = f"a{end}Bcc: eve@example.com"
    message = made()
    if field in ("recipients", "cc", "bcc"):
        message = made(**{field: [f"Ann{end} <ann@example.com>"]})
    elif field == "name":
        message = made(recipients=[(text, "ann@example.com")])
    elif field == "extra_headers":
        message = made(extra_headers={"X-Note": text})
    elif field == "attachments":
        message.attach(text, "text/plain", b"x")
    elif field == "type":
        message.attach("a", f"text/plain{end}X: y", b"x")
    else:
        message = made(**{field: text})

    with pytest.raises(ValidationError) as refused:
        rendered(message)
    assert refused.value.status == 422
    assert "eve" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        *("", "ann", "@example.com", "ann@", "ann@-example.com", "ann@example..com", "a..b@example.com"),
        *(
            "ann@example.com, bob@example.com",
            "Team: a@b.org, c@d.org;",
            "ann@example.com>",
            "<ann@example.com> SIZE=1",
        ),
        *("ann@example.com)bob@example.com", "ann b@example.com", '"ann b"@example.com', "ann@[127.0.0.1]"),
        *(
            "jörg@example.com",
            f"{'a' * 65}@example.com",
            f"ann@{'a.' * 130}com",
            "(" * 300,
            "a" * 5_000,
            "ann@ü.\u2024",
        ),
        *(("", "ann@example.com> SIZE=1"), ("Ann", "ann"), "=?utf-8?q?a=0D=0ABcc?= <ann@example.com>"),
    ],
)
def test_what_is_no_address_of_one_mailbox_is_refused(address: t.Any) -> None:
    """Nothing reaches the server's command line that is more, or less, than one address."""
    with pytest.raises(ValidationError):
        rendered(made(recipients=[address]))


@pytest.mark.parametrize(
    ("address", "spec"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann+x@EXAMPLE.com", "Ann+x@example.com"),
        ("<ann@example.com>", "ann@example.com"),
        ('"Ann, B." <ann@example.com>', "ann@example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("root@localhost", "root@localhost"),
        (("", "ann@example.com"), "ann@example.com"),
    ],
)
def test_an_address_may_be_written_in_many_ways(address: t.Any, spec: str) -> None:
    """With a name, in brackets, as a pair, inside of a house."""
    assert rendered(made(recipients=[address])).recipients == (spec,)


@pytest.mark.parametrize("field", ["recipients", "cc", "bcc"])
def test_a_text_in_the_place_of_a_list_is_an_error_of_the_program(field: str) -> None:
    """No 422: whoever sends the request can do nothing about it."""
    with pytest.raises(MailError, match=f"{field} is a list"):
        rendered(made(**{field: "ann@example.com"}))


def test_what_cannot_be_carried_says_so() -> None:
    """What would be lost in silence is an error: options, headers that contradict the message, foreign letters."""
    for wrong in (
        made(recipients=[]),
        made(mail_options=["RET=HDRS"]),
        made(extra_headers={"bCC": "eve@example.com"}),
        made(extra_headers={"Content-Type": "text/html"}),
    ):
        with pytest.raises(MailError):
            rendered(wrong)
    for refused in (made(extra_headers={"X: y": "z"}), made(charset="latin-1", body="Ł"), made(body="\ud800")):
        with pytest.raises(ValidationError):
            rendered(refused)


@pytest.mark.parametrize("type_", ["message/rfc822", "Message/RFC822", "multipart/mixed; boundary=x", None])
def test_an_attachment_that_base64_would_break_is_refused(type_: str | None) -> None:
    """Also where the type is guessed; as plain bytes a mail can be attached."""
    message = made()
    message.attach("forwarded.eml", type_, b"Subject: s\r\n\r\nText\r\n")
    with pytest.raises(MailError, match="application/octet-stream"):
        rendered(message)

    message = made()
    message.attach("forwarded.eml", "application/octet-stream", b"Subject: s\r\n\r\nText\r\n")
    (attached,) = parsed(message).iter_attachments()
    assert attached.get_content() == b"Subject: s\r\n\r\nText\r\n"
