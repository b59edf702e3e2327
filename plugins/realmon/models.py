"""Buildings, their meters, the meters' readings."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from myapp import Model

from .decimals import TEXT_LENGTH, plain

NAME_LENGTH = 100
#: The units of energy that meters count in, as powers of ten of a kWh.
UNITS = {"Wh": -3, "kWh": 0, "MWh": 3}


class ExactDecimal(sa.TypeDecorator[Decimal]):
    """A decimal number stored as its text.

    SQLite would make a float of a NUMERIC column, and an integer of 64 bits cannot hold the 18 decimals that real
    files have (0.028999999999999998). Text is exact in every database; the price is that sums are made in Python.
    """

    impl = sa.String(TEXT_LENGTH)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> str | None:
        """Return the text of ``value``."""
        return None if value is None else plain(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Decimal | None:
        """Return the number of a text."""
        return None if value is None else Decimal(value)


class Building(Model):
    """Where meters are; its zone says when a month begins."""

    __tablename__ = "realmon_buildings"
    __public__ = ("name", "timezone")

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(NAME_LENGTH), unique=True)
    timezone: Mapped[str] = mapped_column(sa.String(64))
    #: The mail address of whoever is told about it; nobody is without one.
    owner: Mapped[str | None] = mapped_column(sa.String(254))

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of its clocks."""
        return ZoneInfo(self.timezone)


class Meter(Model):
    """What counts; its name is unique in the installation, so that a report needs no other."""

    __tablename__ = "realmon_meters"
    __public__ = ("name", "unit", "interval_seconds", "building")

    id: Mapped[int] = mapped_column(primary_key=True)
    building_id: Mapped[int] = mapped_column(sa.ForeignKey(Building.id, ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(sa.String(NAME_LENGTH), unique=True)
    unit: Mapped[str] = mapped_column(sa.String(10))
    #: None until two readings tell how far apart they are.
    interval_seconds: Mapped[int | None]
    #: The last reading before the outage that the owner was told of.
    silent_since: Mapped[int | None] = mapped_column(sa.BigInteger)

    building: Mapped[Building] = relationship(lazy="joined", innerjoin=True)


class Reading(Model):
    """What a meter counted in one interval."""

    __tablename__ = "realmon_readings"
    # One tree ordered by meter and time: an import appends to it, and a report reads a piece of it in order.
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    meter_id: Mapped[int] = mapped_column(sa.ForeignKey(Meter.id, ondelete="CASCADE"), primary_key=True)
    #: The beginning of the interval, in seconds since 1970 (UTC).
    start: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    value: Mapped[Decimal] = mapped_column(ExactDecimal)
