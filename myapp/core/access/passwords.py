"""Passwords: argon2id, so many at once that they do not take the memory of everything else."""

from __future__ import annotations

import os
import secrets
import threading
import typing as t
import unicodedata
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

if t.TYPE_CHECKING:
    from flask import Flask

MINIMUM_LENGTH, MAXIMUM_LENGTH = 8, 1024
#: The second choice of the OWASP password storage cheat sheet, in its own unit (KiB): 19 MiB, two passes, one lane.
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
#: Each hash keeps one processor busy and its memory to itself: more at once would be slower, and no faster together.
AT_ONCE = min(os.cpu_count() or 1, 8)


class Passwords:
    """Hash passwords, and verify them in the same time whether there is one or not.

    :param hasher: the parameters of new hashes; older ones are still verified, by the parameters that they name.
    :param at_once: how many threads of this process may hash at a time; the others wait.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, at_once: int = AT_ONCE) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._slots = threading.BoundedSemaphore(at_once)

    @cached_property
    def _dummy(self) -> str:
        """The hash that a password is compared with when there is none: nobody knows its password."""
        return self.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """Return the hash of a new password, with its parameters and its salt.

        :raises ValueError: when it is shorter than 8 or longer than 1,024 characters, or is not text.
        """
        data = _encoded(check_password(password))
        with self._slots:
            return self._hasher.hash(data)

    def verify(self, hashed: str | None, password: str) -> bool:
        """Whether ``password`` is the one of ``hashed``; with None it takes as long and is False."""
        # Made before the two cases part: the first question ever pays for it, whichever it is.
        dummy = self._dummy
        if len(password) > MAXIMUM_LENGTH:
            # Nobody has one, and both cases end here.
            return False
        data = _encoded(unicodedata.normalize("NFKC", password))
        with self._slots:
            try:
                return self._hasher.verify(hashed or dummy, data) and hashed is not None
            except (VerificationError, InvalidHashError):
                return False

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(hashed)


def check_password(password: str) -> str:
    """Return a new password in the form in which it is hashed (NFKC: however a keyboard composes its letters).

    :raises ValueError: when it is shorter than 8 or longer than 1,024 characters, or is not text.
    """
    # Before it is normalised, too: that takes time, and makes up to 18 characters of one.
    is_long = len(password) > MAXIMUM_LENGTH
    normalized = "" if is_long else unicodedata.normalize("NFKC", password)
    if not MINIMUM_LENGTH <= len(normalized) <= MAXIMUM_LENGTH:
        raise ValueError(f"A password has {MINIMUM_LENGTH} to {MAXIMUM_LENGTH:,} characters.")
    if any("\ud800" <= character <= "\udfff" for character in normalized):
        raise ValueError("A password is text; this has halves of characters (lone surrogates).")
    return normalized


def _encoded(password: str) -> bytes:
    # What is no text was refused when it was new, and need not be an error when somebody tries it.
    return password.encode("utf-8", "surrogatepass")


def get_passwords(app: Flask) -> Passwords:
    """Return what hashes the passwords of ``app``."""
    return t.cast("Passwords", app.extensions["myapp.access"])
