"""Why a URL is answered as it is: for the 404 of debug mode and for ``flask why``, from the reports alone."""

from __future__ import annotations

import difflib
import inspect
import re
import typing as t
from dataclasses import asdict, dataclass

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect

from .. import discovery, plugins

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from werkzeug.routing import Rule

VARIABLE = re.compile(r"<[^>]+>")
CLOSEST, CUTOFF = 3, 0.6


@dataclass(frozen=True)
class Unserved:
    """A blueprint module or a plugin that would serve a path, if it were served.

    :param name: as in ``flask blueprints list`` or ``flask plugins list``.
    :param module: the dotted name of a module; the file of a plugin, which is not imported.
    :param reason: what stopped it, with file and line where there is one.
    :param hint: the next step.
    """

    kind: t.Literal["blueprint", "plugin"]
    name: str
    module: str
    state: str
    reason: str
    hint: str


@dataclass(frozen=True)
class PathReport:
    """What an app does with a path.

    :param status: what routing answers: 200 for a view, else 308, 404 or 405; 503 for a view of a plugin whose tables
        are known not to be those of its code.
    :param view: file and line of the view.
    :param owner: the blueprint module or the plugin that the view belongs to, in words.
    :param methods: those of every rule that matches the path.
    :param closest: rules that look like the path, the closest first.
    """

    path: str
    method: str
    status: int
    reason: str
    rule: str = ""
    endpoint: str = ""
    view: str = ""
    owner: str = ""
    methods: tuple[str, ...] = ()
    closest: tuple[str, ...] = ()
    unserved: tuple[Unserved, ...] = ()


def init_app(app: Flask) -> None:
    """Let the 404 of debug mode say what the path may have been meant for."""
    app.extensions["myapp.web"].explain_miss = lambda path: {
        "closest": find_closest(app, path),
        "not_served": [asdict(one) for one in find_unserved(app, path)],
    }


def explain_path(app: Flask, path: str, method: str = "GET") -> PathReport:
    """Return which rule and which view answer ``path``, or why none does.

    :param path: of a URL; a query behind it does not matter.
    """
    path = path.partition("?")[0]
    adapter = app.url_map.bind(app.config["SERVER_NAME"] or "localhost", path_info=path)
    try:
        rule, _ = adapter.match(method=method, return_rule=True)
    except RequestRedirect as redirect:
        return PathReport(path, method, redirect.code, f"It is redirected to {redirect.new_url}.")
    except MethodNotAllowed as error:
        methods = tuple(sorted(error.valid_methods or ()))
        return PathReport(
            path, method, 405, f"{method} is not allowed; its methods are {', '.join(methods)}.", methods=methods
        )
    except NotFound:
        closest, unserved = tuple(find_closest(app, path)), tuple(find_unserved(app, path))
        return PathReport(path, method, 404, "No rule matches it.", closest=closest, unserved=unserved)
    refusal = _find_refusal(app, rule.endpoint)
    return PathReport(
        path,
        method,
        503 if refusal else 200,
        refusal or f"The view of {rule.endpoint} answers it.",
        rule.rule,
        rule.endpoint,
        place_of(app.view_functions[rule.endpoint]),
        owner_of(app, rule.endpoint),
        tuple(sorted(adapter.allowed_methods(path))),
    )


def find_closest(app: Flask, path: str) -> list[str]:
    """Return the rules that look like ``path``, the closest first."""
    segments = path.split("/")
    looks: dict[str, str] = {}
    for rule in app.url_map.iter_rules():
        looks.setdefault(_fill(app, rule, segments), rule.rule)
    return [looks[look] for look in difflib.get_close_matches(path, list(looks), CLOSEST, CUTOFF)]


def find_unserved(app: Flask, path: str) -> list[Unserved]:
    """Return the blueprint modules and plugins that failed or are off, and whose prefix ``path`` has."""
    return [*_iter_unserved_modules(app, path), *_iter_unserved_plugins(app, path)]


def owner_of(app: Flask, endpoint: str) -> str:
    """Return whose endpoint it is, in words."""
    return str(discovery.owner_of(app, endpoint))


def place_of(view: t.Any) -> str:
    """Return ``file:line`` of a view function, or of the class of a class-based one; empty for one written in C."""
    target = getattr(view, "view_class", None) or inspect.unwrap(view)
    try:
        return f"{inspect.getsourcefile(target)}:{inspect.getsourcelines(target)[1]}"
    except (TypeError, OSError):
        return ""


def _find_refusal(app: Flask, endpoint: str) -> str:
    """Return why a view is not asked although a rule leads to it; nothing when it is."""
    owner = discovery.get_ownership(app).blueprints.get(endpoint.rpartition(".")[0])
    for report in plugins.get_report(app):
        is_owner = owner == discovery.Owner("plugin", report.name)
        if is_owner and report.problem is not None and report.problem.code == "tables-failed":
            return f"The plugin {report.name} is {report.state} ({report.problem.code}): {report.problem}"
    return ""


def _fill(app: Flask, rule: Rule, segments: list[str]) -> str:
    """Return a rule with the path's own segments in place of its variables, where they can be that."""
    parts = rule.rule.split("/")
    return "/".join(
        segments[number] if number < len(segments) and _takes(app, part, segments[number]) else part
        for number, part in enumerate(parts)
    )


def _takes(app: Flask, part: str, segment: str) -> bool:
    """Whether the variables of a part of a rule can have the value ``segment``; a number cannot be a word."""
    variables = VARIABLE.findall(part)
    if not variables:
        return False
    kinds = (re.match(r"<(?:(\w+)(?:\(.*\))?:)?", variable) for variable in variables)
    names = [kind[1] or "default" for kind in kinds if kind is not None]
    # One that stands beside other text, or another variable, is not looked at more closely.
    return len(names) != 1 or re.fullmatch(app.url_map.converters[names[0]].regex, segment) is not None


def _iter_unserved_modules(app: Flask, path: str) -> Iterator[Unserved]:
    for report in discovery.get_report(app):
        if discovery.claims_path(report.claims, path):
            problem = report.problem
            reason, hint = (problem.summary, problem.hint) if problem else (report.reason, "")
            yield Unserved("blueprint", report.name, report.module, report.state, reason, hint)


def _iter_unserved_plugins(app: Flask, path: str) -> Iterator[Unserved]:
    for report in plugins.get_report(app):
        is_served = report.state in ("active", "degraded")
        if not is_served and discovery.claims_path((report.mount or "/",), path):
            problem = report.problem
            reason, hint = (problem.summary, problem.hint) if problem else (report.reason, "")
            yield Unserved("plugin", report.name, report.module or report.file, report.state, reason, hint)
