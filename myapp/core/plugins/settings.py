"""What a plugin declares of its settings, and what the operator has set of them."""

from __future__ import annotations

import functools
import json
import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, quote_plus

import pydantic

from ..config import MailAddress, Names, did_you_mean, looks_secret
from ..errors import well_formed

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN = "***"
TYPES: Mapping[str, t.Any] = MappingProxyType(
    {
        "str": str,
        "int": int,
        "float": t.Annotated[float, pydantic.Field(allow_inf_nan=False)],
        "bool": bool,
        "list": Names,
        "email": MailAddress,
    }
)
NUMBERS = ("int", "float")
KEY = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

#: What a rule may say, and the types of what it says.
MEMBERS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "type": (str,),
        "default": (object,),
        "required": (bool,),
        "secret": (bool,),
        "min": (int, float),
        "max": (int, float),
        "choices": (list, tuple),
        "help": (str,),
    }
)
_DEFAULTS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "list": (list, tuple), "email": (str,)}
)


class PluginSettings(Mapping[str, t.Any]):
    """The settings of one plugin by key in lower case, read-only; its ``repr`` hides those that are secret."""

    def __init__(self, values: Mapping[str, t.Any], secret: Iterable[str] = ()) -> None:
        self._values = dict(values)
        self._secret = frozenset(secret)

    def __getitem__(self, key: str) -> t.Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {key: HIDDEN if key in self._secret else value for key, value in self._values.items()}
        return f"{type(self).__name__}({shown!r})"

    def redact(self, text: str) -> str:
        """Return ``text`` without the values that are secret: an error of the plugin may quote one."""
        secret = [value for key in self._secret if (value := self._values.get(key)) is not None]
        values = {str(one) for value in secret for one in (*(value if isinstance(value, list | tuple) else ()), value)}
        # What is very short is no secret, and in every text.
        spellings = {
            spelling for value in values for spelling in _iter_spellings(value) if min(len(value), len(spelling)) >= 4
        }
        # The longest first: one may be a part of another.
        for spelling in sorted(spellings, key=len, reverse=True):
            text = text.replace(spelling, HIDDEN)
        return text


def _iter_spellings(value: str) -> Iterator[str]:
    """Yield ``value`` as an error may quote it: as it is, in one line, by Python, in a URL, in JSON."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    # What is said of an error is well-formed, and its summary is one line.
    plain = well_formed(value)
    yield plain
    yield " ".join(plain.split())
    yield json.dumps(plain, ensure_ascii=False)[1:-1]
    yield quote(plain)
    yield quote(plain, safe="")
    yield quote_plus(plain)


def redact(settings: Mapping[str, t.Any] | None, text: str) -> str:
    """Return ``text`` without what is secret in ``settings``, those of a plugin."""
    return settings.redact(text) if isinstance(settings, PluginSettings) else text


@dataclass(frozen=True)
class Setting:
    """One setting that a plugin declares, for ``flask config`` and ``flask plugins config``.

    :param key: as it is set, ``MYAPP_PLUGIN_SHOP__PAGE_SIZE``.
    :param default: what counts when nothing is set; None when nothing does.
    """

    key: str
    plugin: str
    name: str
    type: str = "str"
    default: t.Any = None
    is_required: bool = False
    is_secret: bool = False
    help: str = ""


def prefix_of(name: str) -> str:
    """Return what the keys of the plugin ``name`` begin with."""
    return f"MYAPP_PLUGIN_{name.upper()}__"


def iter_settings(name: str, declared: Mapping[str, Mapping[str, t.Any]]) -> Iterator[Setting]:
    """Yield the settings that the plugin ``name`` declares, in its own order."""
    for key, rule in declared.items():
        yield Setting(
            prefix_of(name) + key.upper(),
            name,
            key,
            rule.get("type", "str"),
            rule.get("default"),
            rule.get("required", False),
            rule.get("secret", False),
            rule.get("help", ""),
        )


def read_settings(
    config: Mapping[str, t.Any],
    name: str,
    declared: Mapping[str, Mapping[str, t.Any]],
    sources: Mapping[str, str] = MappingProxyType({}),
) -> PluginSettings:
    """Return the settings of the plugin ``name``, checked against what its manifest declares.

    :param config: every key that is set, ``app.config``.
    :param declared: the manifest's ``config``; a plugin that declares nothing gets what is set, unchecked.
    :param sources: the layer that each key came from, as far as it is known.
    :raises ValueError: with one sentence for each setting that cannot be used, never with a value.
    """
    prefix = prefix_of(name)
    given = {str(key)[len(prefix) :].lower(): config[key] for key in config if str(key).startswith(prefix)}
    # MYAPP_PLUGIN_A__B__C is `c` of the plugin `a__b`, and nothing of the plugin `a`.
    given = {key: value for key, value in given.items() if KEY.fullmatch(key)}
    if not declared:
        return PluginSettings(given, filter(looks_secret, given))
    problems = [
        f"{_with_source(prefix + key.upper(), sources)} is not a setting of {name}.{did_you_mean(key, list(declared))}"
        for key in sorted(given.keys() - declared.keys())
    ]
    values: dict[str, t.Any] = {}
    for key, rule in declared.items():
        if key in given:
            try:
                values[key] = check_value(given[key], rule)
            except ValueError as error:
                problems.append(f"{_with_source(prefix + key.upper(), sources)}: {error}.")
        elif rule.get("required"):
            problems.append(f"{prefix}{key.upper()}: it is required and not set.")
        else:
            values[key] = _default_of(rule)
    if problems:
        raise ValueError(" ".join(problems))
    return PluginSettings(values, (key for key, rule in declared.items() if rule.get("secret")))


def _with_source(key: str, sources: Mapping[str, str]) -> str:
    return f"{key} (from {sources[key]})" if key in sources else key


def _default_of(rule: Mapping[str, t.Any]) -> t.Any:
    default, kind = rule.get("default"), rule.get("type", "str")
    if default is None:
        return None
    return tuple(default) if kind == "list" else float(default) if kind == "float" else default


def check_value(value: t.Any, rule: Mapping[str, t.Any]) -> t.Any:
    """Return ``value``, which may be the text of an environment variable, in the type of ``rule``.

    :raises ValueError: with what was expected, as the rest of a sentence, and never with the value.
    """
    kind = rule.get("type", "str")
    try:
        value = _adapter(kind).validate_python(value)
    except pydantic.ValidationError as error:
        message: str = error.errors(include_input=False, include_url=False, include_context=False)[0]["msg"]
        message = message.removeprefix("Value error, ")
        raise ValueError(message[:1].lower() + message[1:].rstrip(".")) from None
    low, high, choices = rule.get("min"), rule.get("max"), rule.get("choices")
    if low is not None and value < low:
        raise ValueError(f"it is to be {low} or more")
    if high is not None and value > high:
        raise ValueError(f"it is to be {high} or less")
    for one in value if kind == "list" else (value,):
        if choices is not None and one not in choices:
            raise ValueError(f"it is to be one of {', '.join(map(str, choices))}")
    if rule.get("required") and value in ("", ()):
        raise ValueError("it is required and empty")
    return value


def check_rules(rules: Mapping[t.Any, t.Any]) -> Iterator[tuple[t.Any, str]]:
    """Yield what is wrong with the ``config`` of a manifest: the setting and a sentence, all of them."""
    for key, rule in rules.items():
        if not isinstance(key, str) or not KEY.fullmatch(key):
            yield key, "a setting is called like page_size, in lower case."
        elif key.endswith("_file"):
            yield key, f"rename it: what ends in _file names a file with the value of {key.removesuffix('_file')}."
        if not isinstance(rule, dict):
            yield key, f"its rule is a {type(rule).__name__}, not a dict."
            continue
        wrong = list(_check_members(rule)) or list(_check_sense(rule))
        yield from ((key, sentence) for sentence in wrong)


def _check_members(rule: dict[t.Any, t.Any]) -> Iterator[str]:
    for member, value in rule.items():
        if member not in MEMBERS:
            yield f"{member!r} is not a member of a rule.{did_you_mean(str(member), list(MEMBERS))}"
        elif not _is_a(value, MEMBERS[member]):
            yield f"its {member} is a {type(value).__name__}."
    if isinstance(rule.get("type", ""), str) and rule.get("type", "str") not in TYPES:
        yield f"its type {rule['type']!r} is not one of {', '.join(TYPES)}."


def _check_sense(rule: dict[str, t.Any]) -> Iterator[str]:
    """Yield what members that are right by themselves say against each other."""
    kind = rule.get("type", "str")
    low, high, choices, default = (rule.get(member) for member in ("min", "max", "choices", "default"))
    if kind not in NUMBERS and (low is not None or high is not None):
        yield f"min and max are for {' and '.join(NUMBERS)}."
        return
    if low is not None and high is not None and low > high:
        yield f"its min {low} is more than its max {high}."
    plain = "str" if kind == "list" else kind
    if choices is not None and (not choices or not all(_is_a(choice, _DEFAULTS[plain]) for choice in choices)):
        yield f"its choices are no list of values of the type {plain}."
        return
    if default is None:
        return
    if rule.get("required"):
        yield "it is required and has a default; take one of the two away."
    elif not _is_a(default, _DEFAULTS[kind]) or (kind == "list" and not all(isinstance(one, str) for one in default)):
        yield f"its default is not of the type {kind}."
    else:
        try:
            check_value(default, rule)
        except ValueError as error:
            yield f"its default does not pass: {error}."


def _is_a(value: t.Any, kinds: tuple[type, ...]) -> bool:
    """Whether ``value`` is one of ``kinds``; True is no number."""
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds or object in kinds)


@functools.cache
def _adapter(kind: str) -> pydantic.TypeAdapter[t.Any]:
    return pydantic.TypeAdapter(TYPES[kind])
