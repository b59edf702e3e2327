"""Real workers: killed in the middle of an attempt, and many at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import typing as t
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from myapp import Message, get_db, send_mail
from myapp.core.work.mail import Recipient
from tests.servers.process import PATIENCE_SECONDS, ROOT, wait_for

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask
    from tests.servers.smtp import MailHost


@contextmanager
def workers(app: CustomFlask, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``flask jobs work`` on the database of ``app``, which hands its mail to the same server."""
    settings = {
        "MYAPP_PROFILE": "development",
        "MYAPP_INSTANCE_PATH": app.config["MYAPP_INSTANCE_PATH"],
        "MYAPP_MAIL_URL": app.config["MYAPP_MAIL_URL"],
    }
    command = [sys.executable, "-m", "flask", "--app", "myapp:create_app()", "jobs", "work", *options]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **{key: str(value) for key, value in settings.items()}}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def slots_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the processes that work for ``flask jobs work``."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text(encoding="ascii").split()]


@pytest.mark.live
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Processes are found in /proc.")
def test_a_killed_worker_loses_no_mail_and_many_send_none_twice(
    make_app: Callable[..., CustomFlask], smtp: MailHost, tmp_path: Path
) -> None:
    """``kill -9`` while the server is asked: another worker asks again. Twenty mails and four workers: each once."""
    app = make_app(config={"MYAPP_MAIL_URL": smtp.url})
    log = tmp_path / "workers.log"

    def send(number: int) -> None:
        with app.task():
            send_mail(Message(f"{number}", recipients=[f"{number}@example.com"], body="…"))

    def states() -> list[tuple[str, int]]:
        with app.task(read_only=True):
            return [(state, attempts) for state, attempts in get_db().execute(query)]

    query = sa.select(Recipient.state, Recipient.attempts)
    smtp.pauses_at = "0@example.com"
    send(0)
    with workers(app, log, "-c", "4") as process:
        smtp.wait_until_paused()
        for pid in slots_of(process):
            os.kill(pid, signal.SIGKILL)
        smtp.go_on()
        for number in range(1, 21):
            send(number)
        wait_for(lambda: {state for state, _ in states()} == {"sent"}, explain=lambda: log.read_text(encoding="utf-8"))

    assert states() == [("sent", 1)] * 21
    assert smtp.asked.count("0@example.com") == 2
    assert sorted(received.message["Subject"] for received in smtp.received) == sorted(map(str, range(21)))
