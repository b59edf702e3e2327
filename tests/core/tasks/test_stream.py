"""A streamed body is a second task (docs/tasks.md, mechanism 8)."""

from __future__ import annotations

import gc
import typing as t

import pytest
import sqlalchemy as sa
from flask import Response, g, request, send_file, stream_with_context
from werkzeug.test import EnvironBuilder

from myapp import after_commit, after_rollback, get_db, task
from tests.conftest import Item

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from myapp import CustomFlask

Names: t.TypeAlias = "Callable[[], list[str]]"


def add(name: str, **more: t.Any) -> None:
    get_db().add(Item(name=name, **more))


def start(app: CustomFlask, path: str = "/", method: str = "POST") -> t.Any:
    """Return the iterable that a server would read."""
    return app(EnvironBuilder(path=path, method=method).get_environ(), lambda *_: lambda _data: None)  # type: ignore[arg-type,return-value]


def test_view_commits_before_the_first_chunk_and_the_body_at_its_end(db_app: CustomFlask, names: Names) -> None:
    """Two transactions: the view's is durable before the body begins, the body's when it has ended."""
    seen: list[t.Any] = []

    @db_app.post("/")
    def view() -> Response:
        add("view")
        view_id = task.id

        def body() -> Iterator[str]:
            seen.append((names(), task.id == view_id, task.kind))
            add("body")
            after_commit(seen.append, "callback")
            yield "a"
            get_db().flush()
            yield "b"

        return Response(body())

    answer = db_app.test_client().post("/")
    assert answer.text == "ab"
    assert seen == [(["view"], True, "stream"), "callback"]
    assert names() == ["view", "body"]


def test_stream_with_context_keeps_request_and_g(db_app: CustomFlask, names: Names) -> None:
    """Flask's own way to stream: the first context comes back, and the task is the body's all the same."""

    @db_app.post("/")
    def view() -> Response:
        g.word = "from g"
        add("view")

        @stream_with_context
        def body() -> Iterator[str]:
            add("body")
            yield f"{request.method} {g.word} {task.kind}"

        return Response(body())

    assert db_app.test_client().post("/").text == "POST from g stream"
    assert names() == ["view", "body"]


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "stream_with_context"])
def test_disconnect_rolls_the_body_back(db_app: CustomFlask, names: Names, *, wrapped: bool) -> None:
    """A client that goes away: the view's row stays, the body's is gone, after_rollback runs, close() twice is fine."""
    log: list[str] = []

    @db_app.post("/")
    def view() -> Response:
        add("view")

        def body() -> Iterator[str]:
            try:
                add("body")
                after_rollback(log.append, "rolled back")
                yield "a"
                yield "b"
            finally:
                log.append("generator closed")

        return Response(stream_with_context(body()) if wrapped else body())

    body = start(db_app)
    assert next(iter(body)) == b"a"
    body.close()
    body.close()
    assert names() == ["view"]
    assert log == ["generator closed", "rolled back"]


def test_abandoned_stream_is_ended(db_app: CustomFlask, names: Names) -> None:
    """A test client that never reads the answer to its end: the body is closed in its own context when it goes."""

    @db_app.post("/")
    def view() -> Response:
        def body() -> Iterator[str]:
            add("body")
            get_db().flush()
            yield "a"
            yield "b"

        return Response(body())

    # By itself, and not when the garbage collector finds it: that would end the body's parts in any order.
    gc.disable()
    try:
        db_app.test_client().post("/")
        with db_app.task():
            add("the write lock is free")
    finally:
        gc.enable()
    assert names() == ["the write lock is free"]


def test_error_in_the_body_cuts_and_rolls_back(db_app: CustomFlask, names: Names) -> None:
    """The exception reaches the server, which cuts the connection."""

    @db_app.post("/")
    def view() -> Response:
        def body() -> Iterator[str]:
            add("body")
            yield "a"
            raise ZeroDivisionError

        return Response(body())

    chunks = start(db_app)
    assert next(iter(chunks)) == b"a"
    with pytest.raises(ZeroDivisionError):
        next(iter(chunks))
    chunks.close()
    assert names() == []


def test_failed_late_commit_holds_the_last_chunk_back(db_app: CustomFlask, names: Names) -> None:
    """With a Content-Length the client is short of bytes; an event stream is never held back."""

    @db_app.post("/<kind>")
    def view(kind: str) -> Response:
        def body() -> Iterator[str]:
            yield "a"
            add("orphan", parent_id=4711)
            yield "b"

        headers = {"Content-Length": "2"} if kind != "chunked" else {}
        return Response(body(), headers=headers, mimetype="text/event-stream" if kind == "events" else None)

    received: dict[str, list[bytes]] = {}
    for kind in ("length", "chunked", "events"):
        received[kind] = []
        with pytest.raises(sa.exc.IntegrityError):
            read(db_app, f"/{kind}", received[kind])
    assert received == {"length": [b"a"], "chunked": [b"a", b"b"], "events": [b"a", b"b"]}
    assert names() == []


def read(app: CustomFlask, path: str, received: list[bytes]) -> None:
    """Read to the end as a server does, and keep what came."""
    chunks = start(app, path)
    try:
        while True:
            received.append(next(chunks))
    except StopIteration:
        return
    finally:
        chunks.close()


def test_error_status_rolls_the_body_back(db_app: CustomFlask, names: Names) -> None:
    """A streamed error commits neither the view's nor the body's rows."""

    @db_app.post("/")
    def view() -> t.Any:
        add("view")

        def body() -> Iterator[str]:
            add("body")
            yield "no"

        return Response(body(), status=500)

    assert db_app.test_client().post("/").text == "no"
    assert names() == []


def test_discarded_stream_of_a_failed_commit_is_closed(db_app: CustomFlask) -> None:
    """A primed generator whose response is thrown away leaves no context on the thread."""
    closed: list[str] = []

    @db_app.post("/")
    def view() -> Response:
        add("orphan", parent_id=4711)

        @stream_with_context
        def body() -> Iterator[str]:
            try:
                yield "never sent"
            finally:
                closed.append("never reached: the body had not begun")

        response = Response(body())
        response.call_on_close(lambda: closed.append("response"))
        return response

    assert db_app.test_client().post("/").status_code == 409
    assert closed == ["response"]


def test_head_and_files_open_no_second_task(db_app: CustomFlask, tmp_path: Path) -> None:
    """HEAD never runs the body; a file is handed to the server as it is."""
    (tmp_path / "file.txt").write_text("content")
    ran: list[str] = []

    @db_app.get("/stream")
    def view() -> Response:
        def body() -> Iterator[str]:
            ran.append("body")
            yield "a"

        return Response(body())

    @db_app.get("/file")
    def file() -> Response:
        return send_file(tmp_path / "file.txt")

    client = db_app.test_client()
    assert client.head("/stream").status_code == 200
    assert ran == []
    with client.get("/file") as answer:
        assert answer.text == "content"
        assert type(answer.response).__name__ != "StreamBody"


def test_writing_body_is_told_to_use_a_task_in_development(make_db_app: t.Any, caplog: t.Any) -> None:
    """On SQLite it holds the write lock for as long as the client reads."""
    app = make_db_app(MYAPP_PROFILE="development")

    @app.post("/<how>")
    def view(how: str) -> Response:
        def body() -> Iterator[str]:
            if how == "own":
                with app.task():
                    add(how)
            else:
                add(how)
            yield "a"

        return Response(body())

    client = app.test_client()
    # The one about the tables that development upgrades.
    caplog.clear()
    assert client.post("/own").text == "a"
    assert caplog.records == []
    assert client.post("/held").text == "a"
    assert "with app.task()" in caplog.text


def test_nothing_of_a_stream_leaks_into_the_thread(db_app: CustomFlask, names: Names) -> None:
    """Between two chunks the server's thread has no context and no task: another request runs untouched."""

    @db_app.post("/stream")
    def stream() -> Response:
        @stream_with_context
        def body() -> Iterator[str]:
            yield task.kind
            yield task.kind

        return Response(body())

    @db_app.post("/other")
    def other() -> str:
        add("other")
        return task.kind

    chunks = start(db_app, "/stream")
    assert next(iter(chunks)) == b"stream"
    assert db_app.test_client().post("/other").text == "request"
    assert next(iter(chunks)) == b"stream"
    chunks.close()
    assert names() == ["other"]
