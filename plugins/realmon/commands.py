"""``flask realmon …``: import readings, look for meters that are silent, write a sample."""

from __future__ import annotations

import sys
import typing as t
from contextlib import contextmanager
from pathlib import Path

import click

from .importing import Imported, RefusedError, Target, store
from .models import NAME_LENGTH, UNITS
from .outages import DEFAULT_HOURS, check_meters
from .owners import read_owner
from .parsing import FileError, Readings, read_file
from .sample import iter_sample
from .zones import read_zone

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from zoneinfo import ZoneInfo

    from click._termui_impl import ProgressBar


def read_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the name of a building or a meter without blanks around it; an option's callback.

    :raises click.BadParameter: when it is none.
    """
    name = value.strip()
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise click.BadParameter(f"A name has 1 to {NAME_LENGTH} printable characters.")
    return name


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--meter", required=True, callback=read_name, metavar="NAME", help="Whose readings; made when new.")
@click.option("--building", required=True, callback=read_name, metavar="NAME", help="Where it is; made when new.")
@click.option("--timezone", required=True, callback=read_zone, metavar="ZONE", help="The building's: Europe/London.")
@click.option("--naive-zone", callback=read_zone, metavar="ZONE", help="Of times without offset, if another.")
@click.option(
    "--unit",
    type=click.Choice(list(UNITS), case_sensitive=False),
    default="kWh",
    metavar="UNIT",
    help="What the values count: Wh, kWh (default) or MWh.",
)
@click.option("--owner", callback=read_owner, metavar="ADDRESS", help="Who gets mail about the building.")
@click.option("--skip-bad", is_flag=True, help="Leave bad lines out instead of refusing the file.")
def import_readings(
    file: Path,
    meter: str,
    building: str,
    timezone: ZoneInfo,
    naive_zone: ZoneInfo | None,
    unit: str,
    owner: str | None,
    skip_bad: bool,
) -> None:
    """Import the readings of FILE: CSV with the columns start,value, plain or gzipped.

    All of it is kept, or nothing. A second import of the same file changes nothing.
    """
    target = Target(meter, building, timezone, unit, owner)
    readings = Readings()
    try:
        # Read before the first query: the database's write lock is not held meanwhile.
        with progress_bar(file.stat().st_size, sys.stderr) as progress:
            readings = read_file(file, naive_zone or timezone, progress)
        imported = store(readings, target, skips_bad=skip_bad)
    except (FileError, RefusedError) as error:
        raise click.ClickException(_refusal(file, str(error), readings)) from error
    if readings.bad.count:
        click.echo(
            f"Bad lines of {click.format_filename(file, shorten=True)}, left out:\n{readings.bad.listing()}", err=True
        )
    click.echo(_summary(file, target, imported))


@click.command("check")
@click.option(
    "--hours",
    type=click.FloatRange(0, min_open=True),
    default=DEFAULT_HOURS,
    show_default=True,
    help="How long a meter may say nothing.",
)
def check(hours: float) -> None:
    """Let a job look for meters that have stopped reporting, and mail the owners of their buildings.

    Run it as often as you like, from cron say: each outage is told once.
    """
    job_id = check_meters.enqueue(hours)
    click.echo(f"The job {job_id} looks for them and mails the owners. How it goes: flask jobs show {job_id}")


@click.command("sample")
def write_sample() -> None:
    """Write a year of made-up hourly readings of a household, as a file that `import` reads."""
    click.echo("\n".join(iter_sample()))


@contextmanager
def progress_bar(size: int, stream: t.TextIO) -> Iterator[Callable[[int], None]]:
    """Show how much of ``size`` bytes was read, on a terminal only, and yield the function to tell it."""
    if not stream.isatty():
        yield lambda done: None
        return
    bar: ProgressBar[int]
    with click.progressbar(length=size, label="Reading", file=stream) as bar:
        yield bar.update


def _refusal(file: Path, reason: str, readings: Readings) -> str:
    sentence = f"{click.format_filename(file)} was not imported: {reason}."
    if not readings.bad.count:
        return sentence
    return (
        f"{sentence}\n{_count(readings.bad.count, 'bad line')}:\n{readings.bad.listing()}\n"
        "Correct the file, or leave these lines out with --skip-bad."
    )


def _summary(file: Path, target: Target, imported: Imported) -> str:
    parts = [
        f"Imported {_count(imported.new, 'reading')} of the meter {target.meter}."
        if imported.new
        else f"Nothing new in {click.format_filename(file, shorten=True)}: nothing was changed."
    ]
    if imported.known:
        parts.append(f"The meter {target.meter} had {imported.known:,} of its readings already.")
    if imported.repeated:
        verb = "counts" if imported.repeated == 1 else "count"
        parts.append(f"{_count(imported.repeated, 'repeated line')} {verb} once.")
    if imported.bad:
        verb = "was" if imported.bad == 1 else "were"
        parts.append(f"{_count(imported.bad, 'bad line')} {verb} left out.")
    if target.owner:
        parts.append(f"Mail about {target.building} goes to {target.owner}.")
    return " ".join([*parts, "The months are shown at /realmon/."])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
