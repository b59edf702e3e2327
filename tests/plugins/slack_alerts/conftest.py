"""A server on this machine in the place of Slack, and apps that alert it."""

from __future__ import annotations

import json
import logging
import queue
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask

SECONDS = 10.0


class Slack:
    """What a webhook got, and what it answers: 200, or what was put into ``answers``, in order."""

    def __init__(self) -> None:
        self.texts: queue.Queue[str] = queue.Queue()
        #: Status and headers; None answers nothing until :meth:`release`.
        self.answers: queue.Queue[tuple[int, dict[str, str]] | None] = queue.Queue()
        self._released = threading.Event()
        slack = self

        class Webhook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                slack.texts.put(body["text"])
                try:
                    answer = slack.answers.get_nowait()
                except queue.Empty:
                    answer = (200, {})
                if answer is None:
                    slack._released.wait(SECONDS)
                    answer = (200, {})
                status, headers = answer
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_arguments: t.Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/services/T0/B0/canary"

    def get(self) -> str:
        """Return the next text; it waits for it."""
        return self.texts.get(timeout=SECONDS)

    def release(self) -> None:
        """Answer what hangs."""
        self._released.set()

    def stop(self) -> None:
        """Listen no more: the port refuses."""
        self.release()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def make_slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Slack]]:
    """Return a function that starts one more server."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers: list[Slack] = []

    def make() -> Slack:
        servers.append(Slack())
        return servers[-1]

    before = list(logging.getLogger().handlers)
    yield make
    for handler in [one for one in logging.getLogger().handlers if one not in before]:
        handler.close()
    for server in servers:
        server.stop()


@pytest.fixture
def slack(make_slack: Callable[[], Slack]) -> Slack:
    """Return a server."""
    return make_slack()


@pytest.fixture
def make_alerting(make_app: Callable[..., CustomFlask]) -> Callable[..., CustomFlask]:
    """Return a function that builds an app which alerts a server; settings of the plugin are its arguments."""

    def make(server: Slack, **settings: t.Any) -> CustomFlask:
        settings = {"webhook_url": server.url, **settings}
        prefix = "MYAPP_PLUGIN_SLACK_ALERTS__"
        return make_app(
            "slack_alerts",
            config={
                "PROPAGATE_EXCEPTIONS": False,
                "MYAPP_BLUEPRINT_PACKAGES": (),
                **{prefix + key.upper(): value for key, value in settings.items()},
            },
        )

    return make
