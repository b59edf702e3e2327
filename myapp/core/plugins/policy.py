"""What the operator wants, put together from the settings and from ``plugins.json``."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ..config import did_you_mean, get_config, own_version
from ..discovery import get_report as get_module_report
from ..errors import ConfigurationError
from .manifest import problem
from .plan import RESERVED, Policy
from .report import get_state
from .settings import prefix_of

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from flask import Flask

    from ..config import Loaded
    from .attempts import Failure
    from .state import StateFile


def operators_policy(loaded: Loaded, kept: StateFile) -> Policy:
    """Return the policy of the settings and of ``plugins.json``, which may be unreadable: then it says nothing."""
    settings = loaded.settings
    critical = {name: one.origin for name, one in kept.plugins.items() if one.is_critical}
    folders = {str(folder) for folder in loaded.plugin_dirs}
    # Who looks into other folders now does not miss what was in those of before.
    gone = {name: origin for name, origin in critical.items() if not Path(origin).is_absolute() or origin in folders}
    required = frozenset(settings.required_plugins)
    return Policy(
        is_safe=settings.safe_mode,
        allowed=None if settings.plugins is None else frozenset(settings.plugins),
        disabled=frozenset(settings.plugins_disabled),
        decisions={name: one.decision for name, one in kept.plugins.items() if one.decision is not None},
        required=required,
        remembered=frozenset(critical),
        expected=gone | dict.fromkeys(sorted(required), "MYAPP_REQUIRED_PLUGINS"),
        sequence=settings.plugin_order,
        reserved=RESERVED,
        app_version=own_version(),
    )


def make_policy(
    loaded: Loaded, kept: StateFile, failures: Mapping[str, Failure], reserved: Iterable[str], *, is_discovered: bool
) -> Policy:
    """Return the policy of one attempt to build an app.

    :param failures: the plugins that have failed in earlier attempts.
    :param reserved: names that the blueprint modules use.
    :param is_discovered: whether the plugins were looked for. What the code asks for by name is not up to the
        operator's lists; in safe mode it is not built either.
    """
    policy = operators_policy(loaded, kept)
    return Policy(
        is_safe=policy.is_safe,
        allowed=policy.allowed if is_discovered else None,
        disabled=policy.disabled if is_discovered else frozenset(),
        decisions=policy.decisions if is_discovered else {},
        required=policy.required,
        remembered=policy.remembered,
        expected=policy.expected if is_discovered else {},
        is_discovered=is_discovered,
        sequence=policy.sequence,
        reserved=policy.reserved | {*reserved, "static"},
        quarantined={name: problem(failure.code, failure.summary) for name, failure in failures.items()},
        app_version=policy.app_version,
    )


def refuse_contradictions(loaded: Loaded, kept: StateFile) -> None:
    """Refuse settings that require a plugin and turn it off.

    :raises ConfigurationError: with all of them.
    """
    policy = operators_policy(loaded, kept)
    problems = []
    for name in sorted(policy.required):
        if name in policy.disabled:
            problems.append(f"MYAPP_REQUIRED_PLUGINS names {name}, and MYAPP_PLUGINS_DISABLED does too.")
        elif policy.allowed is not None and name not in policy.allowed:
            problems.append(f"MYAPP_REQUIRED_PLUGINS names {name}, and MYAPP_PLUGINS does not.")
        elif policy.allowed is None and policy.decisions.get(name) == "disabled":
            problems.append(
                f"MYAPP_REQUIRED_PLUGINS names {name}, and {kept.path} disables it."
                f" Take one of the two back: python -m myapp plugins enable {name}"
            )
    if problems:
        raise ConfigurationError(problems)


def iter_unknown_names(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield each setting that names a plugin, or a blueprint module, that there is not, with a sentence about it."""
    state, loaded = get_state(app), get_config(app)
    if not state.is_discovered:
        return
    settings = loaded.settings
    known = [report.name for report in state.reports]
    for key, names in (
        ("MYAPP_PLUGINS", settings.plugins or ()),
        ("MYAPP_PLUGINS_DISABLED", settings.plugins_disabled),
        ("MYAPP_PLUGIN_ORDER", settings.plugin_order),
    ):
        for name in names:
            if name not in known:
                yield key, f"{key} names {name}, which is no plugin.{did_you_mean(name, known)}"
    served = [*known, *(report.name for report in get_module_report(app))]
    for name in settings.blueprint_prefixes.keys() - {*served}:
        key = "MYAPP_BLUEPRINT_PREFIXES"
        yield key, f"{key} names {name}, which is no blueprint module and no plugin.{did_you_mean(name, served)}"
    prefixes = tuple(prefix_of(name) for name in known)
    for key in sorted(loaded.others):
        if key.startswith("MYAPP_PLUGIN_") and "__" in key and not key.startswith(prefixes):
            name = key.removeprefix("MYAPP_PLUGIN_").partition("__")[0].lower()
            yield key, f"{key} is a setting of {name}, which is no plugin.{did_you_mean(name, known)}"


def iter_misspelt(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield each key that is no setting, and has one ``_`` after the name of a plugin, with the key that was meant."""
    # The longest first: MYAPP_PLUGIN_SHOP_EU_SIZE is of shop_eu, where there is one, and else of shop.
    prefixes = sorted((prefix_of(report.name) for report in get_state(app).reports), key=len, reverse=True)
    for key in sorted(get_config(app).unknown):
        prefix = next((one for one in prefixes if key.startswith(one[:-1])), "")
        if prefix:
            yield key, prefix + key[len(prefix) - 1 :]
