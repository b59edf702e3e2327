"""A message as bytes: rendered when it is queued, so that what is wrong with it is wrong for the one who sends it."""

from __future__ import annotations

import copy
import re
import typing as t
from email.charset import QP, SHORTEST, Charset
from email.policy import SMTP as POLICY

from ...errors import MailError, ValidationError

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_mail import Attachment, Message

#: What Flask-Mail takes: text, or a pair of a name and an address.
AddressLike: t.TypeAlias = "str | tuple[str, str]"

LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
MAXIMUM_LOCAL, MAXIMUM_ADDRESS, MAXIMUM_TEXT = 64, 254, 400
#: Whatever Python takes for the end of a line, in a header becomes the end of a header: form feeds too.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
HEADER_NAME = re.compile(r"[!-9;-~]+")
CONTENT_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(; *[\w-]+=(\"[^\"/\\]*\"|[\w!#$&^.+-]+))*", re.ASCII)
#: :rfc:`2045#section-6.4`. Without base64 somebody else's 8 bits would have to be written anew, and signatures break.
COMPOSITE_TYPES = ("multipart/", "message/")
#: What a message says with attributes of its own, or what is made here; a second header of the name contradicts it.
OWN_HEADERS = frozenset({"from", "to", "cc", "bcc", "subject", "date", "message-id", "reply-to", "mime-version"})


class Address(t.NamedTuple):
    """One mailbox: a name for people, which may be empty, and the address in ASCII."""

    name: str
    spec: str

    @property
    def domain(self) -> str:
        """What stands behind the @."""
        return self.spec.rpartition("@")[2]


class Rendered(t.NamedTuple):
    """What is sent: nothing of the message is needed any more."""

    message_id: str
    subject: str
    sender: Address
    #: To, Cc and Bcc, each mailbox once.
    recipients: tuple[str, ...]
    content: bytes


def render(message: Message, *, mail_id: str, default_sender: str, now: float) -> Rendered:
    """Return ``message`` as bytes, and whom it goes to; the message itself stays as it is.

    :param mail_id: is the Message-ID, with the domain of the sender behind it.
    :param now: the Date, if the message has none: seconds since 1970.
    :raises ValidationError: when an address, a header or an attachment cannot be sent as it is.
    :raises MailError: when nobody is to get it, or when it asks for what is not carried.
    """
    _check_options(message)
    sender = _read_sender(message.sender or default_sender)
    lists = {name: _read_all(name, getattr(message, name)) for name in ("recipients", "cc", "bcc")}
    recipients = tuple(dict.fromkeys(address.spec for addresses in lists.values() for address in addresses))
    if not recipients:
        raise MailError("The message has no recipients. Give it some: Message(subject, recipients=[…]).")
    copied = copy.copy(message)
    copied.subject = _checked("subject", str(message.subject or ""))
    copied.sender = sender
    copied.recipients, copied.cc, copied.bcc = [*lists["recipients"]], [*lists["cc"]], []
    copied.reply_to = None if message.reply_to is None else _read("reply_to", message.reply_to)
    copied.date = now if message.date is None else message.date
    copied.msgId = f"<{mail_id}@{sender.domain}>"
    copied.extra_headers = dict(_iter_extra_headers(message.extra_headers or {}))
    copied.attachments = [_prepare(attachment) for attachment in message.attachments]
    copied.charset = _charset(message.charset)
    try:
        content = copied.as_bytes()
    except UnicodeError as error:
        raise _invalid("body", "some of it cannot be written in the character set of the message") from error
    if not copied.recipients:
        # Flask-Mail writes an empty header, which RFC 5322 does not allow.
        content = content.replace(b"\r\nTo: \r\n", b"\r\nTo: undisclosed-recipients:;\r\n", 1)
    return Rendered(copied.msgId, copied.subject, sender, recipients, content)


def _check_options(message: Message) -> None:
    if message.mail_options or message.rcpt_options:
        raise MailError(
            "mail_options and rcpt_options are not carried: what they ask for would be lost. Leave them out."
        )


def _read_all(name: str, values: Iterable[AddressLike]) -> list[Address]:
    # A text is a list of letters, none of which is an address; whoever has sent the request cannot help it.
    if isinstance(values, str):
        raise MailError(f"{name} is a list of addresses, not a text: Message(subject, {name}=[…]).")
    return [_read(name, value) for value in values]


def _read(what: str, value: AddressLike) -> Address:
    """Return the one address that ``value`` is.

    :raises ValidationError: when it is none, several, or one that SMTP does not carry without extensions.
    """
    if not isinstance(value, str):
        name, spec = value
        return Address(_checked(what, name), _spec(what, _checked(what, spec)))
    if len(_checked(what, value)) > MAXIMUM_TEXT:
        raise _invalid(what, "it is longer than an address with a name")
    try:
        header = t.cast("t.Any", POLICY.header_factory("To", value))
    # The parser of the standard library lets through what it stumbles over, and calls itself for each parenthesis.
    except (ValueError, IndexError, RecursionError) as error:
        raise _invalid(what, "it is no mail address") from error
    if len(header.addresses) != 1:
        raise _invalid(what, "each entry is one mail address")
    # What is about letters beyond ASCII only is judged below, with a better sentence.
    if any(type(defect).__name__ != "NonASCIILocalPartDefect" for defect in header.defects):
        raise _invalid(what, "it is no mail address")
    return Address(header.addresses[0].display_name, _spec(what, header.addresses[0].addr_spec))


def _read_sender(value: AddressLike) -> Address:
    """Return the sender; Flask-Mail makes ``Ann, Sales <ann@example.com>`` of a pair, without the quotes it needs."""
    match = re.fullmatch(r"\s*([^<>\"]*?)\s*<([^<>]+)>\s*", value) if isinstance(value, str) else None
    return _read("sender", (match[1], match[2]) if match else value)


def _spec(what: str, spec: str) -> str:
    """Return an address as SMTP carries it, its domain in lower case and in ASCII.

    :raises ValidationError: when it cannot be carried.
    """
    local, _, domain = spec.rpartition("@")
    if not local.isascii():
        raise _invalid(what, "the part before the @ has letters beyond ASCII, which few mail servers take")
    if not domain.isascii():
        domain = _to_ascii(what, domain)
    is_good = LOCAL.fullmatch(local) and DOMAIN.fullmatch(domain) and len(local) <= MAXIMUM_LOCAL
    if not is_good or len(local) + len(domain) >= MAXIMUM_ADDRESS:
        raise _invalid(what, "it is no mail address; one looks like ann@example.com")
    return f"{local}@{domain.lower()}"


def _to_ascii(what: str, domain: str) -> str:
    # Python's own codec follows IDNA 2003, for which faß.example is fass.example: somebody else.
    from email_validator import EmailNotValidError, validate_email  # 20 ms, for few addresses.

    try:
        return validate_email(f"a@{domain}", check_deliverability=False).ascii_domain
    except EmailNotValidError:
        raise _invalid(what, "its domain cannot be used") from None


def _iter_extra_headers(headers: dict[str, str]) -> Iterable[tuple[str, str]]:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise _invalid("extra_headers", "a name is made of ASCII letters and signs, without blanks and colons")
        if name.lower() in OWN_HEADERS or name.lower().startswith("content-"):
            raise MailError(
                f"The header {name} is not an extra one: it is made from the message. Set the message's attribute;"
                " its Message-ID is made when it is queued."
            )
        yield name, _checked("extra_headers", str(value))


def _prepare(attachment: Attachment) -> Attachment:
    """Return an attachment whose text is UTF-8: Flask-Mail 0.10 spoils the letters beyond Latin-1."""
    copied = copy.copy(attachment)
    if isinstance(copied.data, str):
        copied.data = copied.data.encode()
        if "charset" not in copied.content_type:
            copied.content_type += "; charset=utf-8"
    if not CONTENT_TYPE.fullmatch(copied.content_type):
        raise _invalid("attachments", "the type of one is not written like text/plain")
    if copied.content_type.lower().startswith(COMPOSITE_TYPES):
        raise MailError(
            f"An attachment cannot be of the type {copied.content_type}: attachments travel as base64, which MIME"
            " forbids for what is made of parts or is a mail itself. Give it the type application/octet-stream."
        )
    for text in (copied.filename or "", copied.disposition, *copied.headers, *copied.headers.values()):
        _checked("attachments", text)
    return copied


def _charset(name: str | None) -> t.Any:
    """Return how texts are encoded: quoted-printable, which any server carries, however long the lines are.

    Flask-Mail 0.10 sends UTF-8 as it is: lines of HTML beyond the 998 bytes of :rfc:`5322`, to servers that may
    know 7 bits only.
    """
    charset = Charset(name or "utf-8")
    charset.header_encoding, charset.body_encoding = SHORTEST, QP
    return charset


def _checked(what: str, text: str) -> str:
    """Return ``text``.

    :raises ValidationError: when it would end the line of its header, and begin another one.
    """
    if CONTROL.search(text):
        raise _invalid(what, "line breaks and other control characters have no place in it")
    return text


def _invalid(what: str, reason: str) -> ValidationError:
    return ValidationError(
        message=f"The mail cannot be sent ({what}): {reason}.",
        errors=[{"code": "mail", "detail": f"{what}: {reason}."}],
    )
