"""Decide which candidates are built, and in which order: a pure function, without an app and without an import."""

from __future__ import annotations

import heapq
import typing as t
from dataclasses import dataclass, field, replace

from .manifest import is_in_range, problem
from .report import STATES, PluginReport
from .state import NAME

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..discovery import Problem
    from .report import State
    from .scan import Candidate

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

    :param allowed: the only names that may be built; None for all.
    :param quarantined: plugins that have failed in earlier builds of this app, with their problems.
    :param app_version: the version of myapp.
    """

    allowed: frozenset[str] | None = None
    disabled: frozenset[str] = frozenset()
    reserved: frozenset[str] = RESERVED
    quarantined: Mapping[str, Problem] = field(default_factory=dict)
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
        self.accepted.pop(candidate.name, None)
        self.rejected.append(report_rejected(candidate, wrong))


def make_plan(candidates: Sequence[Candidate], policy: Policy) -> Plan:
    """Return which of ``candidates`` are built, ordered by ``requires``, ``after``, ``before``, rank and name."""
    draft = _Draft(policy)
    taken: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: (candidate.rank, candidate.name)):
        reason = _why_disabled(candidate, policy)
        if reason:
            draft.rejected.append(replace(report_unserved(candidate, "disabled"), reason=reason))
            continue
        wrong = _wrong_by_itself(candidate, policy, taken)
        if wrong is not None:
            draft.rejected.append(report_rejected(candidate, wrong))
        else:
            draft.accepted[candidate.name] = candidate
        taken.setdefault(candidate.name, candidate)
    order = _sort(draft)
    return Plan(tuple(order), tuple(sorted(draft.rejected, key=lambda report: (report.name, report.origin))))


def report_rejected(candidate: Candidate, wrong: Problem) -> PluginReport:
    """Return the report of a plugin that is not built because something is wrong with it."""
    return replace(report_unserved(candidate, STATES[wrong.code]), problem=wrong)


def report_unserved(candidate: Candidate, state: State) -> PluginReport:
    """Return the report of a plugin of which nothing is served."""
    return PluginReport(
        candidate.name, candidate.version, state, candidate.origin, mount=candidate.mount, file=candidate.file
    )


def _why_disabled(candidate: Candidate, policy: Policy) -> str:
    if candidate.name in policy.disabled:
        return "MYAPP_PLUGINS_DISABLED names it."
    if policy.allowed is not None and candidate.name not in policy.allowed:
        return "MYAPP_PLUGINS does not name it."
    return ""


def _wrong_by_itself(candidate: Candidate, policy: Policy, taken: Mapping[str, Candidate]) -> Problem | None:
    name = candidate.name
    if not NAME.fullmatch(name):
        return problem("name-invalid", f"{name!r} is not a name for a plugin.")
    if name in taken:
        return problem("name-taken", f"{name} is in {taken[name].origin} and in {candidate.origin}; the first counts.")
    if name in policy.quarantined:
        return policy.quarantined[name]
    if name in policy.reserved:
        return problem("name-reserved", f"{name} is a name that the core uses itself.")
    if candidate.problem is not None:
        return candidate.problem
    wanted = candidate.manifest.get("app", "")
    if not is_in_range(policy.app_version, wanted):
        return problem("app-version", f"It is made for myapp {wanted}, and this is {policy.app_version}.")
    return None


def _sort(draft: _Draft) -> list[Candidate]:
    while True:
        _reject_unmet(draft)
        edges = _edges(draft.accepted)
        order = _kahn(draft.accepted, edges)
        stuck = sorted(draft.accepted.keys() - {candidate.name for candidate in order})
        if not stuck:
            return order
        cycle = [name for name in stuck if _reaches(edges, name, name)]
        for name in cycle:
            summary = f"It has to come before and after itself: {', '.join(cycle)} wait for each other."
            draft.reject(draft.accepted[name], problem("requires-cycle", summary))


def _reject_unmet(draft: _Draft) -> None:
    """Reject what requires something that is not built, until nothing changes: the dependents of those follow."""
    while unmet := next(filter(None, (_unmet(one, draft.accepted) for one in draft.accepted.values())), None):
        draft.reject(*unmet)


def _unmet(candidate: Candidate, accepted: Mapping[str, Candidate]) -> tuple[Candidate, Problem] | None:
    for name, ranges in candidate.manifest.get("requires", {}).items():
        other = accepted.get(name)
        if other is None:
            return candidate, problem("requires-missing", f"It requires {name}, which is not loaded.")
        if not is_in_range(other.version, ranges):
            summary = f"It requires {name} {ranges}, and there is {other.version}."
            return candidate, problem("requires-missing", summary)
    return None


def _edges(accepted: Mapping[str, Candidate]) -> dict[str, list[str]]:
    """Return for each plugin those that come after it."""
    edges: dict[str, list[str]] = {name: [] for name in accepted}
    for name, candidate in accepted.items():
        manifest = candidate.manifest
        for earlier in sorted({*manifest.get("requires", {}), *manifest.get("after", [])} & accepted.keys()):
            edges[earlier].append(name)
        edges[name].extend(sorted({*manifest.get("before", [])} & accepted.keys()))
    return edges


def _kahn(accepted: Mapping[str, Candidate], edges: Mapping[str, Iterable[str]]) -> list[Candidate]:
    waiting = dict.fromkeys(accepted, 0)
    for followers in edges.values():
        for follower in followers:
            waiting[follower] += 1
    heap = [(accepted[name].rank, name) for name, count in waiting.items() if count == 0]
    heapq.heapify(heap)
    order: list[Candidate] = []
    while heap:
        _, name = heapq.heappop(heap)
        order.append(accepted[name])
        for follower in edges[name]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(heap, (accepted[follower].rank, follower))
    return order


def _reaches(edges: Mapping[str, Iterable[str]], start: str, goal: str) -> bool:
    seen: set[str] = set()
    open_ = list(edges[start])
    while open_:
        name = open_.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            open_.extend(edges[name])
    return False
