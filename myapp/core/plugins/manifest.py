"""The manifest ``__plugin__``: one literal, read without importing the plugin."""

from __future__ import annotations

import ast
import re
import typing as t

from ..config import did_you_mean
from ..discovery import Problem, describe
from .context import TYPES
from .report import HINTS

if t.TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VARIABLE = "__plugin__"
#: A version that needs no parser to be one.
PLAIN_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")

#: The keys that a manifest may have, with the types of their values.
KEYS: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "version": str,
    "api": int,
    "app": str,
    "summary": str,
    "requires": dict,
    "after": list,
    "before": list,
    "mount": str,
    "critical": bool,
    "config": dict,
}


class ManifestError(ValueError):
    """What is wrong with a manifest, as a sentence; caught where the file is known."""


def read_manifest(file: Path) -> tuple[dict[str, t.Any] | None, Problem | None]:
    """Return the manifest in ``file``, or None when there is none, and what is wrong with it.

    Nothing is executed: a plugin that is disabled, incompatible or cannot be parsed can still say so.
    """
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError, OSError) as error:
        # A null byte is a ValueError on some versions of Python.
        return None, problem("syntax-error", describe(error, str(file)))
    for node in tree.body:
        value = _assigned(node)
        if value is None:
            continue
        try:
            manifest = ast.literal_eval(value)
            check_manifest(manifest)
        except ValueError as error:
            reason = str(error) if isinstance(error, ManifestError) else "it is not a literal."
            return None, problem("manifest-invalid", f"{file}:{node.lineno}: {VARIABLE}: {reason}")
        return manifest, None
    return None, None


def check_manifest(manifest: t.Any) -> None:
    """Raise unless ``manifest`` has known keys with values of the right form.

    :raises ManifestError: with a sentence.
    """
    if not isinstance(manifest, dict):
        raise ManifestError(f"it is a {type(manifest).__name__}, not a dict.")
    for key, value in manifest.items():
        if key not in KEYS:
            raise ManifestError(f"{key!r} is not a key of it.{did_you_mean(str(key), list(KEYS))}")
        if not isinstance(value, KEYS[key]):
            raise ManifestError(f"{key!r} is a {type(value).__name__}.")
    for key, rule in manifest.get("config", {}).items():
        if not isinstance(rule, dict) or rule.get("type", "str") not in TYPES:
            raise ManifestError(f"the type of the setting {key!r} is not one of {', '.join(TYPES)}.")
    version = manifest.get("version", "0")
    ranges = [one for one in (manifest.get("app", ""), *manifest.get("requires", {}).values()) if one != ""]
    if not ranges and PLAIN_VERSION.fullmatch(version):
        return
    # Only here and where a range is checked: most manifests have none, and every start would pay for the import.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        Version(version)
        for one in ranges:
            SpecifierSet(one)
    except (InvalidVersion, InvalidSpecifier, TypeError) as error:
        raise ManifestError(f"{error}.") from error


def is_in_range(version: str, ranges: str) -> bool:
    """Whether ``version`` is in ``ranges`` (as ``>=1,<2``); pre-releases count."""
    if not ranges:
        return True
    # As above.
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    return SpecifierSet(ranges).contains(Version(version), prereleases=True)


def problem(code: str, summary: str) -> Problem:
    """Return the problem ``code`` with its hint."""
    return Problem(code, summary, HINTS[code])


def _assigned(node: ast.stmt) -> ast.expr | None:
    """Return the value that a statement at the top of the module assigns to the manifest's name."""
    if isinstance(node, ast.Assign):
        targets: list[ast.expr] = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        return None
    return node.value if any(isinstance(target, ast.Name) and target.id == VARIABLE for target in targets) else None
