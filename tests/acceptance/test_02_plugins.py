"""Plugins that cannot take the site down, point by point; the tests of each part go further than these."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import typing as t

import pytest

from tests.servers.process import command_of, serve

if t.TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.process import Server


@pytest.fixture
def author(tmp_path: Path) -> Author:
    """Return an author with an empty folder, far away from the project."""
    (tmp_path / "author").mkdir()
    return Author(tmp_path / "author")


class Author(t.NamedTuple):
    """Somebody who has installed myapp, and knows its commands."""

    folder: Path

    def run(self, *command: str, **variables: str) -> str:
        """Run a command of Python in the folder and return what it says; it has to end well."""
        result = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=self.environ(**variables),
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def environ(self, **variables: str) -> dict[str, str]:
        """Return the environment of the author's commands."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "MYAPP_"))}
        # Without a network: what is not here is not to be had.
        return {**own, "MYAPP_INSTANCE_PATH": str(self.folder / "instance"), "PIP_NO_INDEX": "1", **variables}

    def check(self, server: Server) -> None:
        """Look at the page of the new plugin."""
        answer = server.ask("GET", "/corner_shop/")
        assert answer.status == 200
        assert b"There is no entry yet." in answer.body


@pytest.mark.live
def test_8_new_plugin_is_dropped_in(author: Author, tmp_path: Path) -> None:
    """Written by a command, it is served, and passes its own tests and the contract, as it is."""
    dropins = {"MYAPP_PLUGIN_DIRS": str(author.folder / "plugins")}

    said = author.run("myapp", "plugins", "new", "corner-shop", **dropins)
    tested = author.run("pytest", "-q", "plugins/corner_shop", "--myapp-contract", "corner_shop", **dropins)

    assert "plugins/corner_shop" in said
    assert "23 passed" in tested
    environ = author.environ(MYAPP_PROFILE="development", **dropins)
    with serve(command_of("werkzeug", "devapp.py"), tmp_path / "server.log", environ) as server:
        author.check(server)


@pytest.mark.live
def test_8_new_plugin_is_shipped_as_a_wheel(author: Author, tmp_path: Path) -> None:
    """Built and installed offline, it is served from there; its tests find what is installed, and not the folder."""
    author.run("myapp", "plugins", "new", "corner-shop", "--into", ".")
    pip = ["--no-deps", "--no-build-isolation"]
    author.run("pip", "wheel", "-q", *pip, "--wheel-dir", "dist", "./corner_shop")
    (wheel,) = (author.folder / "dist").iterdir()
    author.run("pip", "install", "-q", *pip, "--target", "site", str(wheel))
    shutil.move(author.folder / "corner_shop" / "tests", author.folder / "tests")
    shutil.rmtree(author.folder / "corner_shop")
    site = str(author.folder / "site")

    tested = author.run("pytest", "-q", "tests", "--myapp-contract", "corner_shop", PYTHONPATH=site)

    assert wheel.name == "myapp_corner_shop-0.1.0-py3-none-any.whl"
    assert "23 passed" in tested
    with serve(
        [*command_of("werkzeug", "devapp.py")],
        tmp_path / "server.log",
        author.environ(MYAPP_PROFILE="development", PYTHONPATH=os.pathsep.join([site, str(tmp_path)])),
    ) as server:
        author.check(server)
