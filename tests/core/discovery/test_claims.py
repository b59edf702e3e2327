"""What a module would serve, read from its text, and where a package lies, without importing either."""

from __future__ import annotations

import sys
import typing as t

import pytest

from myapp.core.discovery import claims_path, find_folders
from myapp.core.discovery.claims import read_claims

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ('url_prefix = "/a"', ("/v1/a",)),
        ("url_prefix: str = 'a/b/'", ("/v1/a/b",)),
        ('bp = Blueprint("x", __name__, url_prefix="/c")', ("/v1/c",)),
        ('bp = Blueprint(\n    "x",\n    __name__,\n    url_prefix="/c",\n)', ("/v1/c",)),
        ('bp = Blueprint("x", __name__, url_prefix="/c")\nurl_prefix = "/a"', ("/v1/a",)),
        ('# url_prefix="/no"\n@bp.get("/d/<int:id>")\n@bp.route("/e/f")', ("/v1/d", "/v1/e/f")),
        ('@bp.get("/")', ("/v1",)),
        ('@bp.get("/<name>")', ("/v1",)),
        ('requests.get("https://x.example/")', ("/v1/mod",)),
        ("def (:", ("/v1/mod",)),
        ("", ("/v1/mod",)),
    ],
)
def test_claims_of_a_text(text: str, claims: tuple[str, ...], tmp_path: Path) -> None:
    """The prefix, else the routes up to their variables, else the name; whether it is Python or not."""
    (tmp_path / "mod.py").write_text(text, encoding="utf-8")

    assert read_claims(str(tmp_path / "mod.py"), "/v1", "mod", False, {}) == claims


def test_file_that_cannot_be_read_claims_its_name(tmp_path: Path) -> None:
    """A link that leads nowhere, a file of somebody else, bytes that are no text."""
    (tmp_path / "bytes.py").write_bytes(b'url_prefix = "/a"\n\xff\x00')

    assert read_claims(str(tmp_path / "missing.py"), "", "missing", False, {}) == ("/missing",)
    assert read_claims(str(tmp_path / "bytes.py"), "", "bytes", False, {}) == ("/a",)


def test_claims_are_whole_segments() -> None:
    """And the root is claimed for itself alone."""
    assert claims_path(("/shop",), "/shop")
    assert claims_path(("/x", "/shop"), "/shop/cart/")
    assert not claims_path(("/shop",), "/shopping")
    assert claims_path(("/",), "/")
    assert not claims_path(("/",), "/shop")


def test_folders_of_a_package_are_found_without_importing_it(make_package: Callable[..., str], tmp_path: Path) -> None:
    """Of one that is broken as well; a module, and what does not exist, have none."""
    make_package("located", __init__="raise RuntimeError", below__slash____init__="raise RuntimeError", mod="")

    assert find_folders("located") == [str(tmp_path / "located")]
    assert find_folders("located.below") == [str(tmp_path / "located" / "below")]
    assert find_folders("located.mod") == find_folders("located.nothing.x") == find_folders("nothing_there") == []
    assert "located" not in sys.modules
