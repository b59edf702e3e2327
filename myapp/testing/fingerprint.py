"""What an app consists of, as plain text: two apps with equal fingerprints serve the same."""

from __future__ import annotations

import functools
import gc
import inspect
import sys
import typing as t
import weakref

import click
import flask.signals
from blinker import Signal

from ..core import data, signals
from ..core.plugins import get_report

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from flask import Flask

    Fingerprint: t.TypeAlias = dict[str, tuple[str, ...]]

#: The settings that say which plugins are loaded: they differ where a plugin is off, and in nothing else.
SWITCHES = frozenset({"MYAPP_PLUGINS", "MYAPP_PLUGINS_DISABLED", "MYAPP_INSTANCE_PATH", "MYAPP_SAFE_MODE"})


def fingerprint(app: Flask) -> Fingerprint:
    """Return everything that a plugin could have added to ``app``, sorted, by what it is.

    Functions are named by module and qualified name, so that two builds of one app are equal. Of the mapped classes,
    which belong to the process, those of the core and of the plugins that are served count.
    """
    # Signals and registries hold theirs weakly: what nobody has any more is there until Python looks for garbage.
    gc.collect()
    packages = {data.CORE, *(data.owner_package(report.module) for report in get_report(app) if report.module)}
    jinja = app.jinja_env
    return {
        "rules": _sorted(map(_rule, app.url_map.iter_rules())),
        "endpoints": _sorted(f"{name}: {_name(view)}" for name, view in app.view_functions.items()),
        "blueprints": _sorted(f"{name}: {blueprint.import_name}" for name, blueprint in app.blueprints.items()),
        "before_request": _scoped(app.before_request_funcs),
        "after_request": _scoped(app.after_request_funcs),
        "teardown_request": _scoped(app.teardown_request_funcs),
        "teardown_appcontext": _sorted(map(_name, app.teardown_appcontext_funcs)),
        "url_value_preprocessors": _scoped(app.url_value_preprocessors),
        "url_defaults": _scoped(app.url_default_functions),
        "url_build_error_handlers": _sorted(map(_name, app.url_build_error_handlers)),
        "context_processors": _scoped(app.template_context_processors),
        "shell_context_processors": _sorted(map(_name, app.shell_context_processors)),
        "error_handlers": _sorted(_handlers(app)),
        "filters": _named(jinja.filters),
        "globals": _named(jinja.globals),
        "tests": _named(jinja.tests),
        "jinja_extensions": _sorted(jinja.extensions),
        "commands": _sorted(_commands("", app.cli.commands)),
        "config": _sorted(map(str, app.config.keys() - SWITCHES)),
        "extensions": _sorted(map(str, app.extensions)),
        "wsgi": (_name(app.wsgi_app),),
        "converters": _named(app.url_map.converters),
        "mappers": _sorted(_mappers(packages)),
        "tables": _sorted(_tables(packages)),
        "migrations": _sorted(f"{name}: {owner.versions}" for name, owner in data.get_schema(app).owners.items()),
        "receivers": _sorted(
            f"{name}: {_name(receiver)}" for name, signal in _signals() for receiver in signal.receivers_for(app)
        ),
    }


def process_fingerprint() -> Fingerprint:
    """Return what plugins could have left in this process, whichever app they were built for."""
    # As in fingerprint().
    gc.collect()
    packages = data.model_packages()
    return {
        "modules": _sorted(name for name in list(sys.modules) if name.startswith("myapp_plugins.")),
        "meta_path": _sorted(map(_name, sys.meta_path)),
        "mappers": _sorted(_mappers(packages)),
        "tables": _sorted(_tables(packages)),
        "receivers": _sorted(
            f"{name}: {_receiver(one)}" for name, signal in _signals() for one in list(signal.receivers.values())
        ),
    }


def differences(one: Fingerprint, other: Fingerprint) -> list[str]:
    """Return a line for each thing that one of two fingerprints has and the other has not."""
    return [
        f"{'-' if entry in one[kind] else '+'} {kind}: {entry}"
        for kind in one
        for entry in sorted({*one[kind]} ^ {*other[kind]})
    ] or [f"! {kind}: the same in another number" for kind in one if one[kind] != other[kind]]


def _sorted(entries: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(entries))


def _name(function: t.Any) -> str:
    """Return where a function comes from; never an address, which is another one in every build."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(kind, '__module__', '')}.{kind.__qualname__}"


def _named(values: Mapping[str, t.Any]) -> tuple[str, ...]:
    return _sorted(f"{name}: {_name(value)}" for name, value in values.items())


def _scoped(functions: Mapping[t.Any, Iterable[t.Any]]) -> tuple[str, ...]:
    return _sorted(f"{scope or 'the app'}: {_name(one)}" for scope, several in functions.items() for one in several)


def _rule(rule: t.Any) -> str:
    methods, defaults = ",".join(sorted(rule.methods or ())), sorted((rule.defaults or {}).items())
    return f"{methods} {rule.host or rule.subdomain or ''}{rule.rule} {rule.endpoint} {defaults}"


def _handlers(app: Flask) -> Iterator[str]:
    for scope, by_code in app.error_handler_spec.items():
        for code, by_class in by_code.items():
            for kind, handler in by_class.items():
                yield f"{scope or 'the app'}: {code or ''} {kind.__qualname__} {_name(handler)}"


def _commands(prefix: str, commands: Mapping[str, click.Command]) -> Iterator[str]:
    for name, command in commands.items():
        path = f"{prefix} {name}".strip()
        yield f"{path}: {_name(command.callback)}"
        if isinstance(command, click.Group):
            yield from _commands(path, command.commands)


def _mappers(packages: Collection[str]) -> Iterator[str]:
    for package, mapper in data.iter_mappers():
        if package in packages:
            # The attributes as well: a backref adds one to a class of somebody else.
            yield f"{package}: {_name(mapper.class_)} {sorted(mapper._props)}"


def _tables(packages: Collection[str]) -> Iterator[str]:
    for package in data.model_packages() & {*packages}:
        yield from (f"{package}: {table}" for table in data.get_metadata(package).tables)


def _signals() -> Iterator[tuple[str, Signal]]:
    for module in (flask.signals, signals):
        yield from ((name, value) for name, value in vars(module).items() if isinstance(value, Signal))


def _receiver(receiver: t.Any) -> str:
    is_weak = isinstance(receiver, weakref.ref)
    return _name(receiver() if is_weak else receiver)
