"""Redis: the one place that connects to it, and that stops asking while it does not answer."""

from __future__ import annotations

import logging
import threading
import time
import typing as t
from urllib.parse import urlsplit

from .config import get_config
from .errors import MyappError, UnavailableError
from .runtime import get_runtime

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from redis import Redis

logger = logging.getLogger("myapp.redis")

T = t.TypeVar("T")

#: A request waits for Redis no longer than this, once; see :class:`Breaker` for the requests after it.
CONNECT_SECONDS, SOCKET_SECONDS = 0.25, 0.5
#: How long nobody asks a Redis that did not answer.
OPEN_SECONDS = 5.0


def make_redis(url: str, role: str) -> Redis:
    """Return a client of the Redis at ``url`` that gives up soon and never tries again by itself.

    Nothing is connected before the first command. What the query of the URL says (``?socket_timeout=2``) wins.

    :param role: what it is for; ``CLIENT LIST`` shows it in the name of the connection.
    :raises MyappError: when the extra ``redis`` is not installed.
    """
    try:
        # 80 to 130 ms, and only for who has set a URL.
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise MyappError("Redis needs the package redis: pip install 'myapp[redis]'.") from error
    # The constructor of redis-py 8 without from_url tries ten times: 3.8 s for each command when Redis is down. With
    # from_url that is off today; it is said here, so that it stays.
    return Redis.from_url(
        url,
        client_name=f"myapp-{role}",
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=SOCKET_SECONDS,
    )


class Breaker:
    """Say when not to ask: after a failure nobody does for a while; then one asks, and the others wait for the news.

    :param seconds: for how long.
    :param clock: what tells the time, as :func:`time.monotonic` does.
    """

    def __init__(self, seconds: float = OPEN_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        #: None while all is well.
        self._open_until: float | None = None

    @property
    def retry_after(self) -> float:
        """In how many seconds somebody asks again; 0 while all is well."""
        until = self._open_until
        return 0.0 if until is None else max(0.0, until - self._clock())

    def admits(self) -> bool:
        """Whether the caller may ask; it says afterwards how that went."""
        if self._open_until is None:
            return True
        with self._lock:
            if self.retry_after > 0:
                return False
            # The caller is the one; whoever comes before it has news is refused.
            self._open_until = self._clock() + self.seconds
            return True

    def fail(self) -> bool:
        """Note that there was no answer; True for the first one, which is worth a line in the log."""
        with self._lock:
            is_first = self._open_until is None
            self._open_until = self._clock() + self.seconds
            return is_first

    def succeed(self) -> bool:
        """Note an answer; True for the first one after a failure."""
        if self._open_until is None:
            return False
        with self._lock:
            was_open, self._open_until = self._open_until is not None, None
            return was_open


class RedisClient:
    """A Redis that is asked through a breaker.

    :param url: where it is.
    :param role: what it is for.
    """

    def __init__(self, url: str, role: str, breaker: Breaker | None = None) -> None:
        self.url = url
        self.role = role
        self.breaker = breaker or Breaker()
        #: The client itself, for what waits on purpose; everything else goes through :meth:`ask`.
        self.redis = make_redis(url, role)

    @property
    def address(self) -> str:
        """Where it is, without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def ask(self, f: Callable[[Redis], T]) -> T:
        """Return ``f(client)``.

        While Redis is known not to answer, nothing is asked, and the error comes at once.

        :raises UnavailableError: when Redis cannot be reached, or does not answer in time.
        """
        # Imported by make_redis already: a look into a dict.
        from redis.exceptions import ConnectionError as NoConnection
        from redis.exceptions import ResponseError
        from redis.exceptions import TimeoutError as NoAnswer

        if not self.breaker.admits():
            raise self._unavailable()
        try:
            answer = f(self.redis)
        except (NoConnection, NoAnswer) as error:
            if self.breaker.fail():
                logger.warning(
                    "Redis at %s does not answer (%s); it is asked again in %.0f s. Check that it runs, and its URL.",
                    self.address,
                    type(error).__name__,
                    self.breaker.seconds,
                )
            raise self._unavailable() from error
        except ResponseError:
            # It has answered, that something is wrong.
            self._note_answer()
            raise
        self._note_answer()
        return answer

    def close(self) -> None:
        """Close its connections; it opens new ones when it is asked again."""
        self.redis.close()

    def _note_answer(self) -> None:
        if self.breaker.succeed():
            logger.warning("Redis at %s answers again.", self.address)

    def _unavailable(self) -> UnavailableError:
        return UnavailableError(f"Redis at {self.address}", self.breaker.retry_after)


def get_redis(app: Flask, role: str) -> RedisClient | None:
    """Return the app's Redis for ``role``, one for the process, or None where no URL is set.

    ``jobs`` is that of ``MYAPP_JOBS_URL``, everything else that of ``MYAPP_REDIS_URL``.

    :raises MyappError: when the extra ``redis`` is not installed.
    """
    url = get_config(app).redis_url(role)
    if not url:
        return None
    # Two apps of one runtime may be configured differently.
    return get_runtime(app).get(f"redis.{role}.{url}", lambda: RedisClient(url, role), RedisClient.close)
