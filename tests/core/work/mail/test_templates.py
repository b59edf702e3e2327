"""A pair of templates makes a message, and no client can choose where its links lead."""

from __future__ import annotations

import typing as t

import jinja2
import pytest
from flask import request, url_for

from myapp import create_message, send_mail
from myapp.core.errors import MailError
from myapp.testing.mailbox import Mailbox

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

TEMPLATES = {
    "emails/welcome.txt": "Subject: Welcome, {{ name }}\n\nHello {{ name }}: {{ url_for('activate') }}.\n",
    "emails/welcome.html": "{% from 'emails/macros.html' import button %}<p>Hello {{ name }}</p>{{ button() }}",
    "emails/macros.html": "{% macro button() %}<a href=\"{{ url_for('activate') }}\">Go</a>{% endmacro %}",
    "emails/derived.txt": "{% extends 'emails/base.txt' %}{% block subject %}Welcome, {{ name }}{% endblock %}",
    "emails/base.txt": "Subject: {% block subject %}{% endblock %} of us\n\nHello {{ name }}\n",
    "emails/macro.txt": "{% macro to(name) %}Welcome, {{ name }}{% endmacro %}Subject: {{ to(name) }}\n\nHello\n",
    "emails/plain.txt": "Text only, about {{ name }}",
    "emails/broken.txt": "Subject: x\n\n{% include 'emails/absent.txt' %}",
    "emails/unsaid.html": "<p>No text",
}


@pytest.fixture
def template_app(make_app: Callable[..., CustomFlask]) -> CustomFlask:
    """Return an app with the templates, which people reach at another address than its tests do."""
    app = make_app(config={"MYAPP_PUBLIC_URL": "https://app.example/base", "PROPAGATE_EXCEPTIONS": False})
    app.jinja_loader = jinja2.DictLoader(TEMPLATES)  # type: ignore[assignment]

    @app.get("/activate", endpoint="activate")
    def activate() -> str:
        return "activated"

    @app.post("/register/<name>")
    def register(name: str) -> dict[str, str]:
        send_mail(create_message("emails/welcome", recipients=["ann@example.com"], name=name))
        return {"link": url_for("activate", _external=True)}

    return app


def test_the_pair_becomes_text_and_html(template_app: CustomFlask) -> None:
    """The subject is the first line of the text; HTML is escaped, text is not."""
    template_app.test_client().post("/register/<b>&")

    mail = Mailbox(template_app).last
    assert mail.subject == "Welcome, <b>&"
    assert mail.text.startswith("Hello <b>&: ")
    assert "<p>Hello &lt;b&gt;&amp;</p>" in mail.html


def test_a_link_begins_with_the_public_url(template_app: CustomFlask) -> None:
    """Whatever Host the client has named, in imported macros too; the view's own url_for believes the client."""
    answer = template_app.test_client().post("/register/Ann", headers={"Host": "evil.example"})

    mail = Mailbox(template_app).last
    assert answer.json == {"link": "http://evil.example/activate"}
    assert mail.links == ["https://app.example/base/activate"]
    assert '<a href="https://app.example/base/activate">' in mail.html
    assert "evil" not in str(mail.message)


@pytest.mark.parametrize("template", ["welcome", "derived", "macro"])
def test_a_line_break_in_a_subject_is_refused(template_app: CustomFlask, template: str) -> None:
    """It is one of the value, so that nobody writes the rest of the subject, or the first line of the text."""

    @template_app.post("/send")
    def send() -> str:
        name = request.args["name"]
        send_mail(create_message(f"emails/{template}", recipients=["ann@example.com"], name=name))
        return name

    client = template_app.test_client()
    for name in ("Ann\r\nBcc: eve@example.com", "Ann\nHello", "Ann\n", "Ann\u2028Hello"):
        answer = client.post("/send", query_string={"name": name})
        assert answer.status_code == 422
        assert answer.json is not None
        assert "subject" in answer.json["errors"][0]["detail"]
    assert len(Mailbox(template_app)) == 0

    assert client.post("/send", query_string={"name": "Ann"}).status_code == 200
    assert Mailbox(template_app).last.subject.startswith("Welcome, Ann")


def test_a_line_break_in_the_text_stays_one(template_app: CustomFlask) -> None:
    """Only the first line is a header."""
    with template_app.task():
        message = create_message("emails/plain", recipients=["ann@example.com"], subject="x", name="Ann\nBob")
    assert message.body == "Text only, about Ann\nBob"


def test_a_subject_can_be_passed(template_app: CustomFlask) -> None:
    """It wins over the one of the template, and a text without HTML is a mail too."""
    with template_app.task():
        plain = create_message("emails/plain", recipients=["ann@example.com"], subject="About you", name="<Ann>")
        both = create_message("emails/welcome", recipients=["ann@example.com"], subject="Mine", name="Ann")

    assert (plain.subject, plain.body, plain.html) == ("About you", "Text only, about <Ann>", None)
    assert both.subject == "Mine"
    assert both.body is not None
    assert both.body.startswith("Hello Ann")


@pytest.mark.parametrize(
    ("template", "error", "says"),
    [
        ("emails/plain", MailError, "emails/plain.txt says no subject"),
        ("emails/unsaid", MailError, "no template emails/unsaid.txt"),
        ("emails/nowhere", MailError, "no template emails/nowhere.txt"),
        ("emails/broken", jinja2.TemplateNotFound, "emails/absent.txt"),
    ],
)
def test_what_is_missing_is_named(template_app: CustomFlask, template: str, error: type[Exception], says: str) -> None:
    """A subject, a text, or what a template includes."""
    with template_app.task(), pytest.raises(error, match=says):
        create_message(template, recipients=["ann@example.com"], name="Ann")


def test_a_template_that_fails_is_a_500_and_nothing_is_kept(template_app: CustomFlask) -> None:
    """It fails when the mail is sent, where somebody sees it, and not in a worker at night."""

    @template_app.post("/")
    def view() -> str:
        send_mail(create_message("emails/welcome", recipients=["ann@example.com"], name="Ann"))
        send_mail(create_message("emails/broken", recipients=["ann@example.com"]))
        return "sent"

    assert template_app.test_client().post("/").status_code == 500
    assert len(Mailbox(template_app)) == 0
