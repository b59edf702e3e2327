"""Who may call a view: ``scopes`` and ``public``."""

from __future__ import annotations

import functools
import inspect
import typing as t

from flask import current_app

from .people import SCOPE
from .principal import require

V = t.TypeVar("V", bound="t.Callable[..., t.Any]")

#: What a view asks of whoever calls it: a tuple of scopes, or PUBLIC.
MARK = "_myapp_scopes"
PUBLIC = "public"


def scopes(*names: str) -> t.Callable[[V], V]:
    """Let a view be called with a Bearer token only that has every scope of ``names``; without names with any token.

    It goes below ``@app.route``, around methods of a ``MethodView`` or into its ``decorators``; ``async def`` views
    are views like any other. Everybody else gets 401 or 403 with ``WWW-Authenticate`` (:rfc:`6750`), and the view does
    not run.

    :param names: letters, digits and signs, such as ``orders:write``.
    :raises TypeError: without parentheses, and around a class or a view that is ``public``.
    :raises ValueError: when a name cannot be the name of a scope.
    """
    if any(callable(name) for name in names):
        raise TypeError("@scopes is written with parentheses: @scopes() for any token, @scopes('orders:write') …")
    wrong = [name for name in names if not SCOPE.fullmatch(name)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no name of a scope: up to 100 letters, digits and signs, no blanks.")

    def decorate(view: V) -> V:
        _check_view(view, "scopes")

        # Not async for an `async def` view: it runs in another thread, and who asks is known before.
        @functools.wraps(view)
        def guarded(*args: t.Any, **kwargs: t.Any) -> t.Any:
            require(names)
            return current_app.ensure_sync(view)(*args, **kwargs)

        setattr(guarded, MARK, names)
        return t.cast("V", guarded)

    return decorate


def public(view: V) -> V:
    """Say that everybody may call ``view``; ``get_user()`` is None in it where no token was sent.

    :raises TypeError: around a class or a view that has ``scopes``.
    """
    _check_view(view, "public")
    setattr(view, MARK, PUBLIC)
    return view


def asked_scopes(view: t.Any) -> tuple[str, ...] | None:
    """Return the scopes that ``view`` asks for, in whatever order its decorators stand; None when it asks for none."""
    declared = getattr(view, MARK, None)
    return declared if isinstance(declared, tuple) else None


def _check_view(view: t.Any, name: str) -> None:
    if inspect.isclass(view):
        raise TypeError(f"@{name} goes around views, not around {view.__name__}. Write: decorators = [{name}…] in it.")
    declared = getattr(view, MARK, None)
    if declared is not None and (declared == PUBLIC) != (name == "public"):
        raise TypeError(f"{view.__name__} is declared public and with scopes. Keep one of the two.")
