"""What a plugin is told about itself."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from types import MappingProxyType

import pydantic

from ..config import did_you_mean

if t.TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flask import Flask

TYPES: Mapping[str, t.Any] = MappingProxyType({"str": str, "int": int, "float": float, "bool": bool, "list": list[str]})


@dataclass(frozen=True)
class PluginContext:
    """The argument ``plugin`` of every hook.

    :param name: the plugin's name, as in ``flask plugins list``.
    :param version: from its manifest, or its distribution; ``0`` when neither says one.
    :param mount: the path that the core puts before its URLs, ``/shop``; empty for the root.
    :param config: its settings ``MYAPP_PLUGIN_<NAME>__<KEY>`` by key in lower case, defaults filled in; read-only.
    :param module: the dotted name that its module was imported under; an object's own module.
    :param root_path: the folder of its files; None for an object that was passed to ``create_app``.
    """

    name: str
    version: str
    mount: str
    config: Mapping[str, t.Any]
    module: str
    root_path: Path | None


def read_settings(app: Flask, name: str, declared: Mapping[str, t.Any]) -> Mapping[str, t.Any]:
    """Return the settings of the plugin ``name``, checked against what its manifest declares.

    :param declared: the manifest's ``config``; a plugin that declares nothing gets what is set, unchecked.
    :raises ValueError: with one sentence for each setting that cannot be used, never with a value.
    """
    prefix = f"MYAPP_PLUGIN_{name.upper()}__"
    given = {
        key.removeprefix(prefix).lower(): value for key, value in app.config.items() if str(key).startswith(prefix)
    }
    if not declared:
        return MappingProxyType(given)
    problems = [
        f"{prefix}{key.upper()} is not a setting of {name}.{did_you_mean(key, list(declared))}"
        for key in sorted(given.keys() - declared.keys())
    ]
    fields: dict[str, t.Any] = {
        key: (
            TYPES[rule.get("type", "str")],
            pydantic.Field(
                ... if rule.get("required") else rule.get("default"), ge=rule.get("min"), le=rule.get("max")
            ),
        )
        for key, rule in declared.items()
    }
    model = pydantic.create_model("Settings", **fields)
    settings: Mapping[str, t.Any] = {}
    try:
        settings = model.model_validate({key: given[key] for key in given.keys() & declared.keys()}).model_dump()
    except pydantic.ValidationError as error:
        for entry in error.errors(include_input=False, include_url=False, include_context=False):
            problems.append(f"{prefix}{str(entry['loc'][0]).upper()}: {entry['msg']}.")
    if problems:
        raise ValueError(" ".join(problems))
    return MappingProxyType(settings)
