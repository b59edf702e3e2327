"""What goes wrong around the app: each is a 503, or an exit other than 0, with a sentence that says what to do."""

from __future__ import annotations

import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

from tests.servers.process import ROOT, Server, command_of, serve

APP = "tests.servers.application:app"
#: Root may open any file, unless it gives these two rights up.
WITHOUT_ROOTS_RIGHTS = (
    ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
)


def run_flask(folder: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run one `flask` command of the live tests' app to its end."""
    full = {**os.environ, "PYTHONPATH": str(ROOT), "MYAPP_INSTANCE_PATH": str(folder), **environ}
    command = [sys.executable, "-m", "flask", "--app", APP, *args]
    return subprocess.run(command, cwd=ROOT, env=full, capture_output=True, text=True, timeout=60)


def check_write_lock_held_by_another_process(tmp_path: Path, kind: str) -> None:
    """503 with Retry-After after ten seconds, a command exits 1 with the remedy; reading goes on, nothing is lost."""
    with serve(command_of(kind, APP), tmp_path / "log", {"MYAPP_INSTANCE_PATH": str(tmp_path)}) as server:
        assert server.ask("POST", "/add/old").status == 201
        other = sqlite3.connect(tmp_path / "myapp.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            command = subprocess.Popen(
                [sys.executable, "-m", "flask", "--app", APP, "add", "command"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "MYAPP_INSTANCE_PATH": str(tmp_path)},
                stderr=subprocess.PIPE,
                text=True,
            )
            with ThreadPoolExecutor() as pool:
                waiting = pool.submit(server.ask, "POST", "/add/new")
                # Also by the one worker of gevent: waiting inside SQLite would keep it from answering anybody.
                for _ in range(20):
                    assert json.loads(server.ask("GET", "/names", timeout=3).body) == ["old"]
                assert not waiting.done()
                answer = waiting.result(timeout=60)
            _, errors = command.communicate(timeout=30)
        finally:
            other.close()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert "try again" in json.loads(answer.body)["detail"]
        assert "holds the write lock" in (tmp_path / "log").read_text()
        assert command.returncode == 1
        assert "holds the write lock" in errors
        assert "Traceback" not in errors
        assert server.ask("POST", "/add/new").status == 201
        assert json.loads(server.ask("GET", "/names").body) == ["old", "new"]


def check_killed_server_has_kept_what_it_answered(tmp_path: Path) -> None:
    """`kill -9` between two requests or in the middle of one: every 201 is a row, and no row is there twice."""
    environ = {"MYAPP_INSTANCE_PATH": str(tmp_path)}
    answered: list[str] = []
    for life in range(3):
        with serve(command_of("werkzeug", APP), tmp_path / f"log{life}", environ) as server:

            def write(name: str, server: Server = server) -> None:
                if server.ask("POST", f"/add/{name}").status == 201:
                    answered.append(name)
                    if len(answered) % 50 == 20:
                        server.process.kill()

            with ThreadPoolExecutor(max_workers=4) as pool:
                ended = [pool.submit(write, f"{life}-{number}") for number in range(100)]
            assert any(isinstance(future.exception(), OSError | HTTPException) for future in ended)
    with serve(command_of("werkzeug", APP), tmp_path / "log", environ) as server:
        stored = json.loads(server.ask("GET", "/names").body)
    assert len(answered) >= 60
    assert set(answered) <= set(stored)
    assert len(stored) == len(set(stored))


def check_file_size_limit_during_a_commit(tmp_path: Path) -> None:
    """The write that does not fit is a 503; the rows of before are there, and smaller writes go on after it."""
    resource_limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    command = [
        sys.executable,
        "-c",
        "import resource, runpy, sys;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, {resource_limits[1]}));"
        "sys.argv = sys.argv[1:];"
        "runpy.run_module('flask', run_name='__main__')",
        "flask",
        *command_of("werkzeug", APP)[3:],
    ]
    with serve(command, tmp_path / "log", {"MYAPP_INSTANCE_PATH": str(tmp_path)}) as server:
        assert server.ask("POST", "/add/old").status == 201
        answers = [server.ask("POST", f"/fill/{number}") for number in range(30)]
        refused = [answer for answer in answers if answer.status != 201]
        assert refused
        assert {answer.status for answer in refused} == {503}
        assert all("Nothing was changed" in json.loads(answer.body)["detail"] for answer in refused)
        assert "ulimit -f" in (tmp_path / "log").read_text()
        stored = json.loads(server.ask("GET", "/names").body)
    assert stored[0] == "old"
    assert len(stored) == 1 + len(answers) - len(refused)
    with closing(sqlite3.connect(tmp_path / "myapp.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def check_database_file_that_may_not_be_opened(tmp_path: Path) -> None:
    """Mode 0000: 503 for requests, not ready, the file named in the log alone, and fine when it is readable again."""
    assert run_flask(tmp_path, "add", "old").returncode == 0
    database = tmp_path / "myapp.sqlite3"
    # The app itself makes its tables at start, so the file is closed under the running server.
    with serve(
        [*WITHOUT_ROOTS_RIGHTS, *command_of("gunicorn-sync", APP)],
        tmp_path / "log",
        {"MYAPP_INSTANCE_PATH": str(tmp_path), "APPLICATION_FORGETS_CONNECTIONS": "1"},
    ) as server:
        # gunicorn listens before its worker has built the app.
        assert server.ask("GET", "/livez").status == 200
        database.chmod(0)
        answer = server.ask("GET", "/names")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
        assert str(tmp_path) not in answer.body.decode()
        assert f"{database} cannot be opened" in (tmp_path / "log").read_text()
        assert server.ask("GET", "/readyz").status == 503
        assert server.ask("GET", "/livez").status == 200
        database.chmod(0o600)
        assert json.loads(server.ask("GET", "/names").body) == ["old"]
        assert server.ask("GET", "/readyz").status == 200


def check_taken_port(tmp_path: Path) -> None:
    """`flask run` says which port and what to do, and exits 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_flask(tmp_path, "run", "-p", str(port))
    assert result.returncode == 1
    assert f"Port {port} is in use" in result.stderr
    assert "Traceback" not in result.stderr


BAD = {
    "MYAPP_PROFILE": "prod",
    "MYAPP_STRICT": "perhaps",
    "MYAPP_DATABASE_URL": "postgres//secret-password@host",
    "MYAPP_PUBLIC_URL": "example.com",
    "MYAPP_TRUSTED_PROXIES": "10.0.0.0/8, everybody",
}


def check_five_bad_settings_at_once(tmp_path: Path, program: str, args: list[str]) -> None:
    """Exit 2 with a line for each: key, source and what is expected, never the value."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "MYAPP_INSTANCE_PATH": str(tmp_path), **BAD}
    # A factory that leaves the profile to the environment, as production does.
    command = [sys.executable, "-m", program, "--app", "myapp:create_app", *args]
    result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    for key in BAD:
        assert f"{key} (from the environment): " in result.stderr
    assert not any(text in result.stderr for text in ("Traceback", "secret-password", "everybody", "perhaps"))


#: Each outage, with what varies: by which server, by which command.
CHECKS: dict[str, t.Callable[[Path], None]] = {
    "write lock, werkzeug": lambda folder: check_write_lock_held_by_another_process(folder, "werkzeug"),
    "write lock, gevent": lambda folder: check_write_lock_held_by_another_process(folder, "gunicorn-gevent"),
    "kill -9": check_killed_server_has_kept_what_it_answered,
    "file size limit": check_file_size_limit_during_a_commit,
    "file mode 0000": check_database_file_that_may_not_be_opened,
    "taken port": check_taken_port,
    "bad settings, flask init-db": lambda folder: check_five_bad_settings_at_once(folder, "flask", ["init-db"]),
    "bad settings, flask run": lambda folder: check_five_bad_settings_at_once(folder, "flask", ["run"]),
    "bad settings, python -m myapp": lambda folder: check_five_bad_settings_at_once(
        folder, "myapp", ["blueprints", "list"]
    ),
}
