"""``Model``: what the team's and the plugins' tables are made from."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase

from ..errors import MyappError, ValidationError
from .registry import get_metadata, get_registry, owner_package
from .session import get_db

if t.TYPE_CHECKING:
    from collections.abc import Mapping


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
                    else [item._to_dict(wanted, depth - 1) for item in related]
                )
        return shown

    def to_json(self) -> dict[str, t.Any]:
        """Return :meth:`to_dict`: a view may return the object itself."""
        return self.to_dict()

    def from_dict(self, data: Mapping[str, t.Any]) -> t.Self:
        """Assign what ``__writable__`` allows, all or nothing, and return the object.

        :raises ValidationError: with one entry for each key that is unknown or read-only.
        """
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

        :param defaults: further attributes of a new row; they do not take part in the lookup.
        :raises MyappError: when no unique constraint covers ``lookup``: two rows could come to be.
        """
        cls._check_unique(frozenset(lookup))
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
    def _check_unique(cls, names: frozenset[str]) -> None:
        mapper = sa.inspect(cls)
        columns = {mapper.columns[name].name for name in names if name in mapper.columns}
        table = t.cast("sa.Table", cls.__table__)
        unique = [
            {column.name for column in constraint.columns}
            for constraint in table.constraints
            if isinstance(constraint, sa.UniqueConstraint | sa.PrimaryKeyConstraint)
        ] + [{column.name for column in index.columns} for index in table.indexes if index.unique]
        if not any(key and key <= columns for key in unique):
            raise MyappError(
                f"{cls.__name__}.get_or_create({', '.join(sorted(names))}=…): no unique constraint covers these"
                " columns, so two rows could be created at once. Add one, or look up by a unique column."
            )
