"""People: users, their passwords and tokens, and who asks. See ``docs/access.md``."""

from __future__ import annotations

import typing as t

from .addresses import normalize_address
from .guard import asked_scopes, public, scopes
from .models import Token, User
from .passwords import Passwords, check_password
from .people import authenticate, change_user, create_user, find_user, find_user_by_id, issue_token
from .principal import Principal, get_principal, get_user, has_scope, require

if t.TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "Passwords",
    "Principal",
    "Token",
    "User",
    "asked_scopes",
    "authenticate",
    "change_user",
    "check_password",
    "create_user",
    "find_user",
    "find_user_by_id",
    "get_principal",
    "get_user",
    "has_scope",
    "init_app",
    "issue_token",
    "normalize_address",
    "public",
    "require",
    "scopes",
]


def init_app(app: Flask) -> None:
    """Attach the hashing of passwords; whoever asks is looked up when somebody wants to know, not before.

    Reads no configuration: a site cannot be set to weaker hashes by mistake.
    """
    app.extensions["myapp.access"] = Passwords()
