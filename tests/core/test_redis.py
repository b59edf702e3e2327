"""Redis that is there, refuses, hangs and comes back: nobody waits for it twice."""

from __future__ import annotations

import logging
import socket
import time
import typing as t

import pytest

from myapp.core.errors import ConfigurationError, UnavailableError
from myapp.core.redis import Breaker, RedisClient, get_redis

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.redises import RedisServer


class Clock:
    """The time, which moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def silent_url() -> Iterator[str]:
    """Return the URL of something that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture
def refusing_url() -> str:
    """Return the URL of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture
def make_client() -> Iterator[Callable[..., RedisClient]]:
    """Return a function that makes clients, closed with the test."""
    clients: list[RedisClient] = []

    def make(url: str, breaker: Breaker | None = None) -> RedisClient:
        clients.append(RedisClient(url, "tests", breaker))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def ask(client: RedisClient) -> float:
    """Ask a Redis that does not answer; return the seconds that it took."""
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        client.ask(lambda redis: redis.ping())
    return time.monotonic() - started


def test_a_redis_that_refuses_is_an_error_at_once(make_client: Callable[..., RedisClient], refusing_url: str) -> None:
    """Not after the ten tries of redis-py, which take four seconds; the error says where and what to do."""
    client = make_client(refusing_url.replace("//", "//ann:a-password@"))
    assert ask(client) < 1
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:\d+/0 does not answer. Check") as caught:
        client.ask(lambda redis: redis.ping())
    assert "a-password" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_redis_that_hangs_is_waited_for_once(
    make_client: Callable[..., RedisClient], silent_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The first caller waits for half a second, the next ones not at all; one line in the log."""
    client = make_client(silent_url)
    assert 0.4 < ask(client) < 3
    assert max(ask(client) for _ in range(5)) < 0.4
    assert [record.levelname for record in caplog.records if record.name == "myapp.redis"] == ["WARNING"]


def test_a_redis_that_comes_back_is_asked_again(
    make_client: Callable[..., RedisClient], redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a restart of the app: after the pause one caller tries, and all go on."""
    caplog.set_level(logging.INFO)
    clock = Clock()
    client = make_client(redis_server.url, Breaker(5, clock))
    client.ask(lambda redis: redis.set("key", 1))
    redis_server.stop()
    ask(client)
    redis_server.start()
    ask(client)
    clock.now += 5.1
    assert client.ask(lambda redis: redis.get("key")) is None
    assert client.ask(lambda redis: redis.ping()) is True
    assert [record.getMessage().split(" (")[0] for record in caplog.records if record.name == "myapp.redis"] == [
        f"Redis at {redis_server.url} does not answer",
        f"Redis at {redis_server.url} answers again.",
    ]


def test_a_restart_between_two_commands_is_not_noticed(
    make_client: Callable[..., RedisClient], redis_server: RedisServer
) -> None:
    """A connection of the pool that was closed meanwhile is replaced, although nothing is tried twice."""
    client = make_client(redis_server.url)
    assert client.ask(lambda redis: redis.ping()) is True
    redis_server.stop()
    redis_server.start()
    assert client.ask(lambda redis: redis.ping()) is True


def test_an_error_that_redis_answers_is_no_outage(
    make_client: Callable[..., RedisClient], redis_server: RedisServer
) -> None:
    """It reaches the caller as it is, and the next one asks."""
    client = make_client(redis_server.url)
    client.ask(lambda redis: redis.set("text", "x"))
    with pytest.raises(Exception, match="not an integer"):
        client.ask(lambda redis: redis.incr("text"))
    assert client.ask(lambda redis: redis.ping()) is True


def test_one_caller_tries_for_all() -> None:
    """After the pause the first is let through, the others are refused until it has news, or is lost itself."""
    clock = Clock()
    breaker = Breaker(5, clock)
    assert breaker.admits()
    assert breaker.fail()
    assert not breaker.fail()
    assert not breaker.admits()
    assert breaker.retry_after == 5
    clock.now += 5
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    clock.now += 5
    assert breaker.admits()
    assert breaker.succeed()
    assert not breaker.succeed()
    assert breaker.retry_after == 0
    assert breaker.admits()


def test_the_app_has_one_client_for_each_role(make_app: Callable[..., t.Any], refusing_url: str) -> None:
    """Made at first use, closed with the runtime; None where no URL is set."""
    assert get_redis(make_app(), "limits") is None
    app = make_app(config={"MYAPP_REDIS_URL": refusing_url})
    client = get_redis(app, "limits")
    assert client is not None
    assert client is get_redis(app, "limits")
    assert client is not get_redis(app, "cache")


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://127.0.0.1", "redis:///0", "sqlite:///x"])
def test_another_url_is_a_configuration_error(make_app: Callable[..., t.Any], url: str) -> None:
    """Found at start, with how it is written, and without the value."""
    with pytest.raises(ConfigurationError, match=r"MYAPP_REDIS_URL .*: write it as redis://") as caught:
        make_app(config={"MYAPP_REDIS_URL": url})
    assert url not in str(caught.value)
