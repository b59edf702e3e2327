"""``email``: a view whose answer is a mail."""

from __future__ import annotations

import functools
import inspect
import typing as t

from flask import current_app

from ..web import ApiResult
from ..work.mail import send_mail

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from flask_mail import Message

V = t.TypeVar("V", bound="Callable[..., t.Any]")


def email(f: t.Any = None, /) -> t.Any:
    """Let a view answer with a mail: it returns a ``Message``, or a list of them, and the client gets 202.

    The mails are queued with the commit of the request, as :func:`myapp.send_mail` does, and the answer is always
    ``{"status": "queued"}``, also for an empty list: it does not tell whether somebody has the address that was asked
    for. It goes around functions and around methods of a ``MethodView``, plain and ``async``, with and without
    parentheses. A view that refuses raises an :class:`myapp.ApiException`.

    :raises TypeError: around a class; and, when it is called, for a view that returns something else.
    """

    def decorate(view: V) -> V:
        if inspect.isclass(view) or not callable(view):
            raise TypeError(f"@email goes around views, not around {view!r}. Put it around the methods of the class.")

        @functools.wraps(view)
        def sent(*args: t.Any, **kwargs: t.Any) -> ApiResult:
            for message in _messages(view, current_app.ensure_sync(view)(*args, **kwargs)):
                send_mail(message)
            return ApiResult({"status": "queued"}, 202)

        return t.cast("V", sent)

    return decorate if f is None else decorate(f)


def _messages(view: Callable[..., t.Any], returned: t.Any) -> list[Message]:
    """Return the messages that a view has returned.

    :raises TypeError: when it has returned something else.
    """
    from flask_mail import Message  # 5 ms, for those who send.

    messages = returned if isinstance(returned, list) else [returned]
    wrong = [message for message in messages if not isinstance(message, Message)]
    if wrong:
        name = getattr(view, "__qualname__", repr(view))
        raise TypeError(
            f"{name} is @email and returned {type(wrong[0]).__name__}. Return a Message or a list of them, an empty one"
            " to send nothing; raise an ApiException to refuse. With @background, write @email below it."
        )
    return messages
