"""Whose fault it is, and in which words."""

from __future__ import annotations

import logging
import re
import typing as t
from contextlib import contextmanager

from .. import data
from ..discovery import APPLICATION, Owner, describe, format_traceback, get_ownership
from ..errors import PluginError, is_own_failure, well_formed
from .settings import redact

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask import Flask

    from .context import PluginContext

logger = logging.getLogger("myapp.plugins")

#: What Flask says of a name that is there already.
ENDPOINT = re.compile(r"overwriting an existing endpoint function: (?P<name>\S+)")
BLUEPRINT = re.compile(r"The name '(?P<name>[^']+)' is already registered")


@contextmanager
def attributed(plugin: PluginContext, code: str, home: str | None = None, app: Flask | None = None) -> Iterator[None]:
    """Turn whatever is raised, ``sys.exit()`` included, into the error of ``plugin``; its secrets stay out of it.

    :param home: the file of the plugin, when it has been imported.
    :param app: where it registers; a name that is taken there is said to be so.
    """
    try:
        yield
    except PluginError:
        raise
    except BaseException as error:
        if not is_own_failure(error):
            raise
        text = well_formed(redact(plugin.config, format_traceback(error)))
        taken, owners = find_taken(app, plugin.name, error) if app is not None else ("", "")
        summary = redact(plugin.config, describe(error, home)) + owners
        raise PluginError(plugin.name, taken or code, summary, traceback=text) from error


def find_taken(app: Flask, name: str, error: BaseException) -> tuple[str, str]:
    """Return the code and a sentence with both owners, when the plugin ``name`` failed over what another one has."""
    ownership, later = get_ownership(app), Owner("plugin", name)
    for code, pattern, what, owners in (
        ("endpoint-taken", ENDPOINT, "endpoint", {"static": APPLICATION, **ownership.endpoints}),
        ("blueprint-taken", BLUEPRINT, "blueprint", ownership.blueprints),
    ):
        match = pattern.search(describe(error)) if isinstance(error, AssertionError | ValueError) else None
        first = owners.get(match["name"], later) if match else later
        if match and first != later:
            return code, f" The {what} {match['name']} is that of {first} and of {later}; {first} keeps it."
    return "", ""


def configure_models(plugin: PluginContext, others: Iterable[PluginContext], home: str | None) -> None:
    """Resolve the relationships of a plugin's models.

    :param others: who else may be at fault: a model may be related to one of another plugin.
    :raises PluginError: of the plugin whose model cannot be configured.
    """
    package = data.owner_package(plugin.module)
    try:
        data.configure_models(package)
    except Exception as error:
        broken = data.find_broken()
        culprit = plugin
        if package not in broken:
            culprit = next((other for other in others if data.owner_package(other.module) in broken), plugin)
        if culprit is plugin and broken == {data.CORE}:
            # Every plugin that is related to the team's model would be blamed for it.
            logger.error("A model of the application cannot be configured: %s", describe(error))
            return
        with attributed(culprit, "mapper-failed", home if culprit is plugin else None):
            raise
