"""``Model``: what the team's and the plugins' tables are made from."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase

from ..errors import MyappError, ValidationError
from .registry import get_metadata, get_registry, owner_package
from .session import get_db


class Model(DeclarativeBase):
    """The declarative base; each plugin's models have a registry and a MetaData of their own.

    ``__public__`` names the columns, properties and relationships that may be shown; ``__writable__`` those that a
    client may set. Both are empty by default: nothing leaves and nothing is assigned unless it was listed.
    """

    __abstract__ = True
    __public__: t.ClassVar[tuple[str, ...]] = ()
    __writable__: t.ClassVar[tuple[str, ...]] = ()

    metadata = get_metadata()

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        owner = get_registry(owner_package(cls.__module__))
        # Not `registry`: SQLAlchemy warns when a subclass of a base sets that one.
        cls._sa_registry = owner
        cls.metadata = owner.metadata
        super().__init_subclass__(**kwargs)

    def to_dict(self, *relationships: str, depth: int = 1) -> dict[str, t.Any]:
        """Return the attributes that ``__public__`` lists, in its order; nothing else, ever.

        :param relationships: those of the listed relationships that are to be followed; the others are left out.
        :param depth: how many levels of relationships; the related objects follow the same names.
        :raises ValueError: for a relationship that ``__public__`` does not list.
        """
        known = sa.inspect(type(self)).relationships
        unknown = [name for name in relationships if name not in self.__public__ or name not in known]
        if unknown:
            raise ValueError(
                f"{type(self).__name__} shows no relationship {', '.join(unknown)}. List it in __public__ first."
            )
        return self._to_dict(frozenset(relationships), depth)

    def _to_dict(self, wanted: frozenset[str], depth: int) -> dict[str, t.Any]:
        known = sa.inspect(type(self)).relationships
        shown: dict[str, t.Any] = {}
        for name in self.__public__:
            if name not in known:
                shown[name] = getattr(self, name)
            elif name in wanted and depth > 0:
                related = getattr(self, name)
                shown[name] = (
                    related._to_dict(wanted, depth - 1)
                    if isinstance(related, Model)
                    else None
                    if related is None
                    else [item._to_dict(wanted, depth - 1) for item in _items(related)]
                )
        return shown

    def to_json(self) -> dict[str, t.Any]:
        """Return :meth:`to_dict`: a view may return the object itself."""
        return self.to_dict()

    def from_dict(self, data: Mapping[str, t.Any]) -> t.Self:
        """Assign what ``__writable__`` allows, and return the object; nothing when a key is not allowed.

        :param data: what a client sent; whatever it is.
        :raises ValidationError: with one entry for each key that is unknown or read-only, or when it is no object.
        """
        if not isinstance(data, Mapping):
            raise ValidationError(errors=[{"pointer": "", "code": "object", "detail": "This must be an object."}])
        errors = [
            {
                "pointer": "/" + str(key).replace("~", "~0").replace("/", "~1"),
                "code": "read_only" if key in self.__public__ else "unknown",
                "detail": "This field cannot be set." if key in self.__public__ else "There is no such field.",
            }
            for key in data
            if key not in self.__writable__
        ]
        if errors:
            raise ValidationError(errors=errors)
        for key, value in data.items():
            setattr(self, key, value)
        return self

    @classmethod
    def get_or_create(cls, defaults: Mapping[str, t.Any] | None = None, **lookup: t.Any) -> tuple[t.Self, bool]:
        """Return the row that ``lookup`` names and whether it was created, exactly once among all who ask.

        The caller's transaction is neither committed nor rolled back: a lost race undoes a SAVEPOINT only.

        Call it in a task that writes (a POST, a command, ``with app.task():``): on SQLite a GET that finds itself
        behind another writer is a 503.

        :param defaults: further attributes of a new row; they do not take part in the lookup.
        :raises MyappError: when no unique constraint covers ``lookup``: two rows could come to be.
        """
        cls._check_unique(lookup)
        db = get_db()
        # What the caller has pending fails here, under its own name, and not inside the savepoint.
        db.flush()
        query = sa.select(cls).filter_by(**lookup)
        found = db.scalars(query).one_or_none()
        if found is not None:
            return found, False
        created = cls(**{**(defaults or {}), **lookup})
        try:
            with db.begin_nested():
                db.add(created)
        except IntegrityError:
            found = db.scalars(query).one_or_none()
            if found is None:
                # Not the race: another constraint of the new row.
                raise
            return found, False
        return created, True

    @classmethod
    def _check_unique(cls, lookup: Mapping[str, t.Any]) -> None:
        """Refuse a lookup that could name two rows.

        :raises MyappError: then.
        """
        mapper = sa.inspect(cls)
        names: set[str] = set()
        for name, value in lookup.items():
            if value is None:
                # NULLs are different from each other in a unique constraint.
                continue
            if name in mapper.relationships:
                names |= {column.name for column in mapper.relationships[name].local_columns}
            elif name in mapper.columns:
                names.add(mapper.columns[name].name)
        unique = [key for table in mapper.tables for key in _iter_unique(t.cast("sa.Table", table))]
        if not any(key and key <= names for key in unique):
            raise MyappError(
                f"{cls.__name__}.get_or_create({', '.join(sorted(lookup))}=…): no unique constraint covers these"
                " columns, so two rows could be created at once. Add one, or look up by a unique column that is set."
            )


def _items(related: t.Any) -> t.Iterable[t.Any]:
    return t.cast("t.Iterable[t.Any]", related.values() if isinstance(related, Mapping) else related)


def _iter_unique(table: sa.Table) -> t.Iterator[set[str]]:
    """Yield the columns of each constraint of ``table`` that holds for all rows and as they are."""
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint | sa.PrimaryKeyConstraint):
            yield {column.name for column in constraint.columns}
    for index in table.indexes:
        is_partial = any(options.get("where") is not None for options in index.dialect_options.values())
        is_plain = all(isinstance(expression, sa.Column) for expression in index.expressions)
        if index.unique and is_plain and not is_partial:
            yield {column.name for column in index.columns}
