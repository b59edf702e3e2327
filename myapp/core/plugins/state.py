"""``plugins.json`` in the instance folder: what the operator has decided, and what has to be remembered of plugins.

Needs no app and imports no framework: the commands use it when an app cannot be built.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from ..config import plain_name
from ..errors import ConfigurationError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..config import Loaded

    Decision: t.TypeAlias = t.Literal["enabled", "disabled"]

SCHEMA = 1
FILE = "plugins.json"
NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
DECISIONS = ("enabled", "disabled")
LOCK_SECONDS = 10.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Kept:
    """What is kept of one plugin, which need not be installed.

    :param decision: the operator's word; None leaves it to the manifest.
    :param is_critical: what its manifest said when it could last be read.
    :param origin: where that manifest was, as ``flask plugins list`` shows it.
    """

    decision: Decision | None = None
    is_critical: bool = False
    origin: str = ""


@dataclass(frozen=True)
class StateFile:
    """What the file says.

    :param plugins: what is kept, by the name of the plugin.
    :param wrong: why the file cannot be used, as a sentence; nothing is known then, and nothing may be assumed.
    """

    path: Path
    plugins: Mapping[str, Kept] = field(default_factory=dict)
    wrong: str = ""

    def of(self, name: str) -> Kept:
        """Return what is kept of the plugin ``name``; of an unknown one, that nothing is."""
        return self.plugins.get(name, Kept())

    def require(self) -> StateFile:
        """Return this file.

        :raises ConfigurationError: when it cannot be used, with what to do. Who goes on without it enables what was
            disabled, or serves without a plugin that nothing may be served without.
        """
        if self.wrong:
            raise ConfigurationError(
                [
                    f"{self.path}: {self.wrong} It says which plugins are disabled and which are critical, so nothing"
                    " is assumed and nothing is overwritten. Repair it, or move it away and disable again what has to"
                    " stay off; MYAPP_SAFE_MODE=1 starts without any plugin."
                ]
            )
        return self


def read_state(loaded: Loaded) -> StateFile:
    """Return what the file in the instance folder says; a file that is not there says nothing.

    Nothing is raised for a file that cannot be used: :attr:`StateFile.wrong` says why.
    """
    path = loaded.instance_path / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return StateFile(path)
    except OSError as error:
        return StateFile(path, wrong=f"It cannot be read ({error.strerror}).")
    except UnicodeDecodeError:
        return StateFile(path, wrong="It is no text in UTF-8.")
    try:
        return StateFile(path, MappingProxyType(_parse(text)))
    except (ValueError, RecursionError) as error:
        return StateFile(path, wrong=str(error) if isinstance(error, _FormError) else f"It is no JSON: {error}.")


def decide(loaded: Loaded, name: str, enabled: bool | None) -> StateFile:
    """Enable or disable the plugin ``name`` from the next start on, and return what the file says then.

    The plugin need not be installed: the decision is there when it comes back.

    :param enabled: None takes the decision back.
    :raises ValueError: when no plugin can have this name.
    :raises ConfigurationError: when the file cannot be read or written; it is as it was then.
    """
    name = plain_name(name)
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name for a plugin.")
    decision: Decision | None = None if enabled is None else "enabled" if enabled else "disabled"
    return _change(loaded, lambda known: {**known, name: replace(known.get(name, Kept()), decision=decision)})


def remember_critical(loaded: Loaded, found: Mapping[str, tuple[bool, str]]) -> StateFile:
    """Keep which plugins are critical, and return what the file says then; it is written when that is news.

    :param found: for each plugin whose manifest could be read, whether it is critical and where it was.
    :raises ConfigurationError: when the file cannot be read or written; it is as it was then.
    """

    def merge(known: Mapping[str, Kept]) -> dict[str, Kept]:
        merged = dict(known)
        for name, (is_critical, origin) in found.items():
            kept = known.get(name, Kept())
            merged[name] = replace(kept, is_critical=is_critical, origin=origin if is_critical else "")
        return merged

    before = read_state(loaded).require()
    # Most apps have no critical plugin, and most starts have no news: neither takes the lock nor needs to write.
    return before if _trimmed(merge(before.plugins)) == before.plugins else _change(loaded, merge)


class _FormError(ValueError):
    """A file that is JSON and not of this form, as a sentence."""


def _parse(text: str) -> dict[str, Kept]:
    document = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(document, dict) or "schema" not in document:
        raise _FormError("It is not a file of myapp: it has no schema.")
    if document["schema"] != SCHEMA or isinstance(document["schema"], bool):
        raise _FormError(f"Its schema is {document['schema']!r}, and this version of myapp knows {SCHEMA}.")
    entries = document.get("plugins")
    if not isinstance(entries, dict) or document.keys() != {"schema", "plugins"}:
        raise _FormError("It has other members than schema and plugins.")
    return {name: _parse_entry(name, entry) for name, entry in entries.items()}


def _parse_entry(name: str, entry: t.Any) -> Kept:
    if not NAME.fullmatch(name):
        raise _FormError(f"{name!r} is not a name for a plugin.")
    if not isinstance(entry, dict) or not entry.keys() <= {"decision", "critical", "origin"}:
        raise _FormError(f"The entry of {name} has other members than decision, critical and origin.")
    decision, is_critical, origin = entry.get("decision"), entry.get("critical", False), entry.get("origin", "")
    if decision is not None and decision not in DECISIONS:
        raise _FormError(f"The decision of {name} is {decision!r}, neither enabled nor disabled.")
    if not isinstance(is_critical, bool) or not isinstance(origin, str):
        raise _FormError(f"The entry of {name}: critical is true or false, and origin a text.")
    return Kept(decision, is_critical, origin)


def _unique(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Of two entries Python would take the last in silence, and the first may be the one that was meant.
        raise _FormError("A member is there twice.")
    return members


def _trimmed(plugins: Mapping[str, Kept]) -> dict[str, Kept]:
    """Return the entries that say something."""
    return {name: kept for name, kept in plugins.items() if kept != Kept()}


def _change(loaded: Loaded, change: Callable[[Mapping[str, Kept]], Mapping[str, Kept]]) -> StateFile:
    """Read, change and write the file, alone among all processes."""
    path = loaded.instance_path / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            before = read_state(loaded).require()
            plugins = _trimmed(change(before.plugins))
            if plugins != before.plugins:
                _write(path, plugins)
            return StateFile(path, MappingProxyType(plugins))
    except OSError as error:
        raise ConfigurationError(
            [
                f"{path}: it cannot be written ({error.strerror}). Let the user of this process write there, or set"
                " MYAPP_INSTANCE_PATH."
            ]
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock beside ``path``; the operating system gives it back when a process dies.

    :raises OSError: when another holds it for longer than a write takes.
    """
    import fcntl  # Only who writes needs it: it is not on every system.

    beside = path.with_name(f".{path.name}.lock")
    try:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:
        # Made by another user, such as root at the command line. To lock it, reading is enough.
        lock = os.open(beside, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(errno.ETIMEDOUT, f"another process keeps {beside.name} locked") from None
                # flock() that waits knows no deadline.
                time.sleep(_PAUSE_SECONDS)
        yield
    finally:
        os.close(lock)


def _write(path: Path, plugins: Mapping[str, Kept]) -> None:
    """Replace the file as a whole: who reads meanwhile, and who reads after a power cut, sees the old or the new."""
    entries = {
        name: {
            **({"decision": kept.decision} if kept.decision else {}),
            **({"critical": True, "origin": kept.origin} if kept.is_critical else {}),
        }
        for name, kept in sorted(plugins.items())
    }
    text = json.dumps({"schema": SCHEMA, "plugins": entries}, indent=2) + "\n"
    # A link stays a link: what it names is replaced.
    real = path.resolve()
    for left in real.parent.glob(f".{real.name}.*.new"):
        # Of a process that died while it wrote: who has the lock is the only one who writes.
        left.unlink(missing_ok=True)
    aside = real.with_name(f".{real.name}.{os.getpid()}.{secrets.token_hex(4)}.new")
    # Readable for whom the folder is: a command of root must not lock the server's user out.
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if real.exists():
            os.chmod(aside, real.stat().st_mode & 0o777)
        os.replace(aside, real)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(real.parent)


def _sync_folder(folder: Path) -> None:
    """Make the replacement itself durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
