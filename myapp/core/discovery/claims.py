"""Which paths a module would serve, read from its text: it may be broken, and nothing is imported for it."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Mapping

#: ``url_prefix`` as an attribute of the module, and as an argument of a Blueprint.
DECLARED = re.compile(r"""^url_prefix\s*(?::[^=\n]+)?=\s*(["'])(?P<path>[^"'\n]*)\1""", re.MULTILINE)
ARGUMENT = re.compile(r"""^[^#\n]*\burl_prefix\s*=\s*(["'])(?P<path>[^"'\n]*)\1""", re.MULTILINE)
ROUTE = re.compile(
    r"""^[^#\n]*\.(?:route|get|post|put|patch|delete|add_url_rule)\(\s*(["'])(?P<path>/[^"'\n]*)\1""", re.MULTILINE
)


def join(base: str, segment: str) -> str:
    """Return ``base`` with one more segment; ``/`` and nothing add nothing."""
    stripped = segment.strip("/")
    return f"{base}/{stripped}" if stripped else base


def read_segment(file: str, name: str, is_package: bool, prefixes: Mapping[str, str]) -> str | None:
    """Return what a module would add to the path; None when nothing says so.

    Not by parsing it: the text may be no Python.

    :param file: its source; one that cannot be read says nothing.
    :param prefixes: the operator's segments, by name below the blueprint package.
    """
    if name in prefixes:
        return prefixes[name]
    text = _read(file)
    match = DECLARED.search(text) or ARGUMENT.search(text)
    if match is not None:
        return match["path"]
    return name.rpartition(".")[2] if is_package else None


def read_claims(file: str, base: str, name: str, is_package: bool, prefixes: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths that a module would serve, or that lie above what it would serve, as far as its text says.

    :param base: the path that its packages add up to.
    """
    segment = read_segment(file, name, is_package, prefixes)
    if segment is not None and segment.strip("/"):
        return (join(base, segment),)
    # Without a prefix the routes say it, each up to its first variable part.
    routes = [match["path"].partition("<")[0].strip("/") for match in ROUTE.finditer(_read(file))]
    claims = sorted({join(base, route) or "/" for route in routes})
    return tuple(claims) or (join(base, name.rpartition(".")[2]),)


def claims_path(claims: tuple[str, ...], path: str) -> bool:
    """Whether ``path`` is one of ``claims`` or lies below one; the root is claimed for itself alone."""
    return any(path == claim or (claim != "/" and path.startswith(f"{claim}/")) for claim in claims)


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""
