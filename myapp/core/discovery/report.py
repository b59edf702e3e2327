"""What became of each blueprint module, and why."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ..errors import end_sentence, well_formed

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from .walk import Found

EXTENSION = "myapp.discovery"

State: t.TypeAlias = t.Literal["active", "skipped", "ignored", "broken-import", "broken-register", "unknown"]


@dataclass(frozen=True)
class Problem:
    """A recorded reason why something is not served.

    :param code: stable, for programs; ``docs/plugins-reference.md`` and ``docs/blueprints.md`` list the codes.
    :param summary: what happened, with file and line where there is one.
    :param hint: the next step.
    """

    code: str
    summary: str
    hint: str

    def __post_init__(self) -> None:
        # It may quote the name of a file or of a function, in which everything is allowed.
        object.__setattr__(self, "summary", well_formed(self.summary))

    def __str__(self) -> str:
        return f"{end_sentence(self.summary)} {self.hint}"


@dataclass(frozen=True)
class ModuleReport:
    """One blueprint module as an app sees it.

    :param name: the name below its blueprint package, ``api.v1.users``; ``MYAPP_BLUEPRINT_PREFIXES`` uses it.
    :param module: the dotted name that Python imports.
    :param prefix: the path that the URLs of its blueprints begin with, or would begin with.
    :param blueprints: names of the blueprints that were registered for it.
    :param rules: its URL rules as ``GET /demo/add``.
    :param reason: why a module that is no problem serves nothing, as a sentence.
    :param problem: what stopped it, or what its author should look at.
    :param file: where its source is, if that is known.
    :param claims: the paths that a module which is not served would serve, as far as its text says.
    :param is_fallback: whether it gets only the rules that nobody else has claimed.
    """

    name: str
    module: str
    state: State
    prefix: str = ""
    blueprints: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    reason: str = ""
    problem: Problem | None = None
    file: str = ""
    claims: tuple[str, ...] = ()
    is_fallback: bool = False


@dataclass
class Recorder:
    """What discovery knows about one app while it is being built."""

    modules: list[ModuleReport] = field(default_factory=list)
    #: Modules that are registered when everybody else had a chance to claim their rules.
    fallbacks: list[Found] = field(default_factory=list)


def get_recorder(app: Flask) -> Recorder:
    """Return the recorder that :func:`myapp.core.discovery.init_app` has put on ``app``."""
    return t.cast("Recorder", app.extensions[EXTENSION])


def get_report(app: Flask) -> tuple[ModuleReport, ...]:
    """Return what became of each blueprint module, sorted by import name; changing ``app`` does not change it."""
    modules = sorted(get_recorder(app).modules, key=lambda report: report.module)
    owners = {name: report.module for report in modules for name in report.blueprints}
    rules: dict[str, list[str]] = {}
    for path, rule in _iter_rules(app):
        while path and path not in owners:
            path = path.rpartition(".")[0]
        if path:
            rules.setdefault(owners[path], []).append(rule)
    return tuple(replace(report, rules=tuple(sorted(rules.get(report.module, ())))) for report in modules)


def _iter_rules(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield the blueprint path of each rule with its methods and its URL."""
    for rule in app.url_map.iter_rules():
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}) or ["OPTIONS"]
        yield rule.endpoint.rpartition(".")[0], f"{','.join(methods)} {rule.rule}"
