"""SMTP servers that refuse, refuse some, stay silent, drop the connection, and take mail."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import socket
import ssl
import subprocess
import threading
import typing as t

from aiosmtpd.smtp import SMTP, AuthResult

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from aiosmtpd.smtp import Envelope, Session

#: How long a test waits for what a server has to see.
WAIT_SECONDS = 20.0


class Received(t.NamedTuple):
    """A mail that the server took."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        return t.cast("EmailMessage", email.message_from_bytes(self.content, policy=email.policy.default))


class MailHost:
    """An SMTP server in a thread; what it says to whom can be changed while it runs."""

    def __init__(self) -> None:
        #: What it says to a step (``EHLO``, ``MAIL``, ``further MAIL`` when it has taken one, ``DATA``) or about an
        #: address; None drops the connection.
        self.replies: dict[str, str | None] = {}
        #: The step or the address at which it says nothing until :meth:`go_on`.
        self.pauses_at: str | None = None
        #: How many recipients it takes in one transaction, and what it says about the others.
        self.most_recipients = 1_000
        self.too_many = "452 too many recipients"
        #: ``user:password`` that it asks for.
        self.login = ""
        self.received: list[Received] = []
        #: Every address that was named to it, in order.
        self.asked: list[str] = []
        self.port = 0
        self._changed = threading.Condition()
        self._paused = 0
        self._resume = asyncio.Event()
        self.loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        """The value of ``MYAPP_MAIL_URL``, without encryption."""
        return f"smtp://127.0.0.1:{self.port}"

    def wait_until(self, predicate: Callable[[], bool]) -> None:
        """Wait until ``predicate`` holds for what the server has seen.

        :raises AssertionError: when it does not in time.
        """
        with self._changed:
            assert self._changed.wait_for(predicate, WAIT_SECONDS), (self.asked, self.received)

    def wait_until_paused(self, times: int = 1) -> None:
        """Wait until the server was asked at ``pauses_at``."""
        self.wait_until(lambda: self._paused >= times)

    def go_on(self) -> None:
        """Answer what waits, and pause no more."""
        self.pauses_at = None
        self.loop.call_soon_threadsafe(self._resume.set)

    # What aiosmtpd calls.

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        reply = await self._reply(server, "EHLO", "")
        return [reply] if reply else responses

    async def handle_HELO(self, server: SMTP, session: Session, envelope: Envelope, hostname: str) -> str:
        session.host_name = hostname
        return await self._reply(server, "EHLO", "250 mail.example")

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        is_known = session.authenticated or not self.login
        step = "further MAIL" if self.received else "MAIL"
        reply = await self._reply(server, step, "250 sender fine" if is_known else "530 5.7.0 Authentication required")
        if reply.startswith("2"):
            envelope.mail_from = address
        return reply

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        with self._changed:
            self.asked.append(address)
            self._changed.notify_all()
        has_room = len(envelope.rcpt_tos) < self.most_recipients
        reply = await self._reply(server, address, "250 recipient fine" if has_room else self.too_many)
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reply = await self._reply(server, "DATA", f"250 queued as {len(self.received) + 1}")
        if reply.startswith("2"):
            with self._changed:
                self.received.append(
                    Received(envelope.mail_from or "", list(envelope.rcpt_tos), t.cast("bytes", envelope.content))
                )
                self._changed.notify_all()
        return reply

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return await self._reply(server, "QUIT", "221 bye")

    async def _reply(self, server: SMTP, step: str, default: str) -> str:
        if self.pauses_at == step:
            with self._changed:
                self._paused += 1
                self._changed.notify_all()
            await self._resume.wait()
        reply = self.replies.get(step, default)
        if reply is None:
            t.cast("t.Any", server.transport).abort()
            return "421 never seen"
        return reply


@contextlib.contextmanager
def run_smtp(*, tls: ssl.SSLContext | None = None, is_implicit: bool = False, login: str = "") -> Iterator[MailHost]:
    """Run a server on a port of the kernel's choice.

    :param tls: offers STARTTLS with this context, or, if ``is_implicit``, speaks TLS from the first byte.
    :param login: ``user:password`` that it asks for.
    """
    host = MailHost()
    host.login = login
    loop = host.loop
    thread = threading.Thread(target=loop.run_forever, name="smtp", daemon=True)
    thread.start()

    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: t.Any) -> AuthResult:
        is_right = f"{data.login.decode()}:{data.password.decode()}" == login
        return AuthResult(success=is_right, handled=is_right)

    def make() -> SMTP:
        return SMTP(
            host,
            loop=loop,
            hostname="mail.example",
            tls_context=None if is_implicit else tls,
            require_starttls=tls is not None and not is_implicit,
            authenticator=authenticate if login else None,
            auth_require_tls=False,
        )

    async def start() -> asyncio.Server:
        return await loop.create_server(make, "127.0.0.1", 0, ssl=tls if is_implicit else None)

    async def stop() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(WAIT_SECONDS)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(WAIT_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_SECONDS)
        loop.close()


@contextlib.contextmanager
def run_raw(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen, give each connection to ``serve`` in a thread of its own, and yield the port: for bad servers."""
    connections: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                threading.Thread(target=_quietly, args=(serve, connection), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            # close() alone does not wake up the thread that accepts.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT_SECONDS)
            for connection in connections:
                connection.close()


def _quietly(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        serve(connection)


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return t.cast("int", listening.getsockname()[1])


def make_certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """Return a certificate that nobody has signed, for ``name``, and the context of a server that shows it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    kind = "IP" if name[0].isdigit() else "DNS"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=mail",
         "-addext", f"subjectAltName={kind}:{name}"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return certificate, context
