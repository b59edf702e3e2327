"""What a plugin is told about itself."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class PluginContext:
    """The argument ``plugin`` of every hook.

    :param name: the plugin's name, as in ``flask plugins list``.
    :param version: from its manifest, or its distribution; ``0`` when neither says one.
    :param mount: the path that the core puts before its URLs, ``/shop``; empty for the root.
    :param config: its settings ``MYAPP_PLUGIN_<NAME>__<KEY>`` by key in lower case, defaults filled in; read-only. Its
        ``repr`` hides those that the manifest calls secret.
    :param module: the dotted name that its module was imported under; an object's own module.
    :param root_path: the folder of its files; None for an object that was passed to ``create_app``.
    """

    name: str
    version: str
    mount: str
    config: Mapping[str, t.Any]
    module: str
    root_path: Path | None
