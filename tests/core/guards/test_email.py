"""A view that is ``email`` returns messages; its client learns that they are queued, and nothing else."""

from __future__ import annotations

import typing as t

import pytest
from flask.views import MethodView

from myapp import ApiException, Message, email
from myapp.testing.mailbox import Mailbox

if t.TYPE_CHECKING:
    from myapp import CustomFlask

ANN, BOB = "ann@example.com", "bob@example.com"


def message(*recipients: str, subject: str = "Hello") -> t.Any:
    """Return a message."""
    return Message(subject, recipients=list(recipients), body="World")


@pytest.mark.parametrize("decorate", [email, email()])
def test_a_message_is_queued_and_the_answer_is_202(app: CustomFlask, decorate: t.Any) -> None:
    """With and without parentheses; the arguments of the URL arrive."""

    @app.post("/reset/<name>")
    @decorate
    def reset(name: str) -> t.Any:
        return message(f"{name}@example.com")

    answer = app.test_client().post("/reset/ann")

    assert (answer.status_code, answer.json) == (202, {"status": "queued"})
    assert [mail.recipients for mail in Mailbox(app)] == [(ANN,)]
    assert app.view_functions["reset"].__name__ == "reset"


def test_many_and_none_get_the_same_answer(app: CustomFlask) -> None:
    """A client cannot find out who is known here."""

    @app.post("/<int:number>")
    @email
    def view(number: int) -> t.Any:
        return [message(ANN), message(BOB)][:number]

    client = app.test_client()
    answers = [client.post(f"/{number}") for number in range(3)]

    assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"status":"queued"}')}
    assert [mail.recipients for mail in Mailbox(app)] == [(ANN,), (ANN,), (BOB,)]


def test_async_views_and_methods_of_classes_send_too(app: CustomFlask) -> None:
    """As every other view."""

    @app.post("/async")
    @email
    async def view() -> t.Any:
        return message(ANN)

    class Reset(MethodView):
        @email
        def post(self) -> t.Any:
            return message(BOB)

    app.add_url_rule("/class", view_func=Reset.as_view("reset"))
    client = app.test_client()

    assert [client.post(path).status_code for path in ("/async", "/class")] == [202, 202]
    assert [mail.recipients for mail in Mailbox(app)] == [(ANN,), (BOB,)]


def test_a_view_that_fails_sends_nothing(make_app: t.Any) -> None:
    """Refused by the view, or because one of its messages cannot be sent."""
    app = make_app(config={"PROPAGATE_EXCEPTIONS": False})

    @app.post("/<what>")
    @email
    def view(what: str) -> t.Any:
        if what == "refused":
            raise ApiException("Not you.", 403)
        return [message(ANN), message(BOB, subject="a\nBcc: eve@example.com") if what == "injected" else {"a": "dict"}]

    client = app.test_client()
    assert [client.post(f"/{what}").status_code for what in ("refused", "injected", "wrong")] == [403, 422, 500]
    assert len(Mailbox(app)) == 0


@pytest.mark.parametrize("returned", [None, "text", ({}, 201), [None]])
def test_what_is_no_message_is_named(app: CustomFlask, returned: t.Any) -> None:
    """A forgotten ``return`` would otherwise be a mail that nobody gets."""

    @app.post("/")
    @email
    def forgetful() -> t.Any:
        return returned

    with pytest.raises(TypeError, match="forgetful is @email and returned"):
        app.test_client().post("/")


def test_a_class_is_refused_at_once() -> None:
    """It would be called with the arguments of the URL."""
    with pytest.raises(TypeError, match="methods of the class"):
        email(MethodView)
