"""A new plugin is written whole or not at all, and under a name that the application serves."""

from __future__ import annotations

import ast
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest

from myapp.core.errors import ScaffoldError
from myapp.core.plugins import create_plugin, get_report
from myapp.core.plugins.scaffold import SUFFIX, TEMPLATES

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

LONGEST = "the_longest_name_that_a_plugin_can_have_"


@pytest.mark.parametrize("name", ["ab", "shop-front", LONGEST])
def test_every_file_is_written_and_filled_in(name: str, tmp_path: Path) -> None:
    """With the name in its path and its text; what is Python parses."""
    plain = name.replace("-", "_")

    folder = create_plugin(name, tmp_path / "new" / "plugins")

    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    templates = [str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*") if path.is_file()]
    expected = [path.removesuffix(SUFFIX).replace("NAME", plain).replace("DOT", ".") for path in templates]
    assert sorted(files) == sorted(expected)
    assert folder == tmp_path / "new" / "plugins" / plain
    for path in files.values():
        text = path.read_text(encoding="utf-8")
        assert "$" not in text
        if path.suffix == ".py":
            ast.parse(text)
    assert [path.name for path in folder.parent.iterdir()] == [plain]


def test_what_a_build_leaves_is_not_for_git(tmp_path: Path) -> None:
    """The next wheel would have what lies in ``build``."""
    lines = (create_plugin("shop", tmp_path) / ".gitignore").read_text(encoding="utf-8").splitlines()

    assert {"build/", "dist/", "*.egg-info/", "__pycache__/"} == {*lines}


def test_new_plugin_is_served(tmp_path: Path, make_app: Callable[..., CustomFlask]) -> None:
    """As it is, in strict mode; its own tests are run where it is installed."""
    app = make_app(create_plugin("shop-front", tmp_path))

    (report,) = get_report(app)
    assert (report.name, report.state, report.version) == ("shop_front", "active", "0.1.0")
    assert "<h1>Shop front</h1>" in app.test_client().get("/shop_front/").text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is not a name"),
        ("s", "is not a name"),
        ("Shop", "'shop' would be one"),
        ("my shop!", "'my_shop' would be one"),
        ("1shop", "'shop' would be one"),
        ("../shop", "'shop' would be one"),
        ("/etc/shop", "'etc_shop' would be one"),
        ("shop\n", "'shop' would be one"),
        ("läden", "is not a name"),
        ("x" * 41, "is not a name"),
        ("class", "a word of Python"),
        ("plugins", "uses itself"),
        ("run", "uses itself"),
        ("tests", "uses itself"),
        ("test_shop", "uses itself"),
        ("taken", "There is a plugin or a blueprint called taken"),
    ],
)
def test_name_that_would_not_be_served_is_refused(name: str, message: str, tmp_path: Path) -> None:
    """With what is wrong, and nothing is written, neither here nor elsewhere."""
    with pytest.raises(ScaffoldError, match=message):
        create_plugin(name, tmp_path / "plugins", taken={"taken"})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "empty", "file", "module", "link"])
def test_what_is_there_is_never_overwritten(kind: str, tmp_path: Path) -> None:
    """Neither a folder nor a file, nor a link to nowhere, nor a plugin in one file."""
    target = tmp_path / "shop"
    if kind in ("folder", "empty"):
        target.mkdir()
    if kind == "folder":
        (target / "__init__.py").write_text("mine", encoding="utf-8")
    elif kind in ("file", "module"):
        (target if kind == "file" else tmp_path / "shop.py").write_text("mine", encoding="utf-8")
    elif kind == "link":
        target.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(ScaffoldError, match="is there already"):
        create_plugin("shop", tmp_path)

    assert sorted(tmp_path.rglob("*")) == before
    assert not any(path.is_file() and path.read_text(encoding="utf-8") != "mine" for path in before)


def test_two_at_once_write_one_plugin(tmp_path: Path) -> None:
    """Exactly one of them; the others say so and leave nothing behind."""
    barrier = threading.Barrier(4)

    def create(folder: Path) -> str:
        barrier.wait(30)
        try:
            return create_plugin("shop", folder).name
        except ScaffoldError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        for number in range(25):
            folder = tmp_path / str(number)
            said = list(pool.map(create, [folder] * 4))
            assert said.count("shop") == 1
            assert all(str(folder / "shop") in one for one in said if one != "shop")
            assert [path.name for path in folder.iterdir()] == ["shop"]
            assert (folder / "shop" / "README.md").is_file()


def test_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    """A file is in the way."""
    (tmp_path / "plugins").write_text("", encoding="utf-8")

    with pytest.raises(ScaffoldError, match=r"cannot be written \((Not a directory|File exists)"):
        create_plugin("shop", tmp_path / "plugins")
