"""``/jobs``: who may know what of a job, and what its ends look like."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import sqlalchemy as sa

from myapp import ApiException, CustomFlask, get_db, job, progress
from myapp.core.work import Job, Taker, drain, get_state
from myapp.testing import bearer

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from tests.databases import Tables


@job
def double(number: int) -> int:
    return number * 2


@job(retries=1, retry_on=ArithmeticError)
def fail(kind: str) -> None:
    raise {
        "retried": ArithmeticError("a password"),
        "final": KeyError("a password"),
        "problem": ApiException("No meter south.", 404, meter="south"),
        "typed": ApiException("No meter south.", 404, type="https://example.com/no-meter"),
    }[kind]


@pytest.fixture
def app(make_app: Callable[..., CustomFlask], tables: Tables) -> CustomFlask:
    """Return an app with its tables, where ``POST /enqueue`` enqueues a job for whoever asks."""
    app: CustomFlask = make_app(config={"MYAPP_PROFILE": "development", "PROPAGATE_EXCEPTIONS": False})
    tables.make(app)

    @app.post("/double/<int:number>")
    def enqueue(number: int) -> dict[str, str]:
        return {"job": double.enqueue(number)}

    return app


def enqueue(app: CustomFlask, number: int = 1, **headers: str) -> str:
    return t.cast("str", app.test_client().post(f"/double/{number}", headers=headers).json["job"])


def enqueue_failing(app: CustomFlask, kind: str) -> str:
    with app.task():
        return fail.enqueue(kind)


def set_state(app: CustomFlask, job_id: str, **columns: t.Any) -> None:
    """Leave a job as another process would."""
    with app.task():
        get_db().execute(sa.update(Job).where(Job.id == job_id).values(**columns))


def test_a_job_from_its_begin_to_its_end(app: CustomFlask) -> None:
    """202 with Retry-After while there is something to wait for, then 200 with the result; nobody keeps a copy."""
    client, job_id = app.test_client(), enqueue(app, 21)
    answer = client.get(f"/jobs/{job_id}")
    assert (answer.status_code, answer.headers["Retry-After"], answer.json["status"]) == (202, "1", "queued")
    assert (answer.json["job"], answer.json["href"]) == (job_id, f"/jobs/{job_id}")
    assert answer.headers["Cache-Control"] == "no-store"

    drain(app)

    answer = client.get(f"/jobs/{job_id}")
    assert (answer.status_code, answer.json["status"], answer.json["result"]) == (200, "done", 42)
    assert "Retry-After" not in answer.headers
    assert answer.json["created"] <= answer.json["started"] <= answer.json["finished"]
    assert "error" not in answer.json


def test_progress_of_a_running_job(app: CustomFlask) -> None:
    """Running is 202 as well, with how far it is."""
    seen: list[t.Any] = []

    @job(name="tests:watched", atomic=False)
    def watched() -> None:
        progress(0.4, "two of five")
        seen.append(app.test_client().get(f"/jobs/{job_id}"))

    with app.task():
        job_id = watched.enqueue()
    drain(app)
    [answer] = seen
    assert (answer.status_code, answer.json["status"]) == (202, "running")
    assert (answer.json["progress"], answer.json["progress_text"]) == (0.4, "two of five")


@pytest.mark.parametrize(
    ("kind", "type_", "status", "detail"),
    [
        ("final", "urn:myapp:problems#job-failed", 500, "It ended with an error, and is not tried again."),
        ("retried", "urn:myapp:problems#job-dead", 500, "It failed in every attempt, or cannot be run."),
        ("problem", "urn:myapp:problems#job-failed", 404, "No meter south."),
        ("typed", "https://example.com/no-meter", 404, "No meter south."),
    ],
)
def test_a_failure_is_a_problem_whose_type_says_which(
    app: CustomFlask, kind: str, type_: str, status: int, detail: str
) -> None:
    """200, because the question was answered. What the code said of its error is for operators alone."""
    job_id = enqueue_failing(app, kind)
    drain(app)
    if kind == "retried":
        # Waiting for its next attempt it is queued, and says nothing of the last.
        answer = app.test_client().get(f"/jobs/{job_id}")
        assert (answer.status_code, answer.json["status"], "error" in answer.json) == (202, "queued", False)
        get_state(app).clock.advance(60)
        drain(app)

    answer = app.test_client().get(f"/jobs/{job_id}")

    assert (answer.status_code, answer.json["status"], "result" in answer.json) == (200, "failed", False)
    problem = answer.json["error"]
    assert (problem["type"], problem["status"], problem["detail"]) == (type_, status, detail)
    assert problem["instance"] == f"/jobs/{job_id}"
    assert problem.get("meter") == ("south" if kind == "problem" else None)
    assert "password" not in answer.text


def test_somebody_elses_job_is_not_there(app: CustomFlask) -> None:
    """404 for others and for nobody, as for one that never was; with a bad token 401; without an owner it is shown."""
    ann, bob = bearer(app, "ann@example.com"), bearer(app, "bob@example.com")
    mine, nobodys = enqueue(app, **ann), enqueue(app)
    client = app.test_client()

    def ask(method: str, job_id: str, **headers: str) -> int:
        return client.open(f"/jobs/{job_id}", method=method, headers=headers).status_code

    for method in ("GET", "DELETE"):
        assert ask(method, mine, **bob) == 404
        assert ask(method, mine) == 404
        assert ask(method, mine, Authorization="Bearer rubbish") == 401
        assert ask(method, "01900000-0000-7000-8000-000000000000", **ann) == 404
        assert ask(method, "x", **ann) == 404
        assert ask(method, "%00" * 12, **ann) == 404
    assert ask("GET", mine, **ann) == 202
    assert ask("GET", nobodys, **bob) == 202
    assert ask("GET", nobodys) == 202


def test_an_expired_job_is_gone_for_its_owner_only(app: CustomFlask) -> None:
    """410 for whoever knew of it, 404 for everybody else, and for one without an owner."""
    ann, bob = bearer(app, "ann@example.com"), bearer(app, "bob@example.com")
    mine, nobodys = enqueue(app, **ann), enqueue(app)
    drain(app)
    client = app.test_client()
    assert client.get(f"/jobs/{mine}", headers=ann).status_code == 200

    get_state(app).clock.advance(24 * 3600 + 1)

    assert client.get(f"/jobs/{mine}", headers=ann).status_code == 410
    assert client.get(f"/jobs/{mine}", headers=bob).status_code == 404
    assert client.get(f"/jobs/{mine}").status_code == 404
    assert client.get(f"/jobs/{nobodys}").status_code == 404
    assert client.get("/jobs/", headers=ann).json == {"items": [], "next": None}


def test_a_waiting_job_that_is_cancelled_never_starts(app: CustomFlask) -> None:
    """At once, and as often as one likes; a cancelled job has failed, and the problem says how."""
    client, job_id = app.test_client(), enqueue(app)
    for _ in range(2):
        answer = client.delete(f"/jobs/{job_id}")
        assert (answer.status_code, answer.json["status"]) == (200, "failed")
        assert answer.json["error"]["type"] == "urn:myapp:problems#job-cancelled"
    assert drain(app) == []
    assert client.get(f"/jobs/{job_id}").json == answer.json


def test_a_running_job_is_asked_to_stop(app: CustomFlask) -> None:
    """202: it stops where it looks whether it may go on."""
    seen: list[t.Any] = []

    @job(name="tests:stopped", atomic=False)
    def stopped() -> None:
        seen.append(app.test_client().delete(f"/jobs/{job_id}"))
        progress(0.5)
        seen.append("went on")

    with app.task():
        job_id = stopped.enqueue()
    assert [ended.state for ended in drain(app)] == ["cancelled"]
    [answer] = seen
    assert (answer.status_code, answer.json["status"]) == (202, "running")


def test_a_worker_of_another_user_that_cannot_be_told_to_stop(
    app: CustomFlask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """503, and the log says which folder it is about; so does the command."""
    job_id = enqueue(app)
    with Taker(app) as taker:
        assert taker.take() is not None
        # No folder is closed to root, who may run the tests.
        monkeypatch.setattr(pathlib.Path, "touch", raise_permission_error)
        answer = app.test_client().delete(f"/jobs/{job_id}")
        result = app.test_cli_runner().invoke(args=["jobs", "cancel", job_id])

    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert "-workers" in caplog.text
    assert result.exit_code == 1
    assert "may not write into" in result.stderr


def raise_permission_error(_path: pathlib.Path) -> None:
    raise PermissionError


def test_a_job_that_has_ended_cannot_be_cancelled(app: CustomFlask) -> None:
    """409, and it stays what it is."""
    job_id = enqueue(app)
    drain(app)
    client = app.test_client()
    assert client.delete(f"/jobs/{job_id}").status_code == 409
    assert client.get(f"/jobs/{job_id}").json["status"] == "done"


def test_own_jobs_a_page_at_a_time(app: CustomFlask) -> None:
    """The newest first, without results; nobody else's; a token is needed."""
    ann, bob = bearer(app, "ann@example.com"), bearer(app, "bob@example.com")
    enqueue(app, **bob)
    enqueue(app)
    mine = [enqueue(app, number, **ann) for number in range(3)]
    drain(app)
    client = app.test_client()

    first = client.get("/jobs/?limit=2", headers=ann)
    second = client.get(first.json["next"], headers=ann)

    assert [item["job"] for item in (*first.json["items"], *second.json["items"])] == mine[::-1]
    assert second.json["next"] is None
    assert first.headers["Link"] == f'<{first.json["next"]}>; rel="next"'
    assert {item["status"] for item in first.json["items"]} == {"done"}
    assert not any("result" in item for item in first.json["items"])
    assert client.get("/jobs/").status_code == 401
    assert client.get("/jobs/?limit=0", headers=ann).status_code == 422
    assert client.get("/jobs/?cursor=x", headers=ann).status_code == 400
