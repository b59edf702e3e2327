"""A commit that fails, over real servers (docs/tasks.md, mechanism 4 and 8)."""

from __future__ import annotations

import json
import typing as t

from tests.servers.process import Server


def names(server: Server) -> list[str]:
    return t.cast("list[str]", json.loads(server.ask("GET", "/names").body))


def check_failed_commit_is_the_apps_own_problem(server: Server, path: str, status: int) -> None:
    """Never a 2xx; no row, no callback, no cookie; the next hundred requests are fine."""
    before = names(server)
    answer = server.ask("POST", path)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "Set-Cookie" not in answer.headers
    assert json.loads(answer.body)["request_id"] == answer.headers["X-Request-ID"]
    assert b"4711" not in answer.body
    added = [f"{path} {n}" for n in range(100)]
    assert {server.ask("POST", "/add/" + name.replace("/", "").replace(" ", "-")).status for name in added} == {201}
    assert len(names(server)) == len(before) + 100
    assert not {"orphan", "vetoed", "written by a callback"} & set(names(server))


def check_failed_commit_of_a_body_is_seen_by_the_client(server: Server, kind: str) -> None:
    """The status has gone out: the connection is cut, with a Content-Length before the last chunk."""
    answer = server.ask("POST", f"/late/{kind}")
    assert not answer.is_whole
    assert answer.body in {b"first ", b"first last"} if kind == "chunked" else answer.body == b"first "
    assert "orphan" not in names(server)


#: A commit that fails in a view, in the prepare step, behind a stream, while an error is answered.
PATHS = {"/orphan": 409, "/veto": 500, "/orphan-and-stream": 409, "/error": 409}


def check_all(server: Server) -> None:
    """Let every commit fail that can, one after the other, on one server."""
    for path, status in PATHS.items():
        check_failed_commit_is_the_apps_own_problem(server, path, status)
    for kind in ("length", "chunked"):
        check_failed_commit_of_a_body_is_seen_by_the_client(server, kind)
