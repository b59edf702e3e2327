"""``POST /realmon/api/v1/meters/<name>/readings``: one or many, all or nothing, on both databases."""

from __future__ import annotations

import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from myapp_plugins.realmon.importing import Target, store
from myapp_plugins.realmon.models import Meter, Reading
from myapp_plugins.realmon.parsing import Readings

from myapp import get_db
from myapp.testing import bearer

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.test import TestResponse

    from myapp import CustomFlask
    from tests.databases import Tables

Post = t.Callable[..., "TestResponse"]
Values = t.Callable[[], list[str]]

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def reading(hour: float, value: t.Any) -> dict[str, t.Any]:
    """Return a reading so many hours after noon."""
    return {"start": (NOON + timedelta(hours=hour)).isoformat(), "value": value}


def make_meter(app: CustomFlask, name: str = "m", *values: str) -> None:
    """Make a meter with hourly readings from noon on, two at least."""
    readings = Readings()
    for hour, value in enumerate(values or ("1", "2")):
        readings.add(hour, int(NOON.timestamp()) + 3600 * hour, value)
    with app.task():
        store(readings, Target(name, "b", ZoneInfo("UTC"), "kWh"))


@pytest.fixture
def app(
    make_app: Callable[..., CustomFlask], database_config: Callable[[], dict[str, str]], tables: Tables
) -> CustomFlask:
    """Return an app with the plugin and a meter that has noon and one o'clock, on each kind of database."""
    app = make_app("realmon", config={"PROPAGATE_EXCEPTIONS": False, **database_config()})
    tables.make(app)
    make_meter(app)
    return app


@pytest.fixture
def post(app: CustomFlask) -> Post:
    """Return a function that posts a body to a meter, with a token that may."""
    headers = bearer(app, "ann@example.com", "readings:write")

    def send(body: t.Any, meter: str = "m") -> TestResponse:
        return app.test_client().post(f"/realmon/api/v1/meters/{meter}/readings", json=body, headers=headers)

    return send


@pytest.fixture
def values(app: CustomFlask) -> Values:
    """Return a function that gives the values of the meter ``m``, in the order of time."""

    def read() -> list[str]:
        query = sa.select(Reading.value).join(Meter).where(Meter.name == "m").order_by(Reading.start)
        with app.task(read_only=True):
            return [f"{value:f}" for value in get_db().scalars(query)]

    return read


def faults(answer: TestResponse) -> list[tuple[str, str]]:
    """Return the pointer and the code of each fault of a 422."""
    assert answer.status_code == 422, answer.text
    assert answer.content_type == "application/problem+json"
    return [(error["pointer"], error["code"]) for error in answer.get_json()["errors"]]


def test_one_reading_is_stored(post: Post, values: Values) -> None:
    """The answer counts what is new; the offset counts."""
    answer = post({"start": "2026-01-01T15:00:00+01:00", "value": "1.250"})

    assert (answer.status_code, answer.get_json()) == (201, {"meter": "m", "new": 1, "known": 0})
    assert values() == ["1", "2", "1.25"]


def test_many_readings_are_stored_to_their_last_digit(post: Post, values: Values) -> None:
    """Text to the thirtieth decimal, integers as they are, negative ones too."""
    exact = "123456789012345.000000000000000000000000000001"

    answer = post({"readings": [reading(2, exact), reading(3, 999999999999999), reading(4, -7), reading(5, "-1e-3")]})

    assert answer.get_json() == {"meter": "m", "new": 4, "known": 0}
    assert values() == ["1", "2", exact, "999999999999999", "-7", "-0.001"]


def test_a_repeat_counts_once(post: Post, values: Values) -> None:
    """In the batch, and of what is stored; a second post of the same is a 201 that stores nothing."""
    batch = {"readings": [reading(1, "2.0"), reading(2, "3"), reading(2, 3)]}

    assert post(batch).get_json() == {"meter": "m", "new": 1, "known": 1}
    again = post(batch)
    assert (again.status_code, again.get_json()) == (201, {"meter": "m", "new": 0, "known": 2})
    assert values() == ["1", "2", "3"]


def test_every_fault_has_its_pointer_and_nothing_is_kept(post: Post, values: Values) -> None:
    """Of each kind, in the order of the list; two of one reading are two."""
    entries = [
        reading(2, "3"),
        {"start": "2026-01-01T16:00:00", "value": "x"},
        reading(5, 1.5),
        reading(6, True),
        reading(7, None),
        {"start": 1767225600, "value": "1"},
        {"value": "1"},
        {},
        [],
        {**reading(8, "1"), "unit": "kWh"},
        reading(2, "4"),
        reading(1, "9"),
        reading(9.5, "1"),
        reading(10, "NaN"),
        reading(11, 10**15),
        reading(12, "1"),
    ]

    answer = post({"readings": entries})

    assert faults(answer) == [
        ("/readings/1/start", "invalid"),
        ("/readings/1/value", "invalid"),
        ("/readings/2/value", "invalid"),
        ("/readings/3/value", "invalid"),
        ("/readings/4/value", "invalid"),
        ("/readings/5/start", "invalid"),
        ("/readings/6/start", "required"),
        ("/readings/7/start", "required"),
        ("/readings/7/value", "required"),
        ("/readings/8", "type"),
        ("/readings/9", "extra"),
        ("/readings/10/value", "conflict"),
        ("/readings/11/value", "conflict"),
        ("/readings/12/start", "conflict"),
        ("/readings/13/value", "invalid"),
        ("/readings/14/value", "invalid"),
    ]
    details = [error["detail"] for error in answer.get_json()["errors"]]
    assert "has no offset" in details[0]
    assert 'send text: "1.25"' in details[2]
    assert details[3] == 'The value must be text such as "1.25", or an integer.'
    assert details[11] == "The value 4 contradicts /readings/0/value, where it is 3."
    assert details[12] == "The value 9 contradicts the stored 2 of 2026-01-01 13:00 UTC."
    assert details[13] == "2026-01-01 21:30 UTC lies between two hourly readings."
    assert values() == ["1", "2"]


def test_faults_of_one_reading_point_into_it(post: Post) -> None:
    """There is no list whose place could be named."""
    assert faults(post({"start": "yesterday", "value": 0.1})) == [("/start", "invalid"), ("/value", "invalid")]
    assert faults(post(reading(1, "9"))) == [("/value", "conflict")]
    assert faults(post(reading(0.5, "9"))) == [("/start", "conflict")]


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ([], "", "type"),
        ("text", "", "type"),
        (5, "", "type"),
        ({"readings": {}}, "/readings", "type"),
        ({"readings": []}, "/readings", "length"),
        ({"readings": [{}] * 10_001}, "/readings", "length"),
        ({"readings": [reading(2, "1")], "meter": "m"}, "", "extra"),
        ({"readings": [reading(h / 6, "1") for h in range(12, 20)]}, "/readings", "interval"),
        ({"readings": [reading(h / 2, "1") for h in range(4, 20)]}, "/readings", "interval"),
    ],
)
@pytest.mark.backend("sqlite")
def test_a_body_of_another_form_is_refused(body: t.Any, pointer: str, code: str, post: Post, values: Values) -> None:
    """With the place that is wrong; so are readings at another pace than the meter's."""
    assert faults(post(body)) == [(pointer, code)]
    assert values() == ["1", "2"]


@pytest.mark.backend("sqlite")
def test_ten_thousand_readings_are_stored(post: Post, values: Values) -> None:
    """As many as one request may bring, the longest values included."""
    value = "123456789012345.000000000000000000000000000001"
    assert post({"readings": [reading(2 + h, value) for h in range(10_000)]}).get_json()["new"] == 10_000
    assert len(values()) == 10_002


@pytest.mark.backend("sqlite")
def test_what_is_no_json_or_too_much_is_refused(app: CustomFlask) -> None:
    """415, 400 and 413, each with what to do."""
    headers = bearer(app, "ann@example.com", "readings:write")
    client = app.test_client()

    def status(data: bytes, content_type: str = "application/json") -> int:
        path = "/realmon/api/v1/meters/m/readings"
        return client.post(path, data=data, content_type=content_type, headers=headers).status_code

    assert status(b"start,value", "text/csv") == 415
    assert status(b"{") == 400
    assert status(b'{"start": NaN, "value": "1"}') == 400
    assert status(b'{"start":' + b"[" * 100 + b"]" * 100 + b"}") == 400
    assert status(b" " * (2 * 1024 * 1024 + 1)) == 413


@pytest.mark.backend("sqlite")
def test_a_number_of_many_digits_is_not_rounded(app: CustomFlask, values: Values) -> None:
    """JSON has no limit of digits; where one would be lost, the reading is refused."""
    headers = bearer(app, "ann@example.com", "readings:write")
    answer = app.test_client().post(
        "/realmon/api/v1/meters/m/readings",
        data=b'{"start": "2026-01-01T14:00Z", "value": 123456789012345678901234567890}',
        content_type="application/json",
        headers=headers,
    )
    assert faults(answer) == [("/value", "invalid")]
    assert values() == ["1", "2"]


def test_only_a_token_with_the_scope_may(app: CustomFlask, values: Values) -> None:
    """401 without one, 403 with another."""
    path, client = "/realmon/api/v1/meters/m/readings", app.test_client()

    assert client.post(path, json=reading(2, "1")).status_code == 401
    headers = bearer(app, "ann@example.com", "users:write")
    refused = client.post(path, json=reading(2, "1"), headers=headers)

    assert refused.status_code == 403
    assert 'scope="readings:write"' in refused.headers["WWW-Authenticate"]
    assert values() == ["1", "2"]


def test_the_meter_must_be_there(app: CustomFlask, post: Post) -> None:
    """404 with its name; whatever a name is made of can be posted to."""
    assert post(reading(2, "1"), meter="nothing").status_code == 404
    make_meter(app, "a/b ü")
    assert post(reading(2, "1"), meter="a%2Fb%20%C3%BC").get_json() == {"meter": "a/b ü", "new": 1, "known": 0}


def together(*posts: Callable[[], TestResponse]) -> list[TestResponse]:
    """Return the answers of posts that begin at once."""
    start = threading.Barrier(len(posts))

    def run(send: Callable[[], TestResponse]) -> TestResponse:
        start.wait(timeout=30)
        return send()

    with ThreadPoolExecutor(len(posts)) as pool:
        return list(pool.map(run, posts))


def test_the_same_batch_at_once_is_stored_once(post: Post, values: Values) -> None:
    """Each is a 201, and together they have counted each reading as new once."""
    batch = {"readings": [reading(2 + h, h) for h in range(500)]}

    answers = together(*[lambda: post(batch)] * 4)

    assert [answer.status_code for answer in answers] == [201] * 4
    assert sorted(answer.get_json()["new"] for answer in answers) == [0, 0, 0, 500]
    assert values() == ["1", "2", *map(str, range(500))]


def test_batches_that_contradict_each_other_at_once_are_not_mixed(post: Post, values: Values) -> None:
    """One is stored, the other refused with each reading that contradicts."""
    batches = [{"readings": [reading(2 + h, value) for h in range(100)]} for value in ("3", "4")]

    answers = together(*[lambda batch=batch: post(batch) for batch in batches])

    assert sorted(answer.status_code for answer in answers) == [201, 422]
    [refused] = [answer for answer in answers if answer.status_code == 422]
    assert len(faults(refused)) == 100
    assert len(set(values()[2:])) == 1
