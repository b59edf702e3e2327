"""Which plugin is meant: a name that the application would find, or a path."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ...core.config import did_you_mean, load, plain_name
from ...core.errors import ConfigurationError
from ...core.plugins.scan import from_argument, scan

if t.TYPE_CHECKING:
    from ...core.plugins.scan import Candidate


class SubjectError(Exception):
    """No plugin is meant, or nobody can say which, as a sentence."""


@dataclass(frozen=True)
class Subject:
    """A plugin to be checked.

    :param name: of the plugin.
    :param path: where it is, when it was asked for by its path; else empty.
    :param label: what it is called in a report: its name, or its path from the current folder.
    """

    name: str
    path: str = ""
    label: str = ""

    @property
    def wanted(self) -> str | Path:
        """What ``create_app(plugins=[…])`` takes for it."""
        return Path(self.path) if self.path else self.name


def is_path(text: str) -> bool:
    """Whether ``text`` is a path and no name: it has a separator, is a dot or ends in ``.py``."""
    return os.sep in text or "/" in text or text in (".", "..") or text.endswith(".py")


def resolve(text: str) -> Subject:
    """Return the plugin that ``text`` means. Nothing of it is imported.

    :raises SubjectError: when there is none, or when the settings that say where plugins are cannot be used.
    """
    if is_path(text):
        # Not the real path: a plugin that is linked into its folder has its name there.
        location = Path(os.path.abspath(text))
        candidate = from_argument(location, 0, ())
        if candidate.problem is not None and candidate.problem.code == "not-found":
            raise SubjectError(candidate.problem.summary)
        return Subject(candidate.name, str(location), os.path.relpath(location))
    try:
        known = find_candidates()
    except ConfigurationError as error:
        raise SubjectError(str(error)) from error
    if plain_name(text) not in known:
        raise SubjectError(
            f"No plugin is called {text}.{did_you_mean(plain_name(text), list(known))} Those that the application"
            f" finds: {', '.join(known) or 'none'}. A plugin that lies elsewhere is given by its path: ./{text}"
        )
    return Subject(plain_name(text), label=plain_name(text))


def find_candidates() -> dict[str, Candidate]:
    """Return the plugins that the application would find, by name; of two with one name the one that counts."""
    candidates: dict[str, Candidate] = {}
    for candidate in scan(load({"MYAPP_PROFILE": "development"}).plugin_dirs):
        candidates.setdefault(candidate.name, candidate)
    return candidates


def find_required(candidate: Candidate) -> list[str]:
    """Return the names of the plugins that ``candidate`` requires, and that those require, if they are there."""
    known, names = find_candidates(), list(candidate.manifest.get("requires", {}))
    for name in names:
        more = known[name].manifest.get("requires", {}) if name in known else {}
        names.extend(other for other in more if other not in names)
    return [name for name in names if name in known and name != candidate.name]


def candidate_of(subject: Subject) -> Candidate:
    """Return what the scan says of the plugin."""
    return from_argument(subject.wanted, 0, find_candidates().values())
