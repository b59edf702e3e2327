"""The JSON providers: Flask's with ``to_json``, and the strict one on orjson that ``create_app`` attaches."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import typing as t
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal

import orjson
from flask.json.provider import DefaultJSONProvider, JSONProvider

from .results import plain_data, raise_for_class

if t.TYPE_CHECKING:
    from flask import Flask, Response

#: A run of digits that may not fit 64 bits; orjson would read it as a float and lose the last digits.
LONG_NUMBER = re.compile(r"\d{19}")
# Dataclasses pass through to `_default`, because orjson would show every field of one that has a to_json.
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class ToJSONProvider(DefaultJSONProvider):
    """Flask's provider, which also calls ``to_json`` of objects inside lists and dicts."""

    @staticmethod
    def default(o: t.Any) -> t.Any:
        """Return plain data for ``o``: its ``to_json()``, else what Flask's provider gives.

        :raises TypeError: when there is no way to encode it.
        """
        if isinstance(o, type):
            raise_for_class(o)
        elif hasattr(o, "to_json"):
            return plain_data(o)
        return _flask_default(o)


_flask_default = DefaultJSONProvider.default


class StrictJSONProvider(JSONProvider):
    """JSON that every client can read (:rfc:`8259`), encoded by orjson.

    NaN and Infinity become null, datetimes :rfc:`3339` in UTC (a naive one is taken as UTC), Decimal and UUID
    strings, sets sorted lists. Integers of any size are kept exactly, in both directions.
    """

    mimetype = "application/json"

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        """Return ``obj`` as text.

        :param kwargs: ``indent`` and ``sort_keys`` as in :func:`json.dumps`; ``separators`` other than the compact
            ones and further options are served by the standard library, with the same strictness.
        :raises TypeError: for an object that has no JSON form.
        """
        if kwargs:
            separators = kwargs.pop("separators", None)
            if kwargs.keys() - {"indent", "sort_keys"} or separators not in (None, (",", ":")):
                return json.dumps(to_plain(obj), separators=separators, **kwargs)
            if kwargs.get("indent") is not None:
                return json.dumps(to_plain(obj), **kwargs)
            if kwargs.get("sort_keys"):
                return _encode(obj, orjson.OPT_SORT_KEYS).decode()
        return _encode(obj).decode()

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        """Return the value that ``s`` (UTF-8) encodes.

        :param kwargs: options of :func:`json.loads`, which then does the work.
        :raises ValueError: for everything that is not JSON, NaN and Infinity included.
        """
        if not kwargs:
            if not LONG_NUMBER.search(s if isinstance(s, str) else s.decode()):
                return orjson.loads(s)
            kwargs["parse_constant"] = _refuse_constant
        try:
            return json.loads(s, **kwargs)
        except RecursionError:
            raise ValueError("The JSON is nested too deeply.") from None

    def response(self, *args: t.Any, **kwargs: t.Any) -> Response:
        """Return an ``application/json`` response with what :func:`flask.jsonify` takes."""
        obj = args[0] if len(args) == 1 and not kwargs else self._prepare_response_obj(args, kwargs)
        # A finished content type: a mimetype would be parsed and printed again for every answer.
        response: Response = t.cast("Flask", self._app).response_class(_encode(obj), content_type=self.mimetype)
        response.headers.add("X-Content-Type-Options", "nosniff")
        return response


def _encode(obj: t.Any, option: int = 0) -> bytes:
    try:
        return orjson.dumps(obj, _default, _OPTIONS | option)
    except TypeError as error:
        # An error of an object's own to_json arrives as the cause; it is the one to show.
        if isinstance(error.__cause__, Exception):
            raise error.__cause__ from None
        if "64-bit" not in str(error):
            raise
        return json.dumps(to_plain(obj), ensure_ascii=False, separators=(",", ":"), sort_keys=bool(option)).encode()


def _default(value: t.Any) -> t.Any:
    """Encode what orjson does not: the forms that the class docstring of the provider promises."""
    # First, and by the class: this is what long lists are made of. Objects that answer to every name have no to_json.
    if hasattr(type(value), "to_json"):
        return plain_data(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, set | frozenset):
        return _sorted(value)
    if isinstance(value, type):
        raise_for_class(value)
    elif hasattr(value, "to_json"):
        return plain_data(value)
    elif isinstance(value, Mapping):
        return dict(value)
    elif dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, tuple):
        # A named one: orjson leaves subclasses of tuple to this function.
        return list(value)
    if hasattr(value, "__html__"):
        return str(value.__html__())
    raise TypeError(
        f"An object of type {type(value).__qualname__} has no JSON form. Give it a to_json() method that returns"
        " plain data."
    )


def rfc3339(value: datetime) -> str:
    """Return ``value`` in UTC with a ``Z`` (:rfc:`3339`); a naive one is taken as UTC."""
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return aware.isoformat().removesuffix("+00:00") + "Z"


def _sorted(values: t.Iterable[t.Any]) -> list[t.Any]:
    try:
        return sorted(values)
    except TypeError:
        # Of mixed types, which have no order of their own: an order that is the same in every process.
        return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def to_plain(value: t.Any) -> t.Any:
    """Return ``value`` as plain data for the standard library's encoder, with the strict provider's rules."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, uuid.UUID):
        return str(value)
    return to_plain(_default(value))


def _key(key: t.Any) -> str:
    if isinstance(key, str):
        return key
    text = to_plain(key)
    return text if isinstance(text, str) else json.dumps(text)


def _refuse_constant(name: str) -> t.NoReturn:
    raise ValueError(f"{name} is not JSON.")
