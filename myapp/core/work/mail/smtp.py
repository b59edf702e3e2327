"""One attempt to hand a mail in, over Flask-Mail's connection: bounded in time, verified, with every reply kept.

Flask-Mail 0.10 waits for a silent server for ever, takes any certificate, and drops what the server said about
recipients that it refused while it took others. This module is imported when the first mail is sent.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
import typing as t
from smtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPNotSupportedError,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from flask_mail import Connection

from ...errors import MailServerError
from .transfer import Reply, plain

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .server import MailServer

#: An SSLSocket applies its time-out to each write, so that a mail goes out in pieces of this many bytes.
PIECE = 65_536
#: In the place of any reply: the server closes the connection (:rfc:`5321#section-3.8`).
CLOSING = 421
#: What is said of recipients for whom there is room in another transaction only (:rfc:`5321#section-4.5.3.1.10`). It
#: may be said of a mailbox that is full as well: the transaction in which nobody is taken is the last.
TOO_MANY_RECIPIENTS = (452, 552)
#: :rfc:`4954#section-6`.
AUTHENTICATION_REQUIRED = 530


def attempt(
    server: MailServer,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    *,
    report: Callable[[str], None] = lambda step: None,
) -> dict[str, Reply]:
    """Hand ``content`` in for ``recipients``, once, and return what became of each.

    It ends within ``attempt_seconds``, whatever the server does; only looking up the server's name is not bounded by
    it. What fails between us and the server is a reply without a code.

    :param content: lines end in CRLF, all of it is ASCII.
    :param report: is told each step as it is done.
    """
    connection = MailConnection(server, report)
    try:
        with connection:
            connection.hand_in(sender, recipients, content)
    except MailServerError as error:
        connection.settle_rest(recipients, Reply(None, str(error)))
    return connection.replies


def probe(server: MailServer, sender: str, recipient: str, content: bytes, report: Callable[[str], None]) -> Reply:
    """Do what :func:`attempt` does for one recipient, and raise what is between us and the server.

    :raises MailServerError: then.
    """
    with MailConnection(server, report) as connection:
        connection.hand_in(sender, [recipient], content)
    return connection.replies[recipient]


class MailConnection(Connection):
    """Flask-Mail's connection, for one mail that was rendered before."""

    def __init__(self, server: MailServer, report: Callable[[str], None]) -> None:
        super().__init__(t.cast("t.Any", server))
        self.server = server
        self.report = report
        self.deadline = _Deadline(server)
        self.replies: dict[str, Reply] = {}

    def __enter__(self) -> t.Self:
        self._explained(self._open)
        return self

    def __exit__(self, *args: object) -> None:
        """Say goodbye, and do not wait for an answer: what was said before has to be stored, as soon as possible."""
        host = self._host
        if host.sock is None:
            return
        try:
            host.putcmd("quit")
        except (OSError, SMTPException):
            self.report("The server was gone before the goodbye.")
        finally:
            host.close()

    def configure_host(self) -> SMTP:
        """Connect, encrypt and log in, as the URL says and not as the server offers."""
        server = self.server
        host = _BoundedSMTP(server, self.deadline)
        try:
            self.report(f"Connected to {server}.")
            host.ehlo_or_helo_if_needed()
            if server.security == "starttls":
                _expect(220, *host.starttls(context=ssl.create_default_context()))
                host.ehlo_or_helo_if_needed()
            if server.security != "none":
                self.report("Encrypted, and the certificate is the server's.")
            if server.username is not None:
                host.login(server.username, server.password or "")
                self.report(f"Logged in as {server.username}.")
        except BaseException:
            host.close()
            raise
        return host

    def hand_in(self, sender: str, recipients: Sequence[str], content: bytes) -> None:
        """Send the mail; :attr:`replies` has what the server said about each recipient, also when it raises.

        :raises MailServerError: when the connection breaks on the way.
        """
        self._explained(lambda: self._hand_in(sender, recipients, content))

    def settle_rest(self, recipients: Sequence[str], reply: Reply) -> None:
        """Note ``reply`` for the recipients of whom the server has said nothing that counts."""
        for recipient in recipients:
            self.replies.setdefault(recipient, reply)

    def _open(self) -> None:
        self.host = self.configure_host()

    def _hand_in(self, sender: str, recipients: Sequence[str], content: bytes) -> None:
        waiting = list(recipients)
        is_first = True
        while waiting:
            waiting = self._transact(sender, waiting, content, is_first=is_first)
            is_first = False

    def _transact(self, sender: str, recipients: list[str], content: bytes, *, is_first: bool) -> list[str]:
        """Send the mail in one transaction; return for whom there is to be another one."""
        host = self._host
        size = [f"SIZE={len(content)}"] if host.has_extn("size") else []
        reply = _reply(*host.mail(sender, size))
        self.report(f"Sender {sender}: {reply.text}")
        # No verdict on the mail: the URL has no login, or no encryption, where the server wants one; or the server
        # has taken the mail before, and wants no more over this connection.
        if reply.code == AUTHENTICATION_REQUIRED or not (is_first or reply.is_accepted):
            raise MailServerError(f"{self.server} said: {reply.text}", is_unreachable=False)
        if not reply.is_accepted:
            self.settle_rest(recipients, reply)
            return []
        accepted = self._name_recipients(recipients)
        if not accepted:
            return []
        reply = self._send_content(content)
        self.report(f"Content: {reply.text}")
        self.settle_rest(accepted, reply)
        if not reply.is_accepted:
            return []
        others = [recipient for recipient in recipients if self.replies[recipient].code in TOO_MANY_RECIPIENTS]
        for recipient in others:
            del self.replies[recipient]
        return others

    def _name_recipients(self, recipients: Sequence[str]) -> list[str]:
        accepted = []
        for recipient in recipients:
            reply = _reply(*self._host.rcpt(recipient))
            self.report(f"Recipient {recipient}: {reply.text}")
            if reply.code == CLOSING:
                raise MailServerError(f"{self.server} said: {reply.text}", is_unreachable=False)
            if reply.is_accepted:
                accepted.append(recipient)
            else:
                self.replies[recipient] = reply
        return accepted

    def _send_content(self, content: bytes) -> Reply:
        try:
            return _reply(*self._host.data(content))
        # Not every SMTPResponseException: a reply that is too long to be read is no verdict.
        except SMTPDataError as error:
            return _reply(error.smtp_code, error.smtp_error)

    def _explained(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, SMTPException, ssl.CertificateError) as error:
            raise _explain(error, self.server, self.deadline) from error

    @property
    def _host(self) -> SMTP:
        return t.cast("SMTP", self.host)


class _Deadline:
    """The end of one attempt."""

    def __init__(self, server: MailServer) -> None:
        self._connect_seconds = server.connect_seconds
        self._end = time.monotonic() + server.attempt_seconds

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    @property
    def seconds_to_connect(self) -> float:
        return min(self._connect_seconds, self.seconds_left)

    @property
    def seconds_left(self) -> float:
        """The time that is left.

        :raises TimeoutError: when there is none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _BoundedSMTP(SMTP):
    """An SMTP client that is done at its deadline, however slowly the server reads and writes."""

    def __init__(self, server: MailServer, deadline: _Deadline) -> None:
        self._deadline = deadline
        self._is_encrypted_first = server.security == "tls"
        super().__init__(server.host, server.port, local_hostname=server.hello)

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
        connected = self._connect(host, port)
        if not self._is_encrypted_first:
            return connected
        connected.settimeout(self._deadline.seconds_left)
        return ssl.create_default_context().wrap_socket(connected, server_hostname=host)

    def _connect(self, host: str, port: int) -> socket.socket:
        """Try every address of the host; ``create_connection`` would give each of them all of the time."""
        error: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            connecting: socket.socket | None = None
            try:
                # Fails where the system has no IPv6: the next address may be of another family.
                connecting = socket.socket(family, kind, protocol)
                connecting.settimeout(self._deadline.seconds_to_connect)
                connecting.connect(address)
            except OSError as raised:
                error = raised
                if connecting is not None:
                    connecting.close()
            else:
                return connecting
        raise error or OSError("The name has no address.")

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_BoundedReader(self.sock, self._deadline))
        return super().getreply()

    def send(self, s: t.Any) -> None:
        pieces = [s] if isinstance(s, str) else [s[start : start + PIECE] for start in range(0, len(s), PIECE)]
        for piece in pieces:
            if self.sock is not None:
                self.sock.settimeout(self._deadline.seconds_left)
            super().send(piece)


class _BoundedReader(io.RawIOBase):
    """Reads from a socket until the deadline; a time-out of the socket alone would begin anew with every byte."""

    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        super().__init__()
        self._socket = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        self._socket.settimeout(self._deadline.seconds_left)
        return self._socket.recv_into(buffer)


def _expect(code: int, actual: int, text: bytes) -> None:
    if actual != code:
        raise SMTPResponseException(actual, text)


def _reply(code: int, text: bytes | str) -> Reply:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    # -1: a line that is no reply at all.
    return Reply(code if code > 0 else None, plain(f"{code} {words}" if code > 0 else f"No reply of SMTP: {words}"))


def _explain(error: Exception, server: MailServer, deadline: _Deadline) -> MailServerError:
    if deadline.is_over:
        seconds = f"{server.attempt_seconds:g} s"
        return MailServerError(f"{server} was not done after {seconds}.", is_unreachable=True)
    if isinstance(error, ssl.SSLCertVerificationError):
        return MailServerError(
            f"The certificate of {server} cannot be verified: {error.verify_message.rstrip('.')}.", is_unreachable=False
        )
    if isinstance(error, ssl.SSLError):
        return MailServerError(
            f"{server} does not speak TLS as the scheme of MYAPP_MAIL_URL says ({error.reason}).", is_unreachable=False
        )
    if isinstance(error, SMTPAuthenticationError):
        text = _reply(error.smtp_code, error.smtp_error).text
        return MailServerError(f"{server} does not let us in: {text}", is_unreachable=False)
    if isinstance(error, SMTPResponseException):
        return MailServerError(f"{server} said: {_reply(error.smtp_code, error.smtp_error).text}", is_unreachable=False)
    if isinstance(error, SMTPNotSupportedError):
        return MailServerError(f"{server} does not offer what is needed: {plain(str(error))}", is_unreachable=False)
    if isinstance(error, TimeoutError):
        return MailServerError(f"{server} did not answer in {server.connect_seconds:g} s.", is_unreachable=True)
    if isinstance(error, socket.gaierror):
        return MailServerError(f"The name {server.host} cannot be looked up: {error.strerror}.", is_unreachable=True)
    if isinstance(error, ConnectionRefusedError):
        return MailServerError(f"Nobody listens at {server}.", is_unreachable=True)
    if isinstance(error, SMTPServerDisconnected):
        return MailServerError(f"{server} closed the connection.", is_unreachable=True)
    if isinstance(error, SMTPException):
        return MailServerError(f"{server} cannot be talked to: {plain(str(error))}", is_unreachable=False)
    return MailServerError(f"{server} cannot be reached: {plain(str(error))}", is_unreachable=True)
