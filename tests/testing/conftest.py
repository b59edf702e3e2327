from __future__ import annotations

import os
import subprocess
import sys
import typing as t

import pytest

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def run_pytest(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that writes files into a folder of an author and runs pytest there, as its only process."""

    def run(
        *arguments: str, files: dict[str, str], path: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "author"
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments]
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "MYAPP_"))}
        environ.update(variables)
        if path:
            environ["PYTHONPATH"] = os.pathsep.join(filter(None, (path, environ.get("PYTHONPATH"))))
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False
        )

    return run
