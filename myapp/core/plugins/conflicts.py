"""What a plugin has and somebody else has too, with both owners and the one who gets it."""

from __future__ import annotations

import typing as t

from ..config import plain_name
from ..discovery import APPLICATION, CORE, Clash, Owner, get_ownership, iter_rule_clashes
from .manifest import problem
from .plan import RESERVED

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from jinja2 import BaseLoader

    from ..discovery import Problem


def iter_conflicts(app: Flask) -> Iterator[tuple[str, Problem]]:
    """Yield the name of each plugin that came second somewhere, with the problem that this is."""
    ownership = get_ownership(app)
    for clashes in (iter_rule_clashes(app), ownership.clashes, _iter_commands(app), _iter_templates(app)):
        for clash in clashes:
            if clash.later.kind == "plugin":
                yield clash.later.name, problem(f"{clash.kind}-taken", str(clash))


def _iter_commands(app: Flask) -> Iterator[Clash]:
    """Yield the commands of plugins at the top that the core has: its own are found first, or come later."""
    for name, owner in get_ownership(app).commands.items():
        if owner.kind == "plugin" and name != owner.name and plain_name(name) in RESERVED:
            yield Clash("command", name, CORE, owner, CORE)


def _iter_templates(app: Flask) -> Iterator[Clash]:
    """Yield the templates that two blueprints have, in the order in which they are looked for.

    The application's own folder may replace what lies in the folder of a plugin's name: that is what it is for.
    """
    first: dict[str, Owner] = {}
    for path, blueprint in app.blueprints.items():
        owner = get_ownership(app).blueprints.get(path, APPLICATION)
        for name in _templates_of(blueprint.jinja_loader):
            if owner.kind == "plugin" and name.partition("/")[0] != owner.name:
                # Outside of its namespace: it is not found by name, which is a problem of its own.
                continue
            winner = first.setdefault(name, owner)
            if winner != owner:
                yield Clash("template", name, winner, owner, winner)


def _templates_of(loader: BaseLoader | None) -> list[str]:
    try:
        return [] if loader is None else loader.list_templates()
    except TypeError:
        # A loader that cannot list what it has, jinja2 says.
        return []
