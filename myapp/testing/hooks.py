"""What the test kit tells pytest: the fixtures, the option, how the folder of a plugin is collected."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path
from types import ModuleType

import pytest

from .contract import collect
from .fixtures import FIXTURES

if t.TYPE_CHECKING:
    from collections.abc import Iterator

#: What the ``__init__.py`` of a plugin has at the beginning of a line: its manifest, or a hook.
PLUGIN = re.compile(rb"^(?:__plugin__\b|def myapp_)", re.MULTILINE)

_YIELDED = pytest.StashKey["dict[str, str]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--myapp-contract``."""
    parser.getgroup("myapp").addoption(
        collect.OPTION,
        action="append",
        default=[],
        metavar="PLUGIN",
        help="check that a plugin keeps the contract of plugins: its name, or its path (./shop). Runs these checks"
        " only, unless files are named as well. May be repeated.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Offer the fixtures; find the plugins to be checked.

    Where another plugin of pytest has a fixture of the same name (``client`` and ``live_server`` of pytest-flask and
    pytest-django), that one counts, whichever was loaded first: tests of other projects run in this environment too.
    """
    taken = dict(_iter_taken(config))
    config.stash[_YIELDED] = taken
    offered = ModuleType(f"{__package__}.offered", "The fixtures that nobody else has.")
    vars(offered).update({name: fixture for name, fixture in FIXTURES.items() if name not in taken})
    config.pluginmanager.register(offered, "myapp-fixtures")
    collect.choose(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which fixtures are not those of myapp."""
    taken = config.stash[_YIELDED]
    return [
        f"myapp: {', '.join(sorted(name for name in taken if taken[name] == plugin))} come from the pytest plugin"
        f" {plugin}; with -p no:{plugin} from myapp"
        for plugin in sorted(set(taken.values()))
    ]


def _iter_taken(config: pytest.Config) -> Iterator[tuple[str, str]]:
    """Yield the names of our fixtures that other plugins of pytest have, with the plugins' names."""
    kind = type(FIXTURES["app"])
    for name, plugin in config.pluginmanager.list_name_plugin():
        # A conftest.py replaces a fixture where it lies, which is what it is for.
        if not isinstance(plugin, ModuleType) or Path(plugin.__file__ or "").name == "conftest.py":
            continue
        for fixture in FIXTURES:
            if isinstance(vars(plugin).get(fixture), kind):
                yield fixture, name


@pytest.hookimpl(optionalhook=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the folder of a plugin as a folder: pytest imports a package before it runs the tests below it.

    That would be under a name that is not the plugin's, and the plugin would be there twice.
    """
    try:
        text = (path / "__init__.py").read_bytes()
    except OSError:
        return None
    return pytest.Dir.from_parent(parent, path=path) if PLUGIN.search(text) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the checks of the contract, before others choose among the items."""
    collect.add_checks(config, session, items)
