"""The manifest ``__plugin__``: one literal, read without importing the plugin."""

from __future__ import annotations

import ast
import re
import typing as t
from dataclasses import dataclass, field
from importlib.util import MAGIC_NUMBER, cache_from_source

from ..config import did_you_mean, plain_name
from ..discovery import Problem, describe
from ..errors import well_formed
from ..policy import iter_policy_problems
from .ranges import is_range, is_version
from .report import HINTS
from .settings import check_rules

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

VARIABLE = "__plugin__"
#: The newest version of the rules between the core and a plugin, the manifest's ``api``.
API = 1
#: Lines that may be about the manifest, and the whole statement as it is usually written.
MENTION = re.compile(rb"^%s\b" % VARIABLE.encode(), re.MULTILINE)
STATEMENT = re.compile(
    rb"^%s\b[^\n]*(?:\}[ \t\r]*$|\{[ \t\r]*\n(?:[^}\n][^\n]*\n|\n)*\}[^\n]*$)" % VARIABLE.encode(), re.MULTILINE
)
#: What may be meant for the manifest and is called otherwise: ``__plugins__ = {``.
SIMILAR = re.compile(rb"^(?:_\w*_|__\w+)[ \t]*=[ \t]*\{", re.MULTILINE)

#: The keys of a manifest, and the types of their values.
KEYS: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "version": str,
    "api": int,
    "app": str,
    "summary": str,
    "requires": dict,
    "after": (list, tuple),
    "before": (list, tuple),
    "mount": str,
    "critical": bool,
    "enabled": bool,
    "config": dict,
    "csp": dict,
}


@dataclass(frozen=True)
class Manifest:
    """What a plugin says of itself before it is imported.

    :param values: the keys that can be used; a key that cannot is left out, and a problem.
    :param is_critical: None when that is not known: there is no manifest, or it cannot be read.
    :param problem: everything that is wrong with it, at once.
    :param is_there: whether there is one at all.
    """

    values: dict[str, t.Any] = field(default_factory=dict)
    is_critical: bool | None = None
    problem: Problem | None = None
    is_there: bool = False


def read_manifest(file: Path) -> Manifest:
    """Return the manifest in ``file``.

    Nothing is executed: a plugin that is disabled, incompatible or cannot be parsed can still say so.
    """
    try:
        tree = _parse(file)
    except OSError as error:
        return Manifest(problem=problem("import-failed", describe(error, str(file))))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # A null byte is a ValueError on some versions of Python.
        return Manifest(problem=problem("syntax-error", describe(error, str(file))))
    problems: list[tuple[int, str]] = []
    found = [(node.lineno, value) for node in tree.body for name, value in _assigned(node) if name == VARIABLE]
    if not found:
        # Without a manifest a plugin is served, and what a misspelt one says of it, critical say, would be lost.
        found = [
            (node.lineno, value) for node in tree.body for name, value in _assigned(node) if _is_meant(name, value)
        ]
        problems += [
            (line, f"nothing is called so, and this looks like it. Call it {VARIABLE}.") for line, _ in found[:1]
        ]
    if not found:
        return Manifest()
    line, value = found[0]
    if len(found) > 1:
        problems.append((found[1][0], f"it is assigned a second time; the first is in line {line}."))
    values: t.Any = {}
    if isinstance(value, ast.Dict):
        values = _read_entries(value, problems)
    else:
        what = type(value.value).__name__ if isinstance(value, ast.Constant) else type(value).__name__.lower()
        problems.append((line, f"it is a {what} and not a dict, written out, with values that are literals."))
    lines = {key: key_node.lineno for key, key_node in _iter_keys(value)}
    values, wrong = check_manifest(values)
    problems += [(lines.get(key, line), sentence) for key, sentence in wrong]
    return Manifest(values, _is_critical(value, values), _join(file, problems), is_there=True)


def _parse(file: Path) -> ast.Module:
    """Return the text of ``file`` as far as its manifest goes; all of it, unless Python has compiled this text before.

    To parse a module costs more than to import it from Python's cache, and every start would do it for every plugin.

    :raises SyntaxError: when it is no Python, before the manifest or after it.
    """
    source = file.read_bytes()
    if _was_compiled(file, len(source)):
        if VARIABLE.encode() not in source and not SIMILAR.search(source):
            return ast.Module([], [])
        if len(MENTION.findall(source)) == 1 and (manifest := STATEMENT.search(source)) is not None:
            try:
                return ast.parse(source[: manifest.end()], filename=str(file))
            except SyntaxError:
                # It stands in a text, or goes on in another way than most do.
                return ast.parse(source, filename=str(file))
    return ast.parse(source, filename=str(file))


def _was_compiled(file: Path, size: int) -> bool:
    """Whether Python's cache is that of the file as it is: then there is no syntax error in it."""
    try:
        with open(cache_from_source(str(file)), "rb") as cached:
            header = cached.read(16)
        changed = int(file.stat().st_mtime)
    # A Python that keeps no cache says so with NotImplementedError.
    except (OSError, NotImplementedError):
        return False
    return header == MAGIC_NUMBER + b"".join((n & 0xFFFFFFFF).to_bytes(4, "little") for n in (0, changed, size))


def from_object(wanted: t.Any, manifest: t.Any) -> Manifest:
    """Return the manifest of a module or an object that was passed to ``create_app``."""
    values, wrong = check_manifest(manifest)
    sentences = " ".join(sentence for _, sentence in wrong)
    is_critical = bool(manifest.get("critical")) if isinstance(manifest, dict) else False
    return Manifest(
        values, is_critical, problem("manifest-invalid", f"{wanted!r}: {sentences}") if wrong else None, is_there=True
    )


def check_manifest(manifest: t.Any) -> tuple[dict[str, t.Any], list[tuple[t.Any, str]]]:
    """Return the keys of ``manifest`` that can be used, and a sentence for everything else, with the key."""
    if not isinstance(manifest, dict):
        return {}, [(None, f"it is a {type(manifest).__name__}, not a dict.")]
    values: dict[str, t.Any] = {}
    wrong: list[tuple[t.Any, str]] = []
    for key, value in manifest.items():
        sentences = list(_check_entry(key, value))
        wrong += [(key, f"{key!r} {sentence}") for sentence in sentences]
        if not sentences:
            values[key] = value
    for key in ("after", "before", "requires"):
        if key in values:
            values[key] = _normalized(values[key])
    return values, wrong


def problem(code: str, summary: str) -> Problem:
    """Return the problem ``code`` with its hint."""
    return Problem(code, summary, HINTS[code])


def _check_entry(key: t.Any, value: t.Any) -> Iterator[str]:
    if key not in KEYS:
        yield f"is not a key of it.{did_you_mean(str(key), list(KEYS))}"
    elif not isinstance(value, KEYS[key]) or (isinstance(value, bool) and KEYS[key] is not bool):
        remedy = ' Write {"name": ">=1"}.' if key == "requires" else ""
        yield f"is a {type(value).__name__}.{remedy}"
    elif not _is_well_formed(value):
        yield "has NUL or half of a character (a surrogate) in a text."
    else:
        yield from _check_value(key, value)


def _check_value(key: str, value: t.Any) -> Iterator[str]:
    if key == "config":
        yield from (f"has {name!r}: {sentence}" for name, sentence in check_rules(value))
    elif key == "csp":
        yield from (f"has a mistake: {sentence}" for sentence in iter_policy_problems(value))
    elif key in ("after", "before") and not all(isinstance(name, str) for name in value):
        yield "is to be a list of names."
    elif key == "requires":
        for name, ranges in value.items():
            yield from (f"has {name!r}: {sentence}" for sentence in _check_requirement(name, ranges))
    elif key == "app":
        yield from (f"has {sentence}" for sentence in _check_ranges(value))
    elif key == "version":
        yield from (f"has {sentence}" for sentence in _check_version(value))
    elif key == "api" and not 0 < value < 1_000:
        yield f"is no version of the plugin API; this myapp has {API}."
    elif key == "mount" and re.search(r"[\s?#]|//|(^|/)\.\.?(/|$)", value):
        yield "is no path."


def _is_well_formed(value: t.Any) -> bool:
    """Whether every text in the value of a key is."""
    if isinstance(value, str):
        return well_formed(value) == value
    if isinstance(value, dict):
        return all(_is_well_formed(key) and _is_well_formed(one) for key, one in value.items())
    return not isinstance(value, list | tuple) or all(map(_is_well_formed, value))


def _check_requirement(name: t.Any, ranges: t.Any) -> Iterator[str]:
    if not isinstance(name, str) or not isinstance(ranges, str):
        yield 'write the versions as a text, as in {"name": ">=1"}, or as an empty one for all.'
    else:
        yield from _check_ranges(ranges)


def _check_ranges(ranges: str) -> Iterator[str]:
    if not is_range(ranges):
        yield f"{ranges!r}, which is no range of versions, such as >=1,<2."


def _check_version(version: str) -> Iterator[str]:
    if not is_version(version):
        yield f"{version!r}, which is no version, such as 1.4.0."


def _normalized(names: t.Any) -> t.Any:
    """Return the names of plugins as they are called: ``-`` is ``_``."""
    if isinstance(names, dict):
        return {plain_name(name): ranges for name, ranges in names.items()}
    return [plain_name(name) for name in names]


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a statement at the top of the module assigns to, with the value."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):
                yield target.id, node.value


def _is_meant(name: str, value: ast.expr) -> bool:
    """Whether a dict of another name is the manifest, misspelt: ``__plugins__``, with a key that only that has."""
    is_special = name.startswith("__") or (name.startswith("_") and name.endswith("_"))
    has_key = any(key in KEYS for key, _ in _iter_keys(value) if isinstance(key, str))
    return is_special and has_key and bool(did_you_mean(name, [VARIABLE]))


def _iter_keys(node: ast.expr) -> Iterator[tuple[t.Any, ast.expr]]:
    """Yield the keys that are literals; another's value cannot be known."""
    for key in node.keys if isinstance(node, ast.Dict) else ():
        if isinstance(key, ast.Constant):
            yield key.value, key


def _read_entries(node: ast.Dict, problems: list[tuple[int, str]]) -> dict[t.Any, t.Any]:
    """Return the entries whose keys and values are literals; the others are problems, and hide nothing else."""
    values: dict[t.Any, t.Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if not isinstance(key, ast.Constant):
            problems.append((value.lineno, "a key of it is not a literal."))
            continue
        if key.value in values:
            problems.append((key.lineno, f"{key.value!r} is there twice."))
        try:
            values[key.value] = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            problems.append((value.lineno, f"{key.value!r}: its value is not a literal."))
    return values


def _is_critical(node: ast.expr, values: Mapping[str, t.Any]) -> bool | None:
    """Return whether the plugin is critical, as far as its manifest can be read.

    One that says so in a way that cannot be read meant it; of one with parts that cannot be read at all nothing is
    known.
    """
    if "critical" in values:
        return bool(values["critical"])
    if any(key == "critical" for key, _ in _iter_keys(node)):
        return True
    is_readable = isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys)
    return False if is_readable else None


def _join(file: Path, problems: list[tuple[int, str]]) -> Problem | None:
    if not problems:
        return None
    sentences = [f"{file}:{line}: {VARIABLE}: {sentence}" for line, sentence in sorted(problems)]
    return problem("manifest-invalid", " ".join(sentences))
