"""Sort names by what comes before what: always the same order, and as little as possible is moved."""

from __future__ import annotations

import heapq
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Key: t.TypeAlias = tuple[int, str]


def sort(keys: Mapping[str, Key], edges: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names of ``keys`` in the order of their keys, as far as ``edges`` allow it.

    Of the names that nothing is waiting for any more, the one with the smallest key is next (Kahn's algorithm with a
    heap). So a new edge moves the name that it leads to, and what has to come after that one; all others keep their
    order among themselves, because what is next among them does not depend on the names that wait.

    :param edges: for each name those that come after it.
    :return: without the names of a cycle, and without those that come after one.
    """
    waiting = dict.fromkeys(keys, 0)
    for followers in edges.values():
        for follower in followers:
            waiting[follower] += 1
    heap = [keys[name] for name, count in waiting.items() if count == 0]
    heapq.heapify(heap)
    order: list[str] = []
    while heap:
        _, name = heapq.heappop(heap)
        order.append(name)
        for follower in edges[name]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(heap, keys[follower])
    return order


def find_cycles(edges: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Return the names that wait for each other, each such group sorted, by itself; not those that wait for one."""
    below = {name: _reachable(edges, name) for name in edges}
    groups = {
        tuple(sorted(other for other in below[name] if name in below[other])) for name in edges if name in below[name]
    }
    return sorted(groups)


def _reachable(edges: Mapping[str, Iterable[str]], start: str) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(edges[name])
    return frozenset(seen)
