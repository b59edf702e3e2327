"""What one ``create_app`` changes in the process while it builds, and puts back."""

from __future__ import annotations

import gc
import sys
import typing as t

import pytest

from myapp.core.errors import PluginError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

LOOKING = "import gc\nTHRESHOLD = gc.get_threshold()\n"
BROKEN = "1 / 0\n"
TUNING = "import gc\ngc.set_threshold(5_000, 20, 5)\n"


@pytest.fixture(autouse=True)
def threshold() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    gc.set_threshold(800, 9, 8)
    yield gc.get_threshold()
    gc.set_threshold(*before)


def test_garbage_is_looked_for_seldom(
    make_plugin_app: MakeApp, make_folder: MakeFolder, threshold: tuple[int, int, int]
) -> None:
    make_plugin_app(make_folder("plugins", {"seldom.py": LOOKING}))
    assert sys.modules["myapp_plugins.seldom"].THRESHOLD[0] == 100_000
    assert gc.get_threshold() == threshold


def test_also_when_there_is_no_app(
    make_plugin_app: MakeApp, make_folder: MakeFolder, threshold: tuple[int, int, int]
) -> None:
    with pytest.raises(PluginError):
        make_plugin_app(make_folder("plugins", {"broken.py": BROKEN}), strict=True)
    assert gc.get_threshold() == threshold


def test_what_a_plugin_sets_stays(make_plugin_app: MakeApp, make_folder: MakeFolder) -> None:
    make_plugin_app(make_folder("plugins", {"tuning.py": TUNING}))
    assert gc.get_threshold() == (5_000, 20, 5)


def test_whoever_wants_it_never_gets_it_never(make_plugin_app: MakeApp, make_folder: MakeFolder) -> None:
    gc.set_threshold(0, 9, 8)
    make_plugin_app(make_folder("plugins", {"never.py": LOOKING}))
    assert sys.modules["myapp_plugins.never"].THRESHOLD == (0, 9, 8) == gc.get_threshold()
