"""``import myapp_plugins.<name>``: plugin folders under one name, everywhere in the process, one module per real path.

Like ``sys.modules`` itself, the finder has the life of the process. It is installed by ``import myapp`` and imports
nothing of Flask.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import typing as t
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

PACKAGE = "myapp_plugins"


class PluginFinder:
    """A finder for ``sys.meta_path``; :func:`install_finder` makes the only one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        #: Real path of each plugin folder that an app uses, by every spelling that sys.path may have for it.
        self._folders: dict[str, Path] = {}
        #: What was claimed, both ways round.
        self._modules: dict[str, Path] = {}
        self._names: dict[Path, str] = {}

    def add_folder(self, folder: Path) -> None:
        """Make the plugins of ``folder`` importable, and refuse to import them under another name."""
        with self._lock:
            for spelling in (folder.absolute(), folder.resolve()):
                self._folders[str(spelling)] = folder.resolve()

    def claim(self, name: str, location: Path) -> str:
        """Return the dotted name under which the plugin at ``location`` is imported; the same one at every call.

        The first plugin of a name is ``myapp_plugins.<name>``. Another one, from another folder, gets a suffix made
        from its path, so that apps with different folders live in one process.

        :param location: the package's folder, or the file of a plugin in one file.
        """
        real = location.resolve()
        with self._lock:
            if real in self._names:
                return self._names[real]
            module = f"{PACKAGE}.{name}"
            if module in self._modules:
                module += "__" + hashlib.sha256(os.fsencode(real)).hexdigest()[:8]
            self._modules[module], self._names[real] = real, module
            return module

    def release(self, module: str) -> None:
        """Forget a plugin that nobody uses: its name is free again."""
        with self._lock:
            if module in self._modules:
                del self._names[self._modules.pop(module)]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where ``fullname`` is to be loaded from, or None when that is not for this finder to say.

        :raises ImportError: for a plugin that is imported as ``plugins.<name>``: it would be loaded twice.
        """
        head, _, tail = fullname.partition(".")
        if head != PACKAGE:
            if path is not None:
                self._refuse_second_name(fullname, path)
            return None
        if not tail:
            # With an origin: Flask(__name__) in a plugin asks where the package around it is.
            package = ModuleSpec(PACKAGE, None, origin=__file__, is_package=True)
            package.submodule_search_locations = []
            return package
        # What lies below a plugin is found by Python itself, through the plugin's __path__.
        location = None if "." in tail else self._locate(tail)
        if location is None:
            return None
        if location.is_dir():
            init = location / "__init__.py"
            return spec_from_file_location(fullname, init, submodule_search_locations=[str(location)])
        return spec_from_file_location(fullname, location)

    def _locate(self, name: str) -> Path | None:
        module = f"{PACKAGE}.{name}"
        if module not in self._modules:
            for folder in (*_default_folders(), *self._folders.values()):
                for location in iter_locations(folder, name):
                    # Claimed under another name, it would be a second module of the same file.
                    if self.claim(name, location) == module:
                        return location.resolve()
        return self._modules.get(module)

    def _refuse_second_name(self, fullname: str, path: Sequence[str]) -> None:
        parent, _, name = fullname.rpartition(".")
        folders = self._folders
        if parent in _default_names():
            folders = {**folders, **{str(folder): folder for folder in _default_folders()}}
        if any(entry in folders for entry in path):
            raise ImportError(
                f"{fullname} is a plugin, and would be loaded a second time under this name. Write"
                f" `import {PACKAGE}.{name}`; inside the plugin itself, import relatively.",
                name=fullname,
            )


def install_finder() -> PluginFinder:
    """Put the finder on ``sys.meta_path``, once, and return it."""
    for finder in sys.meta_path:
        if isinstance(finder, PluginFinder):
            return finder
    finder = PluginFinder()
    # First, because ``plugins.<name>`` has to be refused before Python finds it.
    sys.meta_path.insert(0, finder)
    return finder


def iter_locations(folder: Path, name: str) -> Iterator[Path]:
    """Yield what ``folder`` has for the plugin ``name``: a package, a file; never what lies outside of the folder."""
    for spelling in dict.fromkeys((name, name.replace("_", "-"))):
        for location in (folder / spelling, folder / f"{spelling}.py"):
            is_plugin = (location / "__init__.py").is_file() if location.is_dir() else location.is_file()
            if is_plugin and is_inside(location, folder):
                yield location


def is_inside(location: Path, folder: Path) -> bool:
    """Whether the real path of ``location``, links followed, lies in ``folder``."""
    return location.resolve().is_relative_to(folder.resolve())


def _default_names() -> tuple[str, ...]:
    return tuple(Path(name).name for name in _configured())


def _configured() -> list[str]:
    names = os.environ.get("MYAPP_PLUGIN_DIRS", "plugins").split(",")
    return [name.strip() for name in names if name.strip()]


def _default_folders() -> list[Path]:
    # Imported here, because the settings cost more than all of `import myapp`, and only an import of a plugin needs
    # them.
    root: Path = import_module("..config", __package__).find_root()
    return [root / name for name in _configured()]
