"""The public surface is a contract: names, signatures and methods are those of docs/public.md."""

from __future__ import annotations

import inspect
import re
import typing as t
from pathlib import Path

import pytest

import myapp

if t.TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "public.md"
#: ``- `name(signature)`: what it is``, and indented below it ``  - `.method(signature)`: what it does``.
ENTRY = re.compile(r"^(?P<indent> *)- `(?P<text>[^`]+)`: \S", re.MULTILINE)


def signature_of(name: str, value: t.Any) -> str:
    """Return ``name(parameters)`` without annotations; the name alone for what cannot be called."""
    if not callable(value):
        return name
    signature = inspect.signature(value)
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return name + str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def iter_entries(name: str, value: t.Any) -> Iterator[str]:
    """Yield the entry of a public name, and of a class the entries of the methods that it adds."""
    # The current task is a proxy, which pretends to be callable.
    yield name if name == "task" else signature_of(name, value)
    if not inspect.isclass(value) or not value.__module__.startswith("myapp."):
        return
    inherited = {
        member for base in value.__mro__[1:] if not base.__module__.startswith("myapp.") for member in dir(base)
    }
    for member in sorted(vars(value)):
        if member.startswith("_") or member in inherited:
            continue
        if isinstance(vars(value)[member], property):
            yield f".{member}"
        elif inspect.isroutine(getattr(value, member)):
            yield without_self(signature_of(f".{member}", getattr(value, member)))


def without_self(text: str) -> str:
    """Return the signature as a caller writes it."""
    return text.replace("(self, ", "(").replace("(self)", "()")


def test_names_are_sorted_and_exist() -> None:
    """``__all__`` is sorted, without repetitions, and each of its names can be imported."""
    assert myapp.__all__ == sorted(set(myapp.__all__))
    assert set(myapp.__all__) <= set(dir(myapp))
    for name in myapp.__all__:
        assert getattr(myapp, name) is not None


def test_every_name_and_signature_is_documented() -> None:
    """docs/public.md has exactly one entry for each name, with its signature, and for each method of a class."""
    documented = [match["text"] for match in ENTRY.finditer(DOCUMENT.read_text(encoding="utf-8"))]
    expected = [entry for name in myapp.__all__ for entry in iter_entries(name, getattr(myapp, name))]
    missing, stale = set(expected) - set(documented), set(documented) - set(expected)
    assert documented == expected, f"missing: {sorted(missing)}; to be removed: {sorted(stale)}; or the order differs"


def test_an_unknown_name_says_where_to_look() -> None:
    """A misspelt name is an AttributeError that names the page."""
    with pytest.raises(AttributeError, match=r"docs/public\.md"):
        _ = myapp.no_such_name
