"""The page ``/realmon/``: a chart and a table of months for each meter."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from flask import Blueprint, render_template, request

from myapp import get_db

from .chart import draw
from .models import Building, Meter
from .reports import Month, monthly

blueprint = Blueprint("realmon", __name__, template_folder="templates", static_folder="static")
#: Each chart and table is made from all readings of its meter, so a page has few of them.
METERS_PER_PAGE = 5


@blueprint.get("/")
def index() -> str:
    """Show the months of the meters, a few meters on each page."""
    db = get_db()
    count = db.scalar(sa.select(sa.func.count()).select_from(Meter)) or 0
    pages = max(1, -(-count // METERS_PER_PAGE))
    page = min(max(1, request.args.get("page", 1, type=int)), pages)
    query = sa.select(Meter).join(Meter.building).order_by(Building.name, Meter.name)
    meters = db.scalars(query.limit(METERS_PER_PAGE).offset((page - 1) * METERS_PER_PAGE)).all()
    shown = [(meter, monthly(meter)) for meter in meters]
    tables = [(meter, draw(months), _rows(months)) for meter, months in shown]
    return render_template("realmon/index.html", tables=tables, page=page, pages=pages)


def _rows(months: list[Month]) -> list[tuple[Month, str]]:
    """Return each month with its kWh, as many decimals as the others have: the points stand below each other."""
    places = max((len(month.kwh.partition(".")[2]) for month in months), default=0)
    return [(month, f"{Decimal(month.kwh):.{places}f}") for month in months]
