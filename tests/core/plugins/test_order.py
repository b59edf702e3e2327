"""The order of plugins: always the same, and nobody is moved who need not be."""

from __future__ import annotations

import itertools
import random
import typing as t

import pytest
from flask import render_template_string

from myapp.core.plugins import get_report
from myapp.core.plugins.order import find_cycles, sort
from myapp.core.plugins.plan import Policy, make_plan
from myapp.core.plugins.scan import Candidate

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"
Manifests: t.TypeAlias = "dict[str, dict[str, t.Any]]"

LETTERS = "abcdefgh"


def order_of(manifests: Manifests, *, shuffle: int | None = None, ranks: str = "", **policy: t.Any) -> str:
    """Return the order of plugins with names of one letter, twice each: ``aa`` is ``a``."""
    candidates = [
        Candidate(letter * 2, "here", 1 + (letter in ranks), manifest=_doubled(manifest), is_critical=False)
        for letter, manifest in manifests.items()
    ]
    if shuffle is not None:
        random.Random(shuffle).shuffle(candidates)
    return "".join(candidate.name[0] for candidate in make_plan(candidates, Policy(**policy)).order)


def _doubled(manifest: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        key: dict.fromkeys((name * 2 for name in value), "") if key == "requires" else [name * 2 for name in value]
        for key, value in manifest.items()
    }


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "abcdefgh"),
        ({"b": {"after": "f"}}, "acdefbgh"),
        ({"h": {"before": "b"}}, "acdefghb"),
        ({"b": {"requires": "f"}}, "acdefbgh"),
        ({"b": {"after": "f"}, "c": {"after": "b"}}, "adefbcgh"),
        ({"b": {"after": "f"}, "g": {"after": "b"}}, "acdefbgh"),
        ({"f": {"after": "b"}}, "abcdefgh"),
        ({"b": {"after": ["f", "nobody"]}}, "acdefbgh"),
    ],
)
def test_only_who_has_to_is_moved(changed: Manifests, expected: str) -> None:
    """A plugin that comes after another, and those that come after it; the others keep their order."""
    assert order_of({letter: changed.get(letter, {}) for letter in LETTERS}) == expected


def test_after_moves_exactly_that_plugin() -> None:
    """Of any two: without it the order is what it was, and it stands right behind the other or where it stood."""
    plain = order_of({letter: {} for letter in LETTERS})
    for one, other in itertools.permutations(LETTERS, 2):
        moved = order_of({letter: {"after": other} if letter == one else {} for letter in LETTERS})

        assert moved.replace(one, "") == plain.replace(one, "")
        assert moved.index(one) > moved.index(other)
        assert moved.index(one) == moved.index(other) + 1 or moved == plain


def test_new_edge_moves_nobody_who_does_not_come_after_it() -> None:
    """In any graph: whoever is not behind the plugin that the edge leads to keeps his place among the others."""
    for seed in range(200):
        check_new_edge(random.Random(seed))


def check_new_edge(choose: random.Random) -> None:
    names = [f"n{number:02}" for number in range(12)]
    choose.shuffle(names)
    keys = {name: (choose.randrange(3), name) for name in names}
    # Edges lead forward in the shuffled list, so that there is no cycle.
    edges: dict[str, list[str]] = {
        name: choose.sample(names[number + 1 :], k=min(choose.randrange(3), 11 - number))
        for number, name in enumerate(names)
    }
    start = choose.randrange(11)
    first, second = names[start], names[choose.randrange(start + 1, 12)]
    behind, waiting = {second}, [second]
    while waiting:
        for follower in edges[waiting.pop()]:
            if follower not in behind:
                behind.add(follower)
                waiting.append(follower)

    before = sort(keys, edges)
    after = sort(keys, {**edges, first: [*edges[first], second]})

    assert [name for name in after if name not in behind] == [name for name in before if name not in behind]
    assert after.index(first) < after.index(second)
    assert all(after.index(name) < after.index(follower) for name in names for follower in edges[name])


def test_sources_come_in_their_order() -> None:
    """Of a source of a higher rank all come later, unless an edge says otherwise."""
    manifests: Manifests = {letter: {} for letter in LETTERS}

    assert order_of(manifests, ranks="ab") == "cdefghab"
    assert order_of(manifests | {"c": {"after": "a"}}, ranks="ab") == "defghacb"


def test_operator_orders() -> None:
    """Each of the list comes after the one before it; names that are not loaded are stepped over."""
    manifests: Manifests = {letter: {} for letter in LETTERS}

    assert order_of(manifests, sequence=("gg", "bb", "aa")) == "cdefgbah"
    assert order_of(manifests, sequence=("gg", "nobody", "aa"), disabled=frozenset({"bb"})) == "cdefgah"


@pytest.mark.parametrize(
    ("manifests", "loaded", "cycle"),
    [
        ({"a": {"after": "b"}, "b": {"after": "a"}, "c": {"after": "a"}}, "c", "aabb"),
        ({"a": {"requires": "b"}, "b": {"requires": "a"}, "c": {"requires": "a"}, "d": {"after": "a"}}, "d", "aabb"),
        ({"a": {"after": "a"}, "b": {}}, "b", "aa"),
        ({"a": {"after": "b"}, "b": {"after": "c"}, "c": {"before": "c", "after": "a"}, "d": {}}, "d", "aabbcc"),
        (
            # Between two cycles, and in none.
            {
                "a": {"after": "b"},
                "b": {"after": "a"},
                "c": {"after": "a", "before": "d"},
                "d": {"after": "e"},
                "e": {"after": "d"},
            },
            "c",
            "aabb ddee",
        ),
    ],
)
def test_cycle_rejects_its_members_and_who_requires_them(manifests: Manifests, loaded: str, cycle: str) -> None:
    """Nobody else; each is told with whom it waits."""
    candidates = [
        Candidate(letter * 2, "here", 1, manifest=_doubled(manifest), is_critical=False)
        for letter, manifest in manifests.items()
    ]
    plan = make_plan(candidates, Policy())

    assert "".join(candidate.name[0] for candidate in plan.order) == loaded
    groups = {
        report.problem.summary for report in plan.rejected if report.problem and "itself" in report.problem.summary
    }
    assert len(groups) == len(cycle.split())
    for report in plan.rejected:
        assert report.state == "missing-dependency"
        assert report.problem is not None
        if report.problem.code == "requires-cycle":
            own = next(group for group in cycle.split() if report.name in group)
            assert all(name * 2 in report.problem.summary for name in set(own))


def test_order_of_the_operator_may_close_a_cycle() -> None:
    """Then the message says so."""
    candidates = [
        Candidate("aa", "here", 1, manifest={"after": ["bb"]}, is_critical=False),
        Candidate("bb", "here", 1, is_critical=False),
    ]

    problems = [report.problem for report in make_plan(candidates, Policy(sequence=("aa", "bb"))).rejected]

    assert len(problems) == 2
    assert all(one is not None and one.summary.endswith("MYAPP_PLUGIN_ORDER is a part of it.") for one in problems)


def test_cycles_are_found_each_by_itself() -> None:
    """Not who waits for one."""
    edges = {"a": ["b"], "b": ["a", "c"], "c": ["d"], "d": ["e"], "e": ["d"], "f": ["f"], "g": []}

    assert find_cycles(edges) == [("a", "b"), ("d", "e"), ("f",)]


def test_shuffled_candidates_have_one_order() -> None:
    """What the file system lists first makes no difference."""
    manifests: Manifests = {letter: {} for letter in LETTERS} | {"b": {"after": "fd"}, "e": {"requires": "g"}}

    assert {order_of(manifests, shuffle=seed) for seed in range(20)} == {order_of(manifests)}


RECORDS = """
from flask import Blueprint


def myapp_configure(app, plugin):
    app.config["CALLS"].append(("configure", plugin.name))


def myapp_blueprints(app, plugin):
    app.config["CALLS"].append(("blueprints", plugin.name))
    return ()


def myapp_commands(app, plugin):
    app.config["CALLS"].append(("commands", plugin.name))
    return ()


def myapp_ready(app, plugin):
    app.config["CALLS"].append(("ready", plugin.name))


def myapp_slot(app, plugin, name):
    app.config["CALLS"].append(("slot", plugin.name))
"""


def test_printed_order_is_that_of_the_hooks(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Each hook is called for all of them, in this order, before the next one."""
    folder = make_folder("plugins", {f"{letter * 2}.py": RECORDS for letter in "abc"})
    app = make_plugin_app(folder, MYAPP_PLUGIN_ORDER="cc,aa", CALLS=[])

    with app.test_request_context():
        render_template_string("{{ slot('home') }}")

    assert [report.name for report in get_report(app)] == ["bb", "cc", "aa"]
    assert app.config["CALLS"] == [
        (hook, name) for hook in ("configure", "blueprints", "commands", "ready", "slot") for name in ("bb", "cc", "aa")
    ]
