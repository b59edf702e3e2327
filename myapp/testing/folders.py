"""Plugins that exist for a test: folders, and distributions that pip has never seen."""

from __future__ import annotations

import importlib
import os
import sys
import typing as t
from collections.abc import Mapping
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from collections.abc import Iterator

#: ``{"myapp.plugins": {"shop": "shop_plugin"}}``, or the text of the file ``entry_points.txt``.
EntryPoints: t.TypeAlias = "Mapping[str, Mapping[str, str]] | str"


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    """Write ``files`` below ``folder``, which is made, and return it.

    :raises ValueError: for a path that leaves the folder.
    """
    for name, text in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{name} lies outside of the folder that it is to be written to.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


class Site:
    """A folder on ``sys.path`` with distributions in it.

    :param folder: the folder, which is made.
    :param monkeypatch: takes it off ``sys.path`` again.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))

    def install(
        self, name: str, version: str = "1.0", entry_points: EntryPoints = "", files: Mapping[str, str] | None = None
    ) -> Path:
        """Install a distribution with its metadata, entry points and files, and return the folder that it lies in.

        :param name: of the distribution: ``shop-plugin``.
        :param entry_points: by group and name, or the text of ``entry_points.txt``.
        :param files: modules and packages, ``{"shop_plugin/__init__.py": "…"}``.
        """
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        text = entry_points if isinstance(entry_points, str) else _as_text(entry_points)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        write_files(self.folder, {f"{info}/METADATA": metadata, f"{info}/entry_points.txt": text, **(files or {})})
        # The import system and importlib.metadata remember what a folder had within the resolution of its time.
        importlib.invalidate_caches()
        return self.folder

    def forget(self) -> None:
        """Take the modules of the folder out of ``sys.modules``: the next test may install others of their names."""
        inside = f"{self.folder}{os.sep}"
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(inside):
                del sys.modules[name]
        importlib.invalidate_caches()


def _as_text(entry_points: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(line for group, points in entry_points.items() for line in _iter_lines(group, points))


def _iter_lines(group: str, points: Mapping[str, str]) -> Iterator[str]:
    yield f"[{group}]"
    for name, value in points.items():
        yield f"{name} = {value}"
