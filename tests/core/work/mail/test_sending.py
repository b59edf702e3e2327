"""A mail is a row of its task, and each recipient gets it once, as far as SMTP can promise that."""

from __future__ import annotations

import threading
import typing as t

import pytest
import sqlalchemy as sa

from myapp import Message, after_commit, get_db, send_mail, task
from myapp.core.data import sqlite
from myapp.core.errors import MailError, NoTaskError, ReadOnlyTaskError, TaskEndedError
from myapp.core.work import Job, Taker, drain, get_state
from myapp.core.work.mail import RETRY_AFTER, Mail, queue_attempt
from myapp.core.work.worker import Worker
from myapp.testing import bearer
from myapp.testing.mailbox import Mailbox

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask
    from tests.servers.smtp import MailHost

    from .conftest import Fates

    Deliver = Callable[..., list[str]]
    ReadFates = Callable[[str], Fates]

A, B, C = "a@example.com", "b@example.com", "c@example.com"


def send(app: CustomFlask, *recipients: str, **fields: t.Any) -> str:
    """Send a mail in a task of its own."""
    with app.task():
        return send_mail(Message("Hello", recipients=list(recipients or [A]), body="World", **fields))


def test_a_mail_is_sent_once_with_the_commit(
    mail_app: CustomFlask, smtp: MailHost, deliver: Deliver, fates: ReadFates
) -> None:
    """Nothing leaves before it; then the server gets it, and every Bcc, once."""
    with mail_app.task():
        mail_id = send_mail(Message("Hello", recipients=[A], bcc=[B], body="World"))
        assert smtp.asked == []

    assert deliver() == ["done"]
    assert deliver(100_000) == []

    (received,) = smtp.received
    assert (received.sender, received.recipients) == ("app@example.com", [A, B])
    assert (received.message["Subject"], received.message["To"], received.message["Bcc"]) == ("Hello", A, None)
    assert received.message["From"] == "App <app@example.com>"
    assert received.message["Message-ID"] == f"<{mail_id}@example.com>"
    assert fates(mail_id) == {A: ("sent", 1, "250 queued as 1"), B: ("sent", 1, "250 queued as 1")}


def test_a_rollback_takes_the_mail_back(mail_app: CustomFlask, smtp: MailHost, deliver: Deliver) -> None:
    """Of the task, or of the savepoint alone."""

    @mail_app.post("/<outcome>")
    def view(outcome: str) -> t.Any:
        send_mail(Message(outcome, recipients=[A], body="x"))
        try:
            with task.savepoint():
                send_mail(Message("in a savepoint", recipients=[A], body="x"))
                raise KeyError
        except KeyError:
            return outcome, 201 if outcome == "kept" else 409

    client = mail_app.test_client()
    assert [client.post(f"/{outcome}").status_code for outcome in ("lost", "kept", "lost")] == [409, 201, 409]

    deliver()
    assert [mail.message["Subject"] for mail in smtp.received] == ["kept"]
    assert [mail.subject for mail in Mailbox(mail_app)] == ["kept"]


def test_a_mail_of_a_callback_belongs_to_the_callback(mail_app: CustomFlask, deliver: Deliver, smtp: MailHost) -> None:
    """What runs after the commit is a task of its own (founding document 003, slide 20)."""
    with mail_app.task():
        after_commit(lambda: send_mail(Message("bought", recipients=[A], body="x")))

    deliver()
    assert len(smtp.received) == 1


def test_without_a_task_nothing_is_sent_in_silence(mail_app: CustomFlask) -> None:
    """What could never be committed is an error with its remedy."""
    with mail_app.app_context():
        message = Message("Hello", recipients=[A], body="World")
    with pytest.raises(NoTaskError, match=r"app\.task\(\)"):
        send_mail(message)
    with mail_app.app_context(), pytest.raises(NoTaskError, match=r"app\.task\(\)"):
        send_mail(message)
    with pytest.raises(ReadOnlyTaskError), mail_app.task(read_only=True):
        send_mail(message)
    with mail_app.task() as ended:
        pass
    assert not ended.is_open
    with mail_app.task(), pytest.raises(MailError, match="no recipients"):
        send_mail(Message("Hello", body="World"))
    assert len(Mailbox(mail_app)) == 0


def test_after_the_end_of_a_task_nothing_is_sent_in_silence(mail_app: CustomFlask) -> None:
    """A response's last words come too late for a mail."""
    errors: list[Exception] = []

    @mail_app.post("/")
    def view() -> str:
        return "done"

    @mail_app.teardown_request
    def teardown(_error: BaseException | None) -> None:
        try:
            send_mail(Message("too late", recipients=[A], body="x"))
        except TaskEndedError as error:
            errors.append(error)

    mail_app.test_client().post("/")
    assert len(errors) == 1


def test_an_injected_header_is_a_422_and_nothing_is_kept(mail_app: CustomFlask) -> None:
    """What a client put into a subject fails its request, and the rows before it."""

    @mail_app.post("/")
    def view() -> str:
        send_mail(Message("fine", recipients=[A], body="x"))
        send_mail(Message("a\r\nBcc: eve@example.com", recipients=[A], body="x"))
        return "sent"

    answer = mail_app.test_client().post("/")

    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert len(Mailbox(mail_app)) == 0
    with mail_app.task(read_only=True):
        assert get_db().scalars(sa.select(Job)).all() == []


def test_each_recipient_has_a_fate_of_its_own(
    mail_app: CustomFlask, smtp: MailHost, deliver: Deliver, fates: ReadFates
) -> None:
    """A gets it once; B, refused for now, is asked again, alone and for the same mail; C is given up with its text."""
    smtp.replies = {B: "451 later", C: "550 no such mailbox"}
    mail_id = send(mail_app, A, B, C)

    assert deliver() == ["done"]
    assert fates(mail_id) == {
        A: ("sent", 1, "250 queued as 1"),
        B: ("retry", 1, "451 later"),
        C: ("dead", 1, "550 no such mailbox"),
    }
    smtp.replies = {}
    assert deliver(59) == []
    assert deliver(2) == ["done"]

    assert smtp.asked == [A, B, C, B]
    first, second = smtp.received
    assert (first.recipients, second.recipients) == ([A], [B])
    assert first.content == second.content
    assert fates(mail_id)[B] == ("sent", 2, "250 queued as 2")
    assert deliver(100_000) == []


def test_a_recipient_is_given_up_after_the_last_attempt(
    mail_app: CustomFlask, smtp: MailHost, deliver: Deliver, fates: ReadFates, caplog: pytest.LogCaptureFixture
) -> None:
    """After 1 and 5 and 30 minutes, 2 and 8 hours, and not before; the log names the mail, not the person."""
    smtp.replies = {A: "450 greylisted"}
    mail_id = send(mail_app, A)

    deliver()
    for number, pause in enumerate(RETRY_AFTER, start=1):
        assert fates(mail_id)[A] == ("retry", number, "450 greylisted")
        assert deliver(pause.total_seconds() - 1) == []
        assert deliver(1) == ["done"]

    assert fates(mail_id)[A] == ("dead", 6, "450 greylisted")
    assert deliver(1_000_000) == []
    assert len(smtp.asked) == 6
    assert mail_id in caplog.text
    assert A not in caplog.text


def test_a_server_that_is_down_costs_nothing_but_time(
    mail_app: CustomFlask, smtp: MailHost, deliver: Deliver, fates: ReadFates
) -> None:
    """One delivery when it is back, with the Message-ID of the first attempt."""
    smtp.replies = {"EHLO": "421 down"}
    mail_id = send(mail_app)
    deliver()
    deliver(60)
    assert fates(mail_id)[A][:2] == ("retry", 2)

    smtp.replies = {}
    deliver(300)

    (received,) = smtp.received
    assert received.message["Message-ID"] == f"<{mail_id}@example.com>"
    assert deliver(100_000) == []


def end_job(app: CustomFlask, state: str) -> None:
    """End the job that waits to hand a mail in, and let a worker look after what nobody does."""
    now = get_state(app).clock.now()
    with app.task():
        get_db().execute(sa.update(Job).where(Job.state == "ready").values(state=state, finished=now))
    with Taker(app) as taker:
        Worker(app).tend(taker)


def test_a_mail_outlives_its_job(mail_app: CustomFlask, smtp: MailHost, deliver: Deliver, fates: ReadFates) -> None:
    """A job that has ended its workers until it was dead is an attempt that failed; a mail with a job is left alone."""
    mail_id = send(mail_app)
    end_job(mail_app, "dead")
    other_id = send(mail_app, B)

    state, attempts, reply = fates(mail_id)[A]
    assert (state, attempts) == ("retry", 1)
    assert "lost its worker" in reply
    with Taker(mail_app) as taker:
        Worker(mail_app).tend(taker)
    assert fates(mail_id)[A][:2] == ("retry", 1)
    assert fates(other_id)[B] == ("queued", 0, "")

    deliver(60)
    assert [received.recipients for received in smtp.received] == [[B], [A]]


def test_a_mail_whose_jobs_all_die_is_given_up(mail_app: CustomFlask, deliver: Deliver, fates: ReadFates) -> None:
    """One that ends every worker that touches it comes to an end, and is shown to whoever looks for it."""
    mail_id = send(mail_app)
    for _ in range(len(RETRY_AFTER) + 1):
        end_job(mail_app, "dead")

    assert fates(mail_id)[A][:2] == ("dead", 6)
    assert deliver(1_000_000) == []
    assert mail_id in mail_app.test_cli_runner().invoke(args=["mail", "list", "--state", "dead"]).output


def test_a_mail_whose_job_was_cancelled_waits_for_a_person(
    mail_app: CustomFlask, smtp: MailHost, deliver: Deliver, fates: ReadFates
) -> None:
    """It is not handed in until somebody asks for it; what becomes of that is what counts then."""
    mail_id = send(mail_app)
    end_job(mail_app, "cancelled")

    assert fates(mail_id)[A] == ("dead", 0, "The job that was to hand the mail in was cancelled.")
    assert deliver(1_000_000) == []

    retry = ["mail", "retry", mail_id]
    assert mail_app.test_cli_runner().invoke(args=retry).exit_code == 0
    get_state(mail_app).clock.advance(1)
    end_job(mail_app, "dead")
    assert fates(mail_id)[A][:2] == ("retry", 1)
    deliver(60)
    assert len(smtp.received) == 1


def test_two_workers_at_once_send_no_mail_twice(mail_app: CustomFlask, smtp: MailHost) -> None:
    """However many there are, and although each mail was announced more than once."""
    mail_ids = [send(mail_app, A) for _ in range(10)]
    with mail_app.task():
        for mail_id in mail_ids:
            queue_attempt(mail_id, 0)
    workers = [threading.Thread(target=drain, args=(mail_app,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert sorted(received.message["Message-ID"] for received in smtp.received) == sorted(
        f"<{mail_id}@example.com>" for mail_id in mail_ids
    )


def test_a_zombie_writes_nothing_down(
    mail_app: CustomFlask, smtp: MailHost, deliver: Deliver, fates: ReadFates
) -> None:
    """A worker that was taken for dead, and ends its attempt after another one has: what that one wrote stands."""
    smtp.pauses_at = "DATA"
    mail_id = send(mail_app)
    zombie = threading.Thread(target=drain, args=(mail_app,))
    zombie.start()
    smtp.wait_until_paused()
    # What the other worker has done meanwhile.
    with mail_app.task():
        get_db().execute(sa.update(Mail).where(Mail.id == mail_id).values(attempts=1))
    smtp.go_on()
    zombie.join(60)

    assert fates(mail_id) == {A: ("queued", 0, "")}
    assert deliver() == []


def test_a_delivered_mail_is_written_down_when_the_database_is_there_again(
    mail_app: CustomFlask,
    smtp: MailHost,
    deliver: Deliver,
    fates: ReadFates,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SQLite's write lock was somebody else's, or the connections to PostgreSQL were cut: it is not handed in again."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.5)
    smtp.pauses_at = "DATA"
    mail_id = send(mail_app)
    ended: list[str] = []
    worker = threading.Thread(target=lambda: ended.extend(deliver()))
    worker.start()
    smtp.wait_until_paused()
    bell = threading.Event()
    with mail_app.task():
        cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        is_sqlite = get_db().get_bind().dialect.name == "sqlite"
        get_db().execute(sa.text("SELECT 1" if is_sqlite else f"{cut} AND application_name = 'myapp'"))
        smtp.go_on()
        while worker.is_alive() and "could not be written down" not in caplog.text:
            bell.wait(0.01)
    worker.join(60)

    assert (ended, fates(mail_id)[A][:2], len(smtp.received)) == (["done"], ("sent", 1), 1)


def test_a_mail_that_is_tried_again_during_an_attempt_reaches_everybody(
    mail_app: CustomFlask, smtp: MailHost, deliver: Deliver, fates: ReadFates
) -> None:
    """That attempt asks for those who were open when it began; the next one, which follows at once, for the others."""
    smtp.replies = {A: "550 no such user", B: "451 later"}
    mail_id = send(mail_app, A, B)
    deliver()
    smtp.replies = {}
    smtp.pauses_at = "DATA"
    get_state(mail_app).clock.advance(60)
    worker = threading.Thread(target=drain, args=(mail_app,))
    worker.start()
    smtp.wait_until_paused()
    assert mail_app.test_cli_runner().invoke(args=["mail", "retry", mail_id]).exit_code == 0
    smtp.go_on()
    worker.join(60)

    deliver()
    assert {address: state for address, (state, *_) in fates(mail_id).items()} == {A: "sent", B: "sent"}
    assert [received.recipients for received in smtp.received] == [[B], [A]]


def test_nobody_waits_while_a_server_is_silent(mail_app: CustomFlask, smtp: MailHost, deliver: Deliver) -> None:
    """The database is free during an attempt: SQLite's only write lock is not held."""
    smtp.pauses_at = "DATA"
    send(mail_app)
    worker = threading.Thread(target=drain, args=(mail_app,))
    worker.start()
    smtp.wait_until_paused()

    send(mail_app)

    smtp.go_on()
    worker.join(60)
    deliver()
    assert len(smtp.received) == 2


def test_the_job_belongs_to_nobody(make_app: Callable[..., CustomFlask], smtp: MailHost) -> None:
    """Whoever causes a mail (that a password was changed, say) neither sees its job nor cancels it."""
    app = make_app(config={"MYAPP_MAIL_URL": smtp.url})
    app.post("/")(lambda: {"mail": send_mail(Message("Hello", recipients=[A], body="x"))})
    headers = bearer(app, "eve@example.com")
    client = app.test_client()

    assert client.post("/", headers=headers).status_code == 200
    assert client.get("/jobs/", headers=headers).json["items"] == []
    with app.task(read_only=True):
        assert get_db().scalars(sa.select(Job.user_id)).all() == [None]


def test_without_a_server_mail_is_captured(make_db_app: Callable[..., CustomFlask]) -> None:
    """Stored, shown, and never sent: not even when a server is set later."""
    app = make_db_app()
    send(app, A, html="<p>World")

    assert drain(app) == []
    (mail,) = Mailbox(app)
    assert (mail.state, mail.subject, mail.recipients) == ("captured", "Hello", (A,))
    assert (mail.text.strip(), mail.html.strip(), mail.sender) == ("World", "<p>World", "myapp@localhost")


@pytest.mark.parametrize(("profile", "has_warning"), [("production", True), ("development", False)])
def test_production_hears_of_mail_that_nobody_gets(
    make_app: Callable[..., CustomFlask], caplog: pytest.LogCaptureFixture, profile: str, has_warning: bool
) -> None:
    """A forgotten setting is not found out by the people who wait for a mail."""
    app = make_app(config={"TESTING": False, "SECRET_KEY": "k" * 40, "MYAPP_PROFILE": profile})
    assert app.test_cli_runner().invoke(args=["init-db"]).exit_code == 0

    send(app)

    assert ("MYAPP_MAIL_URL is not set" in caplog.text) is has_warning


@pytest.mark.parametrize(
    ("public_url", "sender"),
    [
        ("https://app.example.com/base", "myapp@app.example.com"),
        ("http://192.168.1.5:5000", "myapp@localhost"),
        ("http://[::1]:5000", "myapp@localhost"),
        ("http://my_app:5000", "myapp@localhost"),
        ("http://bücher.example", "myapp@localhost"),
    ],
)
def test_there_is_always_a_sender(make_app: Callable[..., CustomFlask], public_url: str, sender: str) -> None:
    """Whatever address people reach the app at, mail can be sent before anybody has set ``MYAPP_MAIL_FROM``."""
    app = make_app(config={"MYAPP_PUBLIC_URL": public_url})
    send(app)
    assert Mailbox(app).last.sender == sender


def test_an_extension_that_sends_with_flask_mail_sends_with_the_commit(
    mail_app: CustomFlask, deliver: Deliver, smtp: MailHost
) -> None:
    """What it finds in ``app.extensions`` queues the mail instead of talking to a server in the middle of a task."""
    with mail_app.task():
        mail_app.extensions["mail"].send(Message("one", recipients=[A], body="x"))
        mail_app.extensions["mail"].send_message("two", recipients=[A], body="x")
    with pytest.raises(KeyError), mail_app.task():
        mail_app.extensions["mail"].send_message("never", recipients=[A], body="x")
        raise KeyError

    deliver()
    assert [mail.message["Subject"] for mail in smtp.received] == ["one", "two"]
