"""RQ carries, the ledger is the truth: what Redis loses, refuses or is told by somebody else changes nothing."""

from __future__ import annotations

import subprocess
import sys
import time
import typing as t
from contextlib import closing

import pytest
from rq.job import Callback
from rq.job import Job as Message
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.webhook import Webhook

from myapp import job
from myapp.core.errors import ConfigurationError
from myapp.core.redis import get_redis
from myapp.core.runtime import get_runtime
from myapp.core.work import Fleet, drain, get_state
from myapp.core.work.messages import PREFIX, find_lost, queue_of, send
from myapp.core.work.rq_worker import make_worker
from myapp.core.work.sender import AT_ONCE, LOCK, Sender
from myapp.core.work.slot import Board
from tests.servers import labour
from tests.servers.labour import Labour
from tests.servers.process import ROOT

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

    from myapp import CustomFlask
    from myapp.core.redis import RedisClient
    from tests.redises import RedisServer


@job(name="tests:redis.add")
def add(number: int) -> int:
    return number + 1


@pytest.fixture
def app(make_app: Callable[..., CustomFlask], redis_server: RedisServer) -> CustomFlask:
    """Return an app whose jobs RQ carries, with a view that enqueues."""
    app = make_app(config={"MYAPP_PROFILE": "development", "MYAPP_JOBS_URL": redis_server.url})
    # The first task makes the tables, which takes long.
    with app.task():
        pass

    @app.post("/enqueue/<int:number>")
    def enqueue(number: int) -> t.Any:
        return {"job": add.enqueue(number)}, 202

    return app


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Return a client of the test's own."""
    with redis_server.client() as client:
        yield client


def post(app: CustomFlask, number: int = 1) -> tuple[str, float]:
    """Enqueue by a request; return the id, and the seconds that the answer took."""
    started = time.monotonic()
    answer = app.test_client().post(f"/enqueue/{number}")
    assert answer.status_code == 202
    return answer.json["job"], time.monotonic() - started


def waiting(client: redis.Redis, queue: str = "default") -> list[str]:
    """Return the ids that messages carry, in their order."""
    return queue_of(client, queue).job_ids


def send_lost(app: CustomFlask, seconds: float = 1.0) -> int:
    """Let ``seconds`` pass, and another sender look; return how many jobs it has sent."""
    get_state(app).clock.advance(seconds)
    with closing(Sender(app)) as sender:
        # The last look was so long ago.
        sender.client.ask(lambda redis: redis.delete(LOCK))
        return sender.send_lost()


def test_message_is_sent_with_the_commit_and_carries_the_id_alone(app: CustomFlask, client: redis.Redis) -> None:
    """Neither the function nor its arguments: what is in Redis is nobody's secret, and nobody's program."""
    job_id, _ = post(app, 4711)
    assert waiting(client) == [job_id]
    message = Message.fetch(job_id, connection=client, serializer=JSONSerializer)
    assert (message.args, message.kwargs, message.func_name) == ([], {}, "myapp.job")
    assert b"4711" not in b"".join(client.hgetall(message.key).values())
    with pytest.raises(ZeroDivisionError), app.task():
        add.enqueue(1)
        raise ZeroDivisionError
    assert waiting(client) == [job_id]


def test_delayed_job_is_sent_when_it_is_due(app: CustomFlask, client: redis.Redis) -> None:
    """By the sender; a job that waits for its time, or for its next try, is not in Redis."""
    with app.task():
        job_id = add.with_options(delay=60).enqueue(1)
    assert waiting(client) == []
    assert send_lost(app) == 0
    assert send_lost(app, 60) == 1
    assert waiting(client) == [job_id]


def test_lost_messages_are_sent_again_and_others_are_not(app: CustomFlask, client: redis.Redis) -> None:
    """Whatever Redis has lost is what is missing in its queues; who looks twice sends once."""
    ids = [post(app)[0] for _ in range(3)]
    assert send_lost(app) == 0
    client.lrem(queue_of(client, "default").key, 0, ids[1])
    assert send_lost(app) == 1
    assert sorted(waiting(client)) == sorted(ids)
    client.flushall()
    assert send_lost(app) == 3
    with closing(Sender(app)) as other:
        client.flushall()
        client.set(LOCK, "somebody", px=10_000)
        assert other.send_lost() == 0
    assert send_lost(app) == 3
    assert waiting(client) == ids
    assert [ended.state for ended in drain(app)] == ["done"] * 3
    client.flushall()
    assert send_lost(app) == 0


def test_long_queue_keeps_no_other_from_being_sent(app: CustomFlask, client: redis.Redis) -> None:
    """Although one look covers so many jobs only; within a queue those that come first are sent."""
    with app.task():
        last = [add.enqueue(number) for number in range(AT_ONCE + 1)][-1]
        first = add.with_options(priority=1).enqueue(0)
        other = add.with_options(queue="short", priority=-1).enqueue(1)
        add.with_options(queue="short", delay=3600).enqueue(2)
    client.flushall()
    assert send_lost(app) == AT_ONCE + 1
    assert waiting(client, "short") == [other]
    sent = waiting(client)
    assert (sent[0], len(sent), last in sent) == (first, AT_ONCE, False)


def test_breaker_is_closed_by_an_answer_only(app: CustomFlask, redis_server: RedisServer) -> None:
    """A delayed job sends nothing: nobody has asked Redis then."""
    breaker = t.cast("RedisClient", get_redis(app, "jobs")).breaker
    redis_server.stop()
    post(app)
    assert breaker.retry_after > 0
    clock = time.monotonic() + breaker.seconds + 1
    breaker._clock = lambda: clock
    with app.task():
        add.with_options(delay=60).enqueue(1)
    assert breaker._open_until is not None


def test_redis_that_refuses_ends_nobody(
    app: CustomFlask, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Full, or a replica by now: requests get their 202, the sender goes on, and one line of its log says why."""
    client.config_set("maxmemory", 1)
    job_id, _ = post(app)
    caplog.clear()
    get_state(app).clock.advance(1)
    with closing(Sender(app)) as sender:
        assert [sender.send_lost(), sender.send_lost()] == [0, 0]
        assert caplog.text.count("takes no messages") == 1
        client.config_set("maxmemory", 0)
        assert sender.send_lost() == 1
    assert waiting(client) == [job_id]


def test_redis_that_hangs_or_is_away_does_not_keep_a_request(
    app: CustomFlask, client: redis.Redis, redis_server: RedisServer
) -> None:
    """202 with the row, once after half a second and then at once; sent when Redis is back, without a restart."""
    redis_server.hang()
    first = post(app)
    others = [post(app) for _ in range(5)]
    redis_server.wake()
    assert first[1] < 3
    assert max(seconds for _, seconds in others) < 0.4
    redis_server.stop()
    others += [post(app) for _ in range(2)]
    assert max(seconds for _, seconds in others) < 0.4
    with closing(Sender(app)) as sender:
        assert sender.send_lost() == 0
    redis_server.start()
    assert send_lost(app) == len(waiting(client)) == 8


def work(app: CustomFlask, client: redis.Redis) -> None:
    """Run what is in Redis by one of RQ's workers, until there is nothing left."""
    make_worker(app, Fleet(), Board(), client).work(burst=True, logging_level="ERROR")


def test_doubled_messages_run_each_job_once_in_the_ledgers_order(labourer: Labourer) -> None:
    """The larger priority first, whichever message has come first. Nothing of a message stays in Redis, or grows."""
    ids = [labourer.enqueue(f"priority {priority}", priority=priority) for priority in (0, 9, 5)]
    with labourer.redis.client() as client:
        send(client, [(id_, "default") for id_ in ids])
        assert len(waiting(client)) == 6
        labourer.work()
        left = {key.decode() for key in client.keys("*")}
    rows = sorted((labourer.find(id_) for id_ in ids), key=lambda row: t.cast("t.Any", row.started))
    assert [(row.priority, row.state, row.attempts) for row in rows] == [(9, "done", 1), (5, "done", 1), (0, "done", 1)]
    assert labourer.names() == ["priority 0", "priority 5", "priority 9"]
    assert not [key for key in left if ":job:" in key or ":execution" in key]


def test_messages_of_others_call_nothing(labourer: Labourer, tmp_path: Path) -> None:
    """Whoever may write to Redis cannot name a function, a callback or an address: a worker of ours looks at none."""
    with labourer.redis.client() as client:
        foreign = Queue(f"{PREFIX}default", connection=client, serializer=JSONSerializer)
        foreign.enqueue(
            "os.mkdir",
            str(tmp_path / "called"),
            on_success=Callback("os.abort"),
            on_failure=Callback("os.abort"),
            webhooks=[Webhook("http://127.0.0.1:9/", "finished")],
            job_id="foreign",
        )
        job_id = labourer.enqueue("ours")
        labourer.work()
        assert waiting(client) == []
        # What RQ itself does with messages, when it clears away those of dead workers, is done with these.
        foreign.enqueue("os.abort", on_failure=Callback("os.abort"), job_id="foreign")
        worker = make_worker(labourer.labour.app, Fleet(), Board(), client)
        message = worker.job_class.fetch("foreign", connection=client, serializer=JSONSerializer)
        assert (message.failure_callback, message.webhooks) == (None, [])
    assert not (tmp_path / "called").exists()
    assert (labourer.names(), labourer.find(job_id).state) == (["ours"], "done")


class Labourer:
    """An app with jobs on Redis, and one worker that runs until there is nothing left."""

    def __init__(self, work: Labour, redis: RedisServer) -> None:
        self.labour = work
        self.redis = redis
        self.names, self.find = work.names, work.find

    def enqueue(self, name: str, **options: t.Any) -> str:
        return self.labour.enqueue(labour.add, name, **options)

    def work(self) -> None:
        """Run one of RQ's workers in a process of its own: it forks, and this one has threads and connections."""
        code = (
            "from tests.servers.labour import make; from tests.core.work.test_redis_engine import run_burst;"
            "run_burst(make())"
        )
        environ = {**labour.os.environ, "PYTHONPATH": str(ROOT), **self.labour.environ}
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, check=True, timeout=60)


def run_burst(app: CustomFlask) -> None:
    """Be a worker that ends when there is nothing left."""
    from redis import Redis

    get_runtime(app).close()
    with Redis.from_url(app.config["MYAPP_JOBS_URL"]) as client:
        work(app, client)


@pytest.fixture
def labourer(tmp_path: Path, redis_server: RedisServer) -> Iterator[Labourer]:
    """Return an app with jobs on a Redis of its own."""
    with labour.labour(tmp_path, jobs_url=redis_server.url) as made:
        yield Labourer(made, redis_server)


@pytest.mark.live
@pytest.mark.xdist_group("fleet")
def test_fleet_that_starts_before_redis_waits_for_it(tmp_path: Path, redis_server: RedisServer) -> None:
    """And serves a queue that nobody had before it started."""
    redis_server.stop()
    with labour.labour(tmp_path, jobs_url=redis_server.url) as work, work.fleet("-c", "1"):
        job_id = work.enqueue(labour.add, "early", queue="a new queue")
        work.wait(lambda: "does not answer" in work.log.read_text())
        redis_server.start()
        row = work.wait_for(job_id)
        assert (row.state, row.attempts) == ("done", 1)


def test_find_lost_keeps_the_order(redis_server: RedisServer) -> None:
    """Over several queues; what comes first is sent first."""
    with redis_server.client() as client:
        send(client, [("b", "one"), ("d", "two")])
        jobs = [("a", "one"), ("b", "one"), ("c", "two"), ("d", "one"), ("d", "two")]
        assert find_lost(client, jobs) == [("a", "one"), ("d", "one"), ("c", "two")]


@pytest.mark.parametrize("url", ["redis:///0", "amqp://127.0.0.1", "redis", "redis:"])
def test_wrong_url_is_a_configuration_error(make_app: Callable[..., CustomFlask], url: str) -> None:
    """Also one that means another setting, which is not set."""
    with pytest.raises(ConfigurationError, match=r"MYAPP_JOBS_URL \(from the argument of create_app\)"):
        make_app(config={"MYAPP_JOBS_URL": url})


def test_redis_alone_means_the_apps(make_app: Callable[..., CustomFlask], redis_server: RedisServer) -> None:
    """``redis:`` is the Redis of ``MYAPP_REDIS_URL``."""
    app = make_app(
        config={
            "MYAPP_PROFILE": "development",
            "MYAPP_JOBS_URL": "redis:",
            "MYAPP_REDIS_URL": redis_server.url,
        }
    )
    with app.task():
        job_id = add.enqueue(1)
    with redis_server.client() as client:
        assert waiting(client) == [job_id]
