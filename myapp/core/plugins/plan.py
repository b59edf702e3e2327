"""Decide which candidates are built, and in which order: a pure function, without an app and without an import."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, field, replace

from ..errors import well_formed
from .manifest import API, problem
from .order import find_cycles, sort
from .ranges import is_in_range
from .report import STATES, PluginReport
from .state import NAME

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..discovery import Problem
    from .report import State
    from .scan import Candidate
    from .state import Decision

#: Names that a plugin cannot have: commands of Flask and of the core, and folders. Blueprint names come on top.
RESERVED: frozenset[str] = frozenset(
    {
        "blueprints",
        "completion",
        "config",
        "console",
        "core",
        "db",
        "doctor",
        "drain",
        "events",
        "init_db",
        "jobs",
        "mail",
        "myapp",
        "openapi",
        "ops",
        "plugins",
        "resilience",
        "routes",
        "run",
        "scopes",
        "serve",
        "shell",
        "static",
        "tokens",
        "users",
        "why",
    }
)


@dataclass(frozen=True)
class Policy:
    """What the operator and the core want.

    :param is_safe: whether no plugin may be built at all.
    :param allowed: the only names that are enabled; None leaves it to the decisions.
    :param disabled: names that are not, whatever else is said.
    :param decisions: what ``plugins.json`` says, by name.
    :param required: names without which nothing is served.
    :param remembered: plugins that were critical when their manifests could last be read.
    :param expected: plugins that nothing may be served without, and where they are to be.
    :param is_discovered: whether the plugins were looked for, and not asked for by the code.
    :param sequence: names each of which comes after the one before it.
    :param quarantined: plugins that have failed in earlier builds of this app, with their problems.
    :param skipped: plugins whose own ``enabled(app)`` said no, with the reason.
    :param app_version: the version of myapp.
    """

    is_safe: bool = False
    allowed: frozenset[str] | None = None
    disabled: frozenset[str] = frozenset()
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    remembered: frozenset[str] = frozenset()
    expected: Mapping[str, str] = field(default_factory=dict)
    is_discovered: bool = True
    sequence: tuple[str, ...] = ()
    reserved: frozenset[str] = RESERVED
    quarantined: Mapping[str, Problem] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    app_version: str = "0"


@dataclass(frozen=True)
class Plan:
    """What is built, in order, and why the rest is not."""

    order: tuple[Candidate, ...]
    rejected: tuple[PluginReport, ...]


@dataclass
class _Draft:
    policy: Policy
    accepted: dict[str, Candidate] = field(default_factory=dict)
    rejected: list[PluginReport] = field(default_factory=list)

    def reject(self, candidate: Candidate, wrong: Problem) -> None:
        del self.accepted[candidate.name]
        self.put_aside(candidate, STATES[wrong.code], wrong=wrong)

    def put_aside(self, candidate: Candidate, state: State, reason: str = "", wrong: Problem | None = None) -> None:
        report = report_unserved(candidate, state)
        served = self.accepted.get(candidate.name)
        # A second copy is not missed where the first is built and is no less critical; should that fail, nothing is.
        is_spare = served is not None and (served.is_critical or candidate.is_critical is False)
        is_critical = is_needed(candidate, self.policy) and not is_spare
        if wrong is not None and is_critical:
            wrong = add_way_out(wrong, candidate.name, self.policy)
        self.rejected.append(replace(report, reason=reason, problem=wrong, is_critical=is_critical))


def make_plan(candidates: Sequence[Candidate], policy: Policy) -> Plan:
    """Return which of ``candidates`` are built, ordered by ``requires``, ``after``, ``before``, rank and name."""
    draft = _Draft(policy)
    taken: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: (candidate.rank, candidate.name)):
        reason = why_disabled(candidate.name, policy)
        if reason:
            draft.put_aside(candidate, "disabled", reason)
            continue
        _judge(draft, candidate, taken)
        taken.setdefault(candidate.name, candidate)
    order = _sort(draft)
    draft.rejected += _iter_missing(candidates, policy)
    return Plan(tuple(order), tuple(sorted(draft.rejected, key=lambda report: (report.name, report.origin))))


def is_needed(candidate: Candidate, policy: Policy) -> bool:
    """Whether nothing may be served without the plugin.

    What its manifest says counts; where that cannot be read, what it said when it could.
    """
    if candidate.name in policy.required:
        return True
    return candidate.name in policy.remembered if candidate.is_critical is None else candidate.is_critical


def report_unserved(candidate: Candidate, state: State) -> PluginReport:
    """Return the report of a plugin of which nothing is served."""
    return PluginReport(
        candidate.name,
        candidate.version,
        state,
        well_formed(candidate.origin),
        mount=candidate.mount,
        file=candidate.file,
        summary=candidate.manifest.get("summary", ""),
        steps=("found",),
    )


def why_disabled(name: str, policy: Policy) -> str:
    """Return who has turned the plugin ``name`` off, as a sentence; nothing when nobody has.

    The first of these that says something counts: safe mode, the operator's settings, the operator's decision. What
    the plugin itself says comes after them.
    """
    if policy.is_safe:
        return "MYAPP_SAFE_MODE is on: no plugin is loaded."
    if name in policy.disabled:
        return "MYAPP_PLUGINS_DISABLED names it."
    if policy.allowed is not None:
        return "" if name in policy.allowed else "It is not enabled: MYAPP_PLUGINS does not name it."
    if policy.decisions.get(name) == "disabled":
        return f"It is disabled by a decision: `flask plugins enable {name}` takes that back."
    return ""


def is_wanted(candidate: Candidate, policy: Policy) -> bool:
    """Whether the plugin is on by itself, or because the operator wants it."""
    name = candidate.name
    if candidate.manifest.get("enabled", True) or not policy.is_discovered or name in policy.required:
        return True
    return name in (policy.allowed or ()) or policy.decisions.get(name) == "enabled"


def add_way_out(wrong: Problem, name: str, policy: Policy) -> Problem:
    """Return the problem of the critical plugin ``name`` with a hint that says also how to start without it."""
    keys = ["MYAPP_REQUIRED_PLUGINS"] if name in policy.required else []
    if not policy.is_discovered:
        keys.append("create_app(plugins=…)")
    elif name in (policy.allowed or ()):
        keys.append("MYAPP_PLUGINS")
    # Against these no decision counts.
    way = f", take it out of {' and '.join(keys)}." if keys else f": python -m myapp plugins disable --force {name}"
    return replace(wrong, hint=f"{wrong.hint} To start without {name}{way}")


def _judge(draft: _Draft, candidate: Candidate, taken: Mapping[str, Candidate]) -> None:
    """Accept ``candidate``, or say why not: what is wrong with it by itself, or that it does not want to."""
    policy, name = draft.policy, candidate.name
    wrong = _wrong_name(candidate, taken)
    if wrong is None and not is_wanted(candidate, policy):
        reason = f"It is off unless somebody wants it: `flask plugins enable {name}`, or MYAPP_PLUGINS."
        draft.put_aside(candidate, "skipped", reason)
        return
    wrong = wrong or policy.quarantined.get(name) or _wrong_by_itself(candidate, policy)
    if wrong is None and name in policy.skipped:
        if not is_needed(candidate, policy):
            draft.put_aside(candidate, "skipped", policy.skipped[name])
            return
        wrong = problem("critical-skipped", f"Nothing may be served without it. {policy.skipped[name]}")
    if wrong is None:
        draft.accepted[name] = candidate
    else:
        draft.put_aside(candidate, STATES[wrong.code], wrong=wrong)


def _wrong_name(candidate: Candidate, taken: Mapping[str, Candidate]) -> Problem | None:
    name = candidate.name
    if not NAME.fullmatch(name):
        return problem("name-invalid", f"{name!r} is not a name for a plugin.")
    if name in taken:
        first, second = (one.origin for one in (taken[name], candidate))
        if first == second:
            first, second = taken[name].file, candidate.file
        return problem("name-taken", f"{name} is in {first} and in {second}; the first counts.")
    return None


def _wrong_by_itself(candidate: Candidate, policy: Policy) -> Problem | None:
    if candidate.name in policy.reserved:
        return problem("name-reserved", f"{candidate.name} is a name that the core uses itself.")
    if candidate.problem is not None:
        return candidate.problem
    wanted = candidate.manifest.get("app", "")
    if not is_in_range(policy.app_version, wanted):
        return problem("app-version", f"It is made for myapp {wanted}, and this is {policy.app_version}.")
    api = candidate.manifest.get("api", API)
    if api > API:
        return problem("api-version", f"It is made for version {api} of the plugin API, and this myapp has {API}.")
    return None


def _sort(draft: _Draft) -> list[Candidate]:
    while True:
        _reject_unmet(draft)
        edges = _edges(draft)
        order = sort({name: (candidate.rank, name) for name, candidate in draft.accepted.items()}, edges)
        if len(order) == len(draft.accepted):
            return [draft.accepted[name] for name in order]
        for members in find_cycles(edges):
            for name in members:
                draft.reject(draft.accepted[name], problem("requires-cycle", _describe_cycle(members, draft.policy)))


def _describe_cycle(members: tuple[str, ...], policy: Policy) -> str:
    if len(members) == 1:
        return f"It has to come after itself: {members[0]} names itself."
    blame = " MYAPP_PLUGIN_ORDER is a part of it." if len({*members} & {*policy.sequence}) > 1 else ""
    return f"It has to come before and after itself: {', '.join(members)} wait for each other.{blame}"


def _reject_unmet(draft: _Draft) -> None:
    """Reject what requires something that is not built, until nothing changes: the dependents of those follow."""
    while unmet := next(filter(None, (_unmet(draft, one) for one in draft.accepted.values())), None):
        draft.reject(*unmet)


def _unmet(draft: _Draft, candidate: Candidate) -> tuple[Candidate, Problem] | None:
    for name, ranges in candidate.manifest.get("requires", {}).items():
        other = draft.accepted.get(name)
        if other is None:
            report = next((report for report in draft.rejected if report.name == name), None)
            state = report.state if report is not None else "not installed"
            wrong = problem("requires-missing", f"It requires {name}, which is not loaded ({state}).")
            if report is not None and report.reason:
                # What is off by somebody's will needs no repair: the reason says by whose, and often how to turn it on.
                wrong = replace(wrong, hint=f"{name}: {report.reason}")
            return candidate, wrong
        if not is_in_range(other.version, ranges):
            wrong = problem("requires-missing", f"It requires {name} {ranges}, and there is {other.version}.")
            return candidate, replace(wrong, hint=f"Install {name} {ranges}, or remove this one.")
    return None


def _edges(draft: _Draft) -> dict[str, list[str]]:
    """Return for each plugin those that come after it."""
    accepted = draft.accepted
    edges: dict[str, list[str]] = {name: [] for name in accepted}
    for name, candidate in accepted.items():
        manifest = candidate.manifest
        for earlier in sorted({*manifest.get("requires", {}), *manifest.get("after", [])} & accepted.keys()):
            edges[earlier].append(name)
        edges[name].extend(sorted({*manifest.get("before", [])} & accepted.keys()))
    sequence = [name for name in draft.policy.sequence if name in accepted]
    for earlier, later in itertools.pairwise(sequence):
        edges[earlier].append(later)
    return edges


def _iter_missing(candidates: Sequence[Candidate], policy: Policy) -> Iterator[PluginReport]:
    """Yield a report for each plugin that nothing may be served without, and that was not found at all."""
    known = {candidate.name for candidate in candidates}
    for name in sorted(policy.expected.keys() - known):
        if why_disabled(name, policy):
            continue
        summary = (
            "MYAPP_REQUIRED_PLUGINS names it, and no such plugin was found."
            if name in policy.required
            else f"It is critical and was in {policy.expected[name]}; now it is not found."
        )
        wrong = add_way_out(problem("needed-missing", summary), name, policy)
        yield PluginReport(name, "0", STATES[wrong.code], policy.expected[name], problem=wrong, is_critical=True)
