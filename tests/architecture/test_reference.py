"""docs/plugins-reference.md is what the code says."""

from __future__ import annotations

import importlib.util
import typing as t
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "docs" / "reference.py"


@pytest.fixture(scope="module")
def reference() -> t.Any:
    """Return the module that writes the page."""
    spec = importlib.util.spec_from_file_location("docs_reference", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_is_what_the_code_says(reference: t.Any) -> None:
    """Run ``python docs/reference.py`` when this fails."""
    assert reference.PAGE.read_text(encoding="utf-8") == reference.render()


def test_reference_has_every_name(reference: t.Any) -> None:
    """Each hook with its arguments, each key, state, problem and setting: none is lost on the way to the page."""
    page = reference.render()

    for name in reference.HOOKS:
        assert f"### `{name}(" in page
    for name in (
        *reference.KEYS,
        *reference.MEMBERS,
        *reference.SLOTS,
        *reference.STATE_MEANINGS,
        *reference.STATES,
        "MYAPP_PLUGIN_DIRS",
        "MYAPP_STRICT",
    ):
        assert f"\n| `{name}` |" in page


@pytest.mark.parametrize(
    ("names", "meanings", "message"),
    [(["one", "two"], {"one": "1"}, "two has no description"), (["one"], {"one": "1", "old": "0"}, "old is described")],
)
def test_what_has_no_description_is_an_error(
    reference: t.Any, names: list[str], meanings: dict[str, str], message: str
) -> None:
    """So is a description of what is no longer there."""
    with pytest.raises(reference.UndescribedError, match=message):
        list(reference._described(names, meanings, "the thing"))
