"""A pair of templates makes a message, and no client can choose where its links lead."""

from __future__ import annotations

import typing as t

import jinja2
import pytest
from flask import url_for

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


def test_a_line_break_in_a_name_stays_out_of_the_headers(template_app: CustomFlask) -> None:
    """What follows it in the first line of the text is text."""
    template_app.test_client().post("/register/Ann%0D%0ABcc: eve@example.com")

    mail = Mailbox(template_app).last
    assert (mail.subject, mail.message["Bcc"], mail.recipients) == ("Welcome, Ann", None, ("ann@example.com",))


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
