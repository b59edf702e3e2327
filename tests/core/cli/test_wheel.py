"""A folder of one's own, with myapp from a wheel and no checkout: what the first page of the plugin tutorial says."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

import myapp
from myapp.testing.servers import serve

TUTORIAL = Path(__file__).resolve().parents[3] / "docs" / "plugin-tutorial.md"


class Reader(t.NamedTuple):
    """Somebody in an empty folder, for whom ``import myapp`` finds an installed package."""

    folder: Path
    environ: dict[str, str]

    def run(self, *command: str, expected: int = 0) -> str:
        """Run a command there and return what it says."""
        result = subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == expected, result.stdout + result.stderr
        return result.stdout + result.stderr


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Return a reader of the tutorial."""
    package = Path(myapp.__file__).parent
    shutil.copytree(package, tmp_path / "site" / "myapp", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "folder").mkdir()
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("MYAPP_", "FLASK_", "PYTEST"))}
    return Reader(tmp_path / "folder", environ | {"PYTHONPATH": str(tmp_path / "site")})


@pytest.mark.live
def test_tutorial_begins_in_an_empty_folder(reader: Reader, tmp_path: Path) -> None:
    """The commands say what is missing, and the line that writes the tutorial's `.env`; then all of it works."""
    flask = [sys.executable, "-m", "flask"]
    text = TUTORIAL.read_text(encoding="utf-8")
    found = re.search(r"^```ini\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None

    missing = reader.run(sys.executable, "-m", "myapp", "plugins", "list", expected=2)
    line = next(
        line.strip() for line in reader.run(*flask, "plugins", "new", "guestbook").splitlines() if ".env" in line
    )
    reader.run("/bin/sh", "-c", line)

    assert line in missing
    assert (reader.folder / ".env").read_text() == found[1]
    assert ".env" not in reader.run(*flask, "plugins", "new", "second")
    with serve([*flask, "run", "-p", "0"], tmp_path / "first.log", reader.environ, reader.folder) as server:
        assert server.ask("GET", "/guestbook/").status == 200
        page = server.ask("GET", "/").body.decode()
    assert "<code>plugins/hello.py</code>" in page
    source = re.search(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)
    assert source is not None
    (reader.folder / "plugins" / "hello.py").write_text(html.unescape(source[1]), encoding="utf-8")
    with serve([*flask, "run", "-p", "0"], tmp_path / "second.log", reader.environ, reader.folder) as server:
        assert server.ask("GET", "/hello/").body == b'{"hello":"world"}'
    assert not [path for path in (tmp_path / "site").iterdir() if path.name != "myapp"]
