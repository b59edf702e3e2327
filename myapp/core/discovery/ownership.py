"""Who has added what to an app: recorded while blueprint modules and plugins register, and asked afterwards."""

from __future__ import annotations

import itertools
import re
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field

from .report import get_recorder

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    import click
    from flask import Flask

EXTENSION = "myapp.ownership"
VARIABLE = re.compile(r"<[^>]+>")


@dataclass(frozen=True)
class Owner:
    """A blueprint module, by its dotted name, or a plugin, by its name; everything else is the application's."""

    kind: t.Literal["application", "blueprint", "plugin"] = "application"
    name: str = ""

    def __str__(self) -> str:
        words = {"application": "the application", "blueprint": "the blueprint module ", "plugin": "the plugin "}
        return words[self.kind] + self.name


APPLICATION = Owner()
OPERATOR = Owner("application", " (its configuration)")
CORE = Owner("application", " (its core)")


@dataclass(frozen=True)
class Clash:
    """One thing that two owners have.

    :param kind: what it is; with ``-taken`` the code of the problem.
    :param name: the rule with its method, the key, the name of the command or of the template.
    :param later: who came second, and is told.
    :param winner: whose it is now.
    """

    kind: t.Literal["rule", "config", "command", "template"]
    name: str
    first: Owner
    later: Owner
    winner: Owner
    #: The endpoints of two rules.
    detail: tuple[str, str] = ("", "")

    def __str__(self) -> str:
        what = "the configuration key" if self.kind == "config" else f"the {self.kind}"
        one, other = (f" ({name})" if name else "" for name in self.detail)
        who = f"{self.first}{one} and {self.later}{other}"
        effect = {
            "rule": f"{self.winner}{one} answers",
            "config": f"the value of {self.winner} counts",
            "command": f"that of {self.winner} runs",
            "template": f"that of {self.winner} is rendered",
        }
        is_earlier = self.winner == self.first and self.first.kind != "application"
        order = ", because it came first" if is_earlier and self.kind != "config" else ""
        text = f"{who} both have {what} {self.name}; {effect[self.kind]}{order}."
        return text[:1].upper() + text[1:]


@dataclass
class Ownership:
    """What is known of one app.

    :param protected: keys of the configuration that the operator has set.
    """

    protected: frozenset[str] = frozenset()
    endpoints: dict[str, Owner] = field(default_factory=dict)
    blueprints: dict[str, Owner] = field(default_factory=dict)
    commands: dict[str, Owner] = field(default_factory=dict)
    config: dict[str, Owner] = field(default_factory=dict)
    clashes: list[Clash] = field(default_factory=list)

    @contextmanager
    def step(self, app: Flask, owner: Owner) -> Iterator[None]:
        """Write down what is added to ``app`` in the block as that of ``owner``.

        A command that was there before is put back: the first one counts, as it does for rules. Of two values of one
        key the second counts, because the second owner has used it by now.
        """
        endpoints, blueprints = len(app.view_functions), len(app.blueprints)
        config, commands = dict(app.config), dict(app.cli.commands)
        yield
        # Most steps add little, and a look at everything that is there takes longer than they do.
        if len(app.view_functions) > endpoints or len(app.blueprints) > blueprints:
            # Names are only ever added to these two.
            self.endpoints.update(dict.fromkeys(itertools.islice(app.view_functions, endpoints, None), owner))
            self.blueprints.update(dict.fromkeys(itertools.islice(app.blueprints, blueprints, None), owner))
        if not _is_same(config, app.config):
            for key, value in app.config.items():
                if key not in config or not _is_same(config[key], value):
                    self._take_key(key, owner)
        if not _is_same(commands, app.cli.commands):
            for name, command in list(app.cli.commands.items()):
                if commands.get(name) is not command:
                    self._take_command(app, name, owner, commands.get(name))

    def _take_key(self, key: str, owner: Owner) -> None:
        first = self.config.get(key, OPERATOR if key in self.protected else owner)
        if first != owner:
            self.clashes.append(Clash("config", key, first, owner, owner))
        self.config[key] = owner

    def _take_command(self, app: Flask, name: str, owner: Owner, before: click.Command | None) -> None:
        first = self.commands.get(name, owner if before is None else APPLICATION)
        if first == owner:
            self.commands[name] = owner
            return
        self.clashes.append(Clash("command", name, first, owner, first))
        if before is not None:
            app.cli.commands[name] = before


def _is_same(one: t.Any, other: t.Any) -> bool:
    if one is other:
        return True
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - The values are anybody's, and so is what their comparison does.
        return False


def init_app(app: Flask, protected: frozenset[str]) -> None:
    """Begin to write down who adds what to ``app``."""
    app.extensions[EXTENSION] = Ownership(protected)


def get_ownership(app: Flask) -> Ownership:
    """Return what is known of ``app``."""
    return t.cast("Ownership", app.extensions[EXTENSION])


def owner_of(app: Flask, endpoint: str) -> Owner:
    """Return whose endpoint it is."""
    return get_ownership(app).endpoints.get(endpoint, APPLICATION)


def iter_rule_clashes(app: Flask) -> Iterator[Clash]:
    """Yield each rule of one owner that another has registered before: it is never reached.

    A rule that is there twice as one owner's is his own business, and a fallback wants only what nobody has claimed.
    """
    fallbacks = {Owner("blueprint", one.module.__name__) for one in get_recorder(app).fallbacks}
    first: dict[tuple[str, str], str] = {}
    for rule in app.url_map.iter_rules():
        # The names of variables make no difference to matching.
        shape = VARIABLE.sub(lambda variable: f"<{variable[0][1:-1].rpartition(':')[0]}>", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            winner = first.setdefault((method, f"{rule.host or rule.subdomain or ''}|{shape}"), rule.endpoint)
            one, other = owner_of(app, winner), owner_of(app, rule.endpoint)
            if one != other and other not in fallbacks:
                yield Clash("rule", f"{method} {rule.rule}", one, other, one, (winner, rule.endpoint))
