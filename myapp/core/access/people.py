"""What is done to users and tokens, by commands and by views alike."""

from __future__ import annotations

import hashlib
import re
import secrets
import typing as t

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from ..data import get_db
from ..errors import ApiException
from ..tasks import get_task
from .addresses import address_key, normalize_address
from .lookup import adopt, look_up
from .models import LABEL_LENGTH, Token, User
from .passwords import get_passwords

if t.TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

#: :rfc:`6749#section-3.3`, without the comma that commands separate them with.
SCOPE = re.compile(r"[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,100}")
#: What a token begins with, so that a person, and a program that looks for leaked secrets, can tell what it is.
PREFIX = "myapp_"


def find_user(address: str) -> User | None:
    """Return the user with this address, however its case; None when there is none, or it is no address."""
    try:
        key = address_key(normalize_address(address))
    except ValueError:
        return None
    user = look_up(sa.select(User).where(User.address_key == key))
    return None if user is None else adopt(user)


def find_user_by_id(user_id: int) -> User | None:
    """Return the user with this id, or None."""
    user = look_up(sa.select(User).where(User.id == user_id))
    return None if user is None else adopt(user)


def create_user(address: str, password: str) -> User:
    """Store a new, active user in the task's transaction.

    :raises ValueError: when the address or the password cannot be used.
    :raises ApiException: 409, when somebody has the address.
    """
    # The hash first: on SQLite the write lock is taken at the first query, and nobody is to wait for a hash.
    hashed = get_passwords(get_task().app).hash(password)
    user = User(address=address, password_hash=hashed)
    try:
        with get_db().begin_nested():
            get_db().add(user)
    except IntegrityError as error:
        raise _taken() from error
    return user


def change_user(
    user: User, *, address: str | None = None, password: str | None = None, active: bool | None = None
) -> None:
    """Change what is given, in the task's transaction.

    Its tokens stay good, whatever happens to the password: they are revoked one by one.

    :raises ValueError: when the address or the password cannot be used.
    :raises ApiException: 409, when somebody else has the address.
    """
    if password is not None:
        user.password_hash = get_passwords(get_task().app).hash(password)
    if active is not None:
        user.active = active
    if address is None:
        return
    try:
        with get_db().begin_nested():
            user.address = address
    except IntegrityError as error:
        raise _taken() from error


def authenticate(address: str, password: str) -> User | None:
    """Return the active user whose address and password these are.

    None takes as long for an address that nobody has as for one that somebody has. A hash of older parameters is
    replaced, now that the password is known.
    """
    passwords = get_passwords(get_task().app)
    user = find_user(address)
    is_right = passwords.verify(None if user is None else user.password_hash, password)
    if user is None or not is_right or not user.active:
        return None
    if passwords.is_outdated(user.password_hash):
        user.password_hash = passwords.hash(password)
    return user


def issue_token(
    user: User, scopes: Iterable[str] = (), *, label: str = "", expires: datetime | None = None
) -> tuple[str, Token]:
    """Store a new token in the task's transaction, and return its text, which can never be had again, and its row.

    :param scopes: what it may be used for.
    :param label: what it is for, for people.
    :raises ValueError: when a name of a scope or the label cannot be used.
    """
    names = sorted(set(scopes))
    wrong = [name for name in names if not SCOPE.fullmatch(name)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no name of a scope: up to 100 letters, digits and signs, no blanks.")
    if len(label) > LABEL_LENGTH or not label.isprintable():
        raise ValueError(f"A label has at most {LABEL_LENGTH} printable characters.")
    text = PREFIX + secrets.token_urlsafe(32)
    token = Token(user=user, digest=digest(text), scope=" ".join(names), label=label, expires=expires)
    get_db().add(token)
    get_db().flush()
    return text, token


def digest(text: str) -> str:
    """Return what is stored of a token. It is random, 256 bits of it: a slow hash would protect nothing more."""
    return hashlib.sha256(text.encode()).hexdigest()


def _taken() -> ApiException:
    return ApiException("Somebody has this address already. Use another one.", 409)
