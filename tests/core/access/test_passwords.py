"""Hashes of passwords: what they are made of, how many at once, and that an absent one costs as much."""

from __future__ import annotations

import threading
import typing as t
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from myapp.core.access import Passwords, check_password

if t.TYPE_CHECKING:
    from collections.abc import Callable

GOOD = "correct horse"


class WatchedHasher(PasswordHasher):
    """A real hasher that counts how many threads are in it, and what it is asked to verify."""

    def __init__(self, **more: t.Any) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1, **more)
        self.lock = threading.Lock()
        self.inside = self.most = self.verified = 0

    def watched(self, f: Callable[..., t.Any], *args: t.Any) -> t.Any:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            return f(*args)
        finally:
            with self.lock:
                self.inside -= 1

    def hash(self, *args: t.Any, **more: t.Any) -> str:
        return str(self.watched(super().hash, *args))

    def verify(self, *args: t.Any) -> t.Literal[True]:
        self.verified += 1
        return t.cast("t.Literal[True]", self.watched(super().verify, *args))


def test_parameters_and_salt() -> None:
    """argon2id, 19 MiB, two passes, one lane; the same password twice is two hashes."""
    passwords = Passwords()
    first, second = passwords.hash(GOOD), passwords.hash(GOOD)
    parameters = extract_parameters(first)
    assert (parameters.type, parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (
        Type.ID,
        19 * 1024,
        2,
        1,
    )
    assert first != second
    assert GOOD not in first


def test_right_wrong_and_absent() -> None:
    """Only the right password of a hash that is there; one that cannot be read opens nothing."""
    passwords = Passwords()
    hashed = passwords.hash(GOOD)
    assert passwords.verify(hashed, GOOD)
    for wrong in ("", "correct hors", GOOD + " ", "\x00", "\ud800", "x" * 5000):
        assert not passwords.verify(hashed, wrong)
    assert not passwords.verify(None, GOOD)
    assert not passwords.verify("!", GOOD)
    assert not passwords.verify("$2b$12$abcdefghijklmnopqrstuv", GOOD)


def test_absent_hash_is_verified_as_well() -> None:
    """One verification for each question, whether there is a hash or not; a long text is none for both."""
    hasher = WatchedHasher()
    passwords = Passwords(hasher)
    hashed = passwords.hash(GOOD)
    for question in (hashed, None):
        before = hasher.verified
        passwords.verify(question, "a wrong one")
        assert hasher.verified - before == 1
        passwords.verify(question, "x" * 1025)
        assert hasher.verified - before == 1


@pytest.mark.parametrize("password", ["x" * 8, "x" * 1024, "\N{ZERO WIDTH JOINER}" * 8, "with\x00nul", "        "])
def test_lengths_that_are_taken(password: str) -> None:
    """8 to 1,024 characters, whichever."""
    passwords = Passwords(WatchedHasher())
    assert passwords.verify(passwords.hash(password), password)


@pytest.mark.parametrize(
    "password",
    ["", "x" * 7, "x" * 1025, "x" * 1_000_000, "e\N{COMBINING ACUTE ACCENT}" * 7, "\ufdfa" * 100, "\ud800" * 8],
    ids=["empty", "7", "1025", "million", "7 composed", "1,800 when normalised", "no text"],
)
def test_passwords_that_are_refused(password: str) -> None:
    """Counted as they are hashed; the message does not repeat them."""
    with pytest.raises(ValueError, match="A password") as raised:
        check_password(password)
    assert not password or password not in str(raised.value)


def test_long_password_is_not_cut() -> None:
    """One that would fit only when its letters are composed is refused, because a part of it would do as well."""
    decomposed = unicodedata.normalize("NFD", "é" * 1000)
    with pytest.raises(ValueError, match="A password"):
        check_password(decomposed)


def test_keyboards_that_compose_differently_agree() -> None:
    """NFKC: the same letters are the same password."""
    passwords = Passwords(WatchedHasher())
    composed = "caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{LATIN SMALL LIGATURE FI}sch"
    hashed = passwords.hash(composed)
    assert passwords.verify(hashed, unicodedata.normalize("NFD", composed))
    assert passwords.verify(hashed, "cafe\N{COMBINING ACUTE ACCENT} fisch")


def test_older_parameters_are_outdated() -> None:
    """They are verified all the same."""
    old = Passwords(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)).hash(GOOD)
    passwords = Passwords()
    assert passwords.verify(old, GOOD)
    assert passwords.is_outdated(old)
    assert not passwords.is_outdated(passwords.hash(GOOD))


def test_at_most_so_many_at_once() -> None:
    """Each takes 19 MiB: the others wait."""
    hasher = WatchedHasher()
    passwords = Passwords(hasher, at_once=2)
    hashed = passwords.hash(GOOD)
    together = threading.Barrier(8)

    def ask(number: int) -> bool:
        together.wait()
        return all(passwords.verify(hashed if number % 2 else None, GOOD) == bool(number % 2) for _ in range(10))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))
    assert hasher.most <= 2
