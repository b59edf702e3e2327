"""What is posted, what is held back and dropped, and that nobody waits for it."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import typing as t
import weakref

import pytest

from myapp import create_app
from myapp.core.runtime import get_runtime

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

    from .conftest import Slack

Make: t.TypeAlias = "Callable[..., CustomFlask]"
logger = logging.getLogger("tests.slack")


def attached() -> list[logging.Handler]:
    """Return the handlers of this plugin."""
    return [one for one in logging.getLogger().handlers if type(one).__name__ == "SlackHandler"]


def test_error_of_a_request_is_posted(make_alerting: Make, slack: Slack) -> None:
    """Level, application, message, rule and task; the end of the traceback; nothing below ERROR."""
    app = make_alerting(slack, name="shop <!channel>")

    @app.get("/reset/<token>")
    def view(token: str) -> t.NoReturn:
        logger.warning("not this")
        raise LookupError("nothing ``` there")

    answer = app.test_client().get("/reset/abc")

    text = slack.get()
    assert answer.status_code == 500
    head, place, *rest = text.splitlines()
    assert head.startswith("*ERROR* shop &lt;!channel&gt;: Exception on /reset/abc [GET]")
    assert place.endswith(f"GET /reset/&lt;token&gt; · request {answer.headers['X-Request-ID']}")
    assert rest[-1] == "LookupError: nothing ''' there```"
    assert slack.texts.empty()


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("postgresql://u:canary@db/x", "postgresql://u:***@db/x"),
        ("postgresql://u:can@ary@db/x", "postgresql://u:***@db/x"),
        ("postgresql://u:can/ary@db/x", "postgresql://u:***@db/x"),
        ("Authorization: Basic canary==", "Authorization: ***"),
        ("{'Authorization': 'Bearer canary.canary', 'X': 'y'}", "{'Authorization': ***"),
        ("Cookie: session=canary; other=canary", "Cookie: ***"),
        ("sent Bearer canary.canary away", "sent Bearer *** away"),
        ("GET /?token=canary&page=2", "GET /?token=***&amp;page=2"),
        ("{'new_password': 'can ary', 'name': 'ann'}", "{'new_password': ***, 'name': 'ann'}"),
        ('{\\"api_key\\": \\"canary\\"}', '{\\"api_key\\": ***}'),
        ("client_secret => canary", "client_secret =&gt; ***"),
        (f"myapp_{'canary0' * 6}x", "***"),
        ("in myapp_plugins.shop_of_somebody.views_with_a_long_name", None),
        ("($argon2id$v=19$m=19456$canary$canary)", "(***)"),
        ("https://hooks.slack.com/services/T0/B0/canary", "https://hooks.slack.com/***"),
    ],
)  # fmt: skip
def test_secrets_are_not_posted(make_alerting: Make, slack: Slack, secret: str, shown: str | None) -> None:
    """Neither in the message nor in the traceback; what is none (None) stays."""
    make_alerting(slack)
    try:
        raise ValueError(secret)
    except ValueError:
        logger.exception("It says %s", secret)

    text = slack.get()
    assert text.splitlines()[0].endswith(f"It says {shown or secret}")
    assert text.endswith(f"ValueError: {shown or secret}```")
    assert "canary" not in text


def test_long_texts_are_cut_and_cost_little(make_alerting: Make, slack: Slack) -> None:
    """Whatever they are made of; a secret at the cut is not left in half."""
    make_alerting(slack, interval_seconds=0)
    for text in ("x" * 1_000_000, "token" * 100_000, "//a:" * 100_000, "password=" + "canary" * 100_000):
        logger.error("%s", text)
        got = slack.get()
        assert len(got) < 2_000
        assert "canary" not in got


def test_equal_records_are_counted(make_alerting: Make, slack: Slack) -> None:
    """The first is sent; the others are counted, and told when the interval is over, whether or not one more comes."""
    app = make_alerting(slack, interval_seconds=0.3)

    @app.get("/<int:number>")
    def view(number: int) -> t.NoReturn:
        raise LookupError(f"nothing for {number}")

    client = app.test_client()
    for number in range(5):
        client.get(f"/{number}")
    logger.error("another")

    assert [slack.get().partition("(MainThread)")[0].splitlines()[0] for _ in range(2)] == [
        "*ERROR* http://localhost:5000: Exception on /0 [GET]",
        "*ERROR* http://localhost:5000: another",
    ]
    assert slack.get().splitlines() == [
        "*ERROR* http://localhost:5000: Exception on /0 [GET]",
        "4 equal ones more.",
    ]
    assert slack.texts.empty()


def test_nobody_waits_and_what_does_not_fit_is_counted(make_alerting: Make, slack: Slack) -> None:
    """While Slack hangs: what is logged fills the queue, the rest is dropped, and the next message says so."""
    app = make_alerting(slack, queue_size=2, timeout_seconds=60)
    app.get("/")(lambda: logger.error("first") or "ok")
    slack.answers.put(None)

    assert app.test_client().get("/").status_code == 200
    assert "first" in slack.get()
    for number in range(10):
        logger.error("number %d", number)
    slack.release()

    assert slack.get().splitlines()[-1] == "8 before this one were dropped: the queue was full."
    assert [line for line in slack.get().splitlines() if "dropped" in line] == []


@pytest.mark.parametrize(
    ("answers", "posts"),
    [
        ([(429, {"Retry-After": "0"})], 2),
        ([(503, {"Retry-After": "0"}), (500, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"})], 3),
        ([(429, {"Retry-After": "0"})] * 3, 3),
        ([(404, {})], 1),
        ([(400, {"Retry-After": "0"})], 1),
        ([(302, {"Location": "/elsewhere"})], 1),
    ],
)
def test_refusals(
    make_alerting: Make, slack: Slack, answers: list[t.Any], posts: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Tried again, three times at most, where that can help; what is lost is said with the next message."""
    make_alerting(slack)
    for answer in answers:
        slack.answers.put(answer)
    logger.error("first")
    assert ["first" in slack.get() for _ in range(posts)] == [True] * posts
    is_lost = posts in (1, 3) and answers[-1][0] in (404, 400, 302, 429)
    logger.error("second")
    text = slack.get()
    assert "second" in text
    assert ("1 before this one could not be sent." in text) is is_lost
    assert any("An alert was not sent to Slack" in message for message in caplog.messages) is is_lost
    assert "canary" not in caplog.text


def test_retry_after_is_respected(make_alerting: Make, slack: Slack) -> None:
    """A server that asks for an hour is left alone; the end of the process does not wait for it."""
    make_alerting(slack, flush_seconds=5)
    slack.answers.put((429, {"Retry-After": "3600"}))
    logger.error("first")
    assert "first" in slack.get()
    logger.error("second")
    [handler] = attached()

    handler.close()

    assert "1 before this one could not be sent." in slack.get()
    assert slack.texts.empty()


def test_server_that_hangs_or_is_away(make_alerting: Make, slack: Slack, caplog: pytest.LogCaptureFixture) -> None:
    """The thread gives up after its time-outs and goes on; its own log is not sent to itself."""
    make_alerting(slack, level="WARNING", timeout_seconds=0.5, flush_seconds=10)
    slack.answers.put(None)
    logger.error("hangs")
    assert ["hangs" in slack.get() for _ in range(2)] == [True, True]
    slack.stop()
    logger.error("is away")
    [handler] = attached()
    handler.close()

    assert [message for message in caplog.messages if message.startswith("An alert")] == [
        "An alert was not sent to Slack: the server cannot be reached (ConnectionRefusedError)."
    ]


def test_apps_do_not_cross(make_alerting: Make, make_slack: Callable[[], Slack]) -> None:
    """An error in a task of one app is not told to the other's channel; what belongs to no app is told to both."""
    first, second = make_slack(), make_slack()
    one, other = make_alerting(first), make_alerting(second)
    for app, name in ((one, "one"), (other, "other")):
        app.get("/")(lambda name=name: logger.error("of %s", name) or "ok")
        app.test_client().get("/")
    logger.error("of nobody")
    for server, name in ((first, "one"), (second, "other")):
        assert [server.get().splitlines()[0].rpartition(": ")[2] for _ in range(2)] == [f"of {name}", "of nobody"]
        assert server.texts.empty()


def test_an_app_that_is_gone_listens_no_more(tmp_path: Path, slack: Slack) -> None:
    """The root logger belongs to the process, and keeps no app alive."""
    before = list(logging.getLogger().handlers)
    app = create_app(
        {
            "TESTING": True, "SECRET_KEY": "x" * 32, "MYAPP_INSTANCE_PATH": str(tmp_path),
            "MYAPP_PLUGIN_SLACK_ALERTS__WEBHOOK_URL": slack.url,
        },
        plugins=["slack_alerts"],
    )  # fmt: skip
    get_runtime(app).close()
    [handler] = [one for one in logging.getLogger().handlers if one not in before]
    gone = weakref.ref(app)
    del app, handler
    gc.collect()
    assert gone() is None
    assert logging.getLogger().handlers == before


def test_message_that_cannot_be_made(make_alerting: Make, slack: Slack, capsys: pytest.CaptureFixture[str]) -> None:
    """An object that cannot be printed is logging's affair: it says so, and the app goes on."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text for this")

    make_alerting(slack)
    [handler] = attached()
    record = logger.makeRecord("tests.slack", logging.ERROR, "file.py", 1, "%s", (Broken(),), None)
    handler.handle(record)
    logger.error("next")

    assert "next" in slack.get()
    assert "no text for this" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ((200, {}), 0, "The message was taken."),
        ((403, {}), 1, "the server answered 403 Forbidden. Look at the webhook"),
        (None, 3, "no answer in time"),
    ],
)
def test_test_command(make_alerting: Make, slack: Slack, answer: t.Any, code: int, says: str) -> None:
    """One message with the app's settings, and what became of it; the URL is never said."""
    app = make_alerting(slack, timeout_seconds=5 if answer else 0.3)
    slack.answers.put(answer)
    result = app.test_cli_runner().invoke(args=["slack_alerts", "test"])
    assert (result.exit_code, says in result.stdout + result.stderr) == (code, True)
    assert "canary" not in result.stdout + result.stderr
    assert "A test of the alerts of http://localhost:5000" in slack.get()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"webhook_url": "file:///etc/canary"}, "no URL of a webhook"),
        ({"webhook_url": "http://[::1/canary"}, "no URL of a webhook"),
        ({"webhook_url": "https://host:99999/canary"}, "no URL of a webhook"),
        ({"webhook_url": "https://host/can ary"}, "no URL of a webhook"),
        ({"level": "LOUD"}, "WARNING, ERROR, CRITICAL"),
        ({"queue_size": 0}, "QUEUE_SIZE"),
    ],
)
def test_settings_that_cannot_be_used(make_alerting: Make, slack: Slack, settings: t.Any, says: str) -> None:
    """The plugin does not start, and says why without the value."""
    with pytest.raises(Exception, match=says) as caught:
        make_alerting(slack, **settings)
    assert "canary" not in str(caught.value)


PROGRAM = """
import logging, os, sys
from myapp import create_app

app = create_app(
    {"MYAPP_PROFILE": "development", "MYAPP_INSTANCE_PATH": sys.argv[1], "MYAPP_BLUEPRINT_PACKAGES": ()},
    plugins=["slack_alerts"], strict=True,
)
logging.getLogger("shop").warning("nobody has a handler for this")
logging.getLogger("shop").error("before the fork")
child = os.fork()
logging.getLogger("shop").error("after it, in %s", "the parent" if child else "the child")
if child:
    os.waitpid(child, 0)
"""


def test_forks_and_the_end_of_the_process(slack: Slack, tmp_path: Path) -> None:
    """Each process has its thread and sends what is its own, once, before it ends; the rest of logging is as it was."""
    environ = {**os.environ, "MYAPP_PLUGIN_SLACK_ALERTS__WEBHOOK_URL": slack.url}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=environ, capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 0, result.stderr
    assert sorted(slack.get().splitlines()[0].partition(": ")[2] for _ in range(3)) == [
        *("after it, in the child", "after it, in the parent", "before the fork")
    ]
    assert slack.texts.empty()
    assert result.stderr.splitlines()[:2] == ["nobody has a handler for this", "before the fork"]
