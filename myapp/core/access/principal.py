"""Who asks: the principal of the task, from ``Authorization: Bearer`` (:rfc:`6750`) and from nowhere else."""

from __future__ import annotations

import re
import typing as t

import sqlalchemy as sa
from flask import has_request_context, request

from ..errors import ApiException
from ..tasks import get_task
from .lookup import adopt, look_up
from .models import Token, User
from .people import digest, find_user_by_id

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..tasks import Task

SCHEME = re.compile(r"bearer(?: |$)", re.IGNORECASE)
#: The grammar of :rfc:`6750#section-2.1`, and a length that no token of ours has.
BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,512}=*)", re.IGNORECASE)


class Principal(t.NamedTuple):
    """What is known of whoever asks; without a user, what is to be answered where one is required."""

    user: User | None = None
    scopes: frozenset[str] = frozenset()
    error: ApiException | None = None


def get_user() -> User | None:
    """Return the user that the request's Bearer token belongs to, or None when it brought none.

    It is looked up at first use, once for each task, and is an object of the task's session: what is assigned to it is
    written. Callbacks and streamed bodies have the user of their request, a job that of the task that enqueued it.
    Cookies and the query are never read.

    :raises ApiException: 401, when the token is unknown, revoked or expired, or its user is disabled. It is raised
        once: the handler that answers it, and what runs after the answer, gets None.
    :raises NoTaskError: outside of an application context.
    """
    return get_principal().user


def has_scope(name: str) -> bool:
    """Whether whoever asks may do what the scope ``name`` stands for; False for nobody.

    :raises ApiException: as :func:`get_user`.
    """
    return name in get_principal().scopes


def require(scopes: Iterable[str] = ()) -> User:
    """Return the user, who has to be there and to have every one of ``scopes``.

    :raises ApiException: 401 without a good token; 403 when it falls short of a scope.
    """
    principal = get_principal()
    if principal.user is None:
        raise principal.error or _unauthorized("Send a token: Authorization: Bearer TOKEN.")
    names = list(scopes)
    if not principal.scopes.issuperset(names):
        wanted = " ".join(names)
        raise ApiException(
            f"This token may not do that; it needs: {wanted}.",
            403,
            headers=_challenge(error="insufficient_scope", scope=wanted),
        )
    return principal.user


def get_principal() -> Principal:
    """Return who asks in the current task, looked up at first use.

    :raises ApiException: as :func:`get_user`.
    """
    task = get_task()
    principal: Principal | None = task.principal
    if principal is None:
        principal = task.principal = _find(task)
        # After the answer there is nobody to be told.
        if principal.error is not None and task.kind not in ("callback", "stream"):
            raise principal.error
    return principal


def _find(task: Task) -> Principal:
    origin = _origin(task)
    if origin is None:
        # A test or a shell that pushed a request by hand.
        is_alone = task.kind == "bare" and task.parent is None and has_request_context()
        return _read(request.environ) if is_alone else Principal()
    known: Principal | None = origin.principal
    if known is None:
        return _read(origin.environ or {}) if origin.kind == "request" else _act_for(origin.behalf)
    if known.user is None:
        return known
    # The request may have revoked its own token or disabled its user; who asked stays who asked.
    user = find_user_by_id(known.user.id)
    return Principal() if user is None else Principal(user, known.scopes)


def _origin(task: Task) -> Task | None:
    """Return the request or job that ``task`` is, or is a part of; one inside of another stands alone."""
    for one in (task, *task.iter_ancestors()):
        if one.app is not task.app:
            return None
        if one.kind in ("request", "job"):
            return one
    return None


def _act_for(behalf: tuple[int, frozenset[str]] | None) -> Principal:
    """Return the user that a job runs for; nobody, once the user is disabled or gone."""
    user = None if behalf is None else find_user_by_id(behalf[0])
    if behalf is None or user is None or not user.active:
        return Principal()
    return Principal(user, behalf[1])


def _read(environ: Mapping[str, t.Any]) -> Principal:
    header: str = environ.get("HTTP_AUTHORIZATION", "").strip()
    if not SCHEME.match(header):
        # None, or another scheme, which is not ours to judge.
        return Principal()
    match = BEARER.fullmatch(header)
    # Found by its hash: how long that takes says nothing about the tokens that there are.
    token = None if match is None else look_up(sa.select(Token).where(Token.digest == digest(match[1])))
    if token is None or not token.is_good:
        detail = "The token is unknown, revoked or expired, or its user is disabled. Get a new one."
        return Principal(error=_unauthorized(detail, error="invalid_token"))
    return Principal(adopt(token.user), frozenset(token.scopes))


def _unauthorized(detail: str, **parameters: str) -> ApiException:
    return ApiException(detail, 401, headers=_challenge(**parameters))


def _challenge(**parameters: str) -> dict[str, str]:
    pairs = ", ".join(f'{name}="{value}"' for name, value in {"realm": "myapp", **parameters}.items())
    return {"WWW-Authenticate": f"Bearer {pairs}"}
