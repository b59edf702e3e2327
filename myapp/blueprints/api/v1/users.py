"""``/api/v1/users``: whoever has a token sees and changes oneself; everybody else takes the scope ``users:write``."""

from __future__ import annotations

import typing as t

import pydantic
import sqlalchemy as sa
from flask import Blueprint, request, url_for
from pydantic import AfterValidator

from myapp import ApiException, ApiResult, User, get_db, scopes
from myapp.core import access, web

blueprint = Blueprint("users", __name__, url_prefix="/users")
blueprint.after_request(web.forbid_storing)

WRITE = "users:write"
#: More than the longest address and password, each character of them escaped.
MAXIMUM_BODY = 32 * 1024
#: The ids that every database can hold; a longer number is no user.
MAXIMUM_ID = 2**31 - 1
ONE = f"/<int(min=1, max={MAXIMUM_ID}):user_id>"

Address = t.Annotated[str, AfterValidator(access.normalize_address)]
Password = t.Annotated[str, AfterValidator(access.check_password)]
B = t.TypeVar("B", bound=pydantic.BaseModel)


class NewUser(pydantic.BaseModel):
    """What makes a user."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    address: Address
    password: Password


class Changes(pydantic.BaseModel):
    """What may be changed of a user; what is left out stays as it is."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    # None is the default and no value: null is refused, as any other type is.
    address: Address = t.cast("str", None)
    password: Password = t.cast("str", None)
    active: bool = t.cast("bool", None)


@blueprint.get("")
@scopes()
def index() -> ApiResult:
    """Return the users in the order of their ids, a page at a time; without ``users:write`` only oneself.

    :raises ValidationError: for a ``limit`` that is not 1 to 200.
    :raises ApiException: 400, for a ``cursor`` that no page has given.
    """
    limit, last = web.read_limit(), _read_cursor()
    query = sa.select(User).where(User.id > last).order_by(User.id).limit(limit + 1)
    if not access.has_scope(WRITE):
        query = query.where(User.id == access.require().id)
    found = list(get_db().scalars(query))
    has_more = len(found) > limit
    return web.page(found[:limit], url_for(".index", limit=limit, cursor=found[limit - 1].id) if has_more else None)


@blueprint.post("")
@scopes(WRITE)
def create() -> ApiResult:
    """Make a user.

    :raises ValidationError: with an entry for each thing that is wrong with the body.
    :raises ApiException: 409, when somebody has the address; 415, when the body is not JSON.
    """
    body = _read_body(NewUser)
    user = access.create_user(body.address, body.password)
    return ApiResult(user, 201, {"Location": url_for(".show", user_id=user.id)})


@blueprint.get(ONE)
@scopes()
def show(user_id: int) -> ApiResult:
    """Return one user.

    :raises ApiException: 403 for somebody else without ``users:write``; 404 where there is none.
    """
    return ApiResult(_find(user_id))


@blueprint.patch(ONE)
@scopes()
def update(user_id: int) -> ApiResult:
    """Change the address, the password, and with ``users:write`` whether the user is active.

    :raises ValidationError: with an entry for each thing that is wrong with the body.
    :raises ApiException: 403 for somebody else, and for ``active``, without ``users:write``; 404 where there is none;
        409, when somebody else has the address; 415, when the body is not JSON.
    """
    user = _find(user_id)
    changes = _read_body(Changes).model_dump(exclude_unset=True)
    if "active" in changes:
        access.require([WRITE])
    access.change_user(user, **changes)
    return ApiResult(user)


def _find(user_id: int) -> User:
    """Return the user whom the URL names, if the token may; it does not tell whether somebody else exists."""
    asking = access.require()
    if asking.id == user_id:
        return asking
    access.require([WRITE])
    user = access.find_user_by_id(user_id)
    if user is None:
        raise ApiException(f"There is no user {user_id}.", 404)
    return user


def _read_cursor() -> int:
    text = request.args.get("cursor", "0")
    # As many digits as the largest one has: int() of a long text takes long.
    if not text.isascii() or not text.isdigit() or len(text) > len(str(MAXIMUM_ID)) or int(text) > MAXIMUM_ID:
        raise ApiException("This cursor is of no page. Follow the address in `next` as it is.", 400)
    return int(text)


def _read_body(model: type[B]) -> B:
    """Return the JSON body as ``model``.

    :raises ValidationError: with every failure; what was sent is not repeated.
    :raises ApiException: 415 for another type, 400 for what cannot be read.
    """
    request.max_content_length = MAXIMUM_BODY
    return web.validate(model, web.read_json())
