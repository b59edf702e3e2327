"""``flask jobs …``: background jobs, and who works them off."""

from __future__ import annotations

import json
import sys
import typing as t
from dataclasses import asdict

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import SQLAlchemyError

from .. import work
from ..data import ensure_schema
from ..errors import JobError
from ..tasks import untasked
from ..work.chaos import run_chaos
from .terminal import visible

if t.TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from flask import Flask

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
IDS = click.argument("ids", metavar="ID...", nargs=-1, required=True)


def _app() -> Flask:
    return t.cast("Flask", current_app._get_current_object())  # type: ignore[attr-defined]


@click.group(cls=AppGroup)
def jobs() -> None:
    """Look at background jobs, and work them off."""


@jobs.command("list")
@click.option("--state", type=click.Choice(work.STATES), help="Only those.")
@click.option("--queue", help="Only those of this queue.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@AS_JSON
def list_jobs(state: str | None, queue: str | None, limit: int, as_json: bool) -> None:
    """List jobs, the newest first."""
    found = work.list_jobs(state=state, queue=queue, limit=limit)
    if as_json:
        click.echo(json.dumps({"schema": 1, "jobs": [_plain(job) for job in found]}))
        return
    if not found:
        click.echo("There is no such job. A function with @job makes one: f.enqueue(…)")
    for job in found:
        click.echo(f"{job.id}  {_moment(job.created)}  {_state(job):<13}  {job.queue:<10}  {job.func}")


@jobs.command()
@click.argument("job_id", metavar="ID")
@AS_JSON
def show(job_id: str, as_json: bool) -> None:
    """Show everything about the job ID."""
    job = work.find_job(job_id)
    if job is None:
        raise _no_job(job_id)
    plain = {**_plain(job), "arguments": list(job.arguments), "result": job.value}
    failure = work.Failure.from_text(job.error)
    plain["error"] = None if failure is None else asdict(failure)
    if as_json:
        click.echo(json.dumps({"schema": 1, "job": plain}))
        return
    for key, value in plain.items():
        if key == "error" and failure is not None:
            click.echo(f"{key:<14} {failure.kind}: {visible(failure.summary)}")
            click.echo(json.dumps(failure.problem) if failure.problem else visible(failure.traceback or ""))
        elif value is not None:
            click.echo(f"{key:<14} {json.dumps(value) if isinstance(value, dict | list) else visible(str(value))}")


@jobs.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--dead", is_flag=True, help="All that are dead and have not expired.")
def retry(ids: tuple[str, ...], dead: bool) -> None:
    """Try jobs that failed, are dead or were cancelled again, with all their tries."""
    if bool(ids) == dead:
        raise click.UsageError("Name the jobs, or say --dead for all that are dead.")
    found = work.list_jobs(state="dead", limit=10_000) if dead else []
    wanted = [job.id for job in found if not work.is_expired(job)] if dead else ids
    for job_id in wanted:
        try:
            before = work.retry(job_id)
        except JobError as error:
            raise click.ClickException(f"{error} Nothing was changed.") from error
        if before is None:
            raise _no_job(job_id)
    click.echo(f"{_count(len(wanted), 'job')} will be tried again.")


@jobs.command()
@IDS
def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs: one that waits never starts, one that runs is asked to stop."""
    said = {
        "cancelled": "is cancelled.",
        "running": "runs, and was asked to stop.",
        "done": "is done already. Nothing was changed.",
        "failed": "has failed already. Nothing was changed.",
        "dead": "is dead already. Nothing was changed.",
    }
    for job_id in ids:
        try:
            state = work.cancel(job_id)
        except JobError as error:
            raise click.ClickException(str(error)) from error
        if state is None:
            raise _no_job(job_id)
        click.echo(f"Job {job_id} {said[state]}")


@jobs.command("work")
@click.option("-c", "--concurrency", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@click.option("-q", "--queues", metavar="A,B", help="Only these queues; all of them when left out.")
@click.option(
    "--grace", type=click.FloatRange(0), default=20.0, show_default=True, help="Seconds to finish after SIGTERM."
)
def work_command(concurrency: int, queues: str | None, grace: float) -> None:
    """Work jobs off until SIGTERM or Ctrl-C; each slot is a process of its own.

    At SIGTERM no more jobs are taken; those that run may finish within the grace, and are given back after it as if
    they had not begun.
    """
    app = _app()
    try:
        ensure_schema(app)
    except SQLAlchemyError as error:
        click.echo(f"The database cannot be reached; the workers wait for it. {error}", err=True)
    names = None if queues is None else tuple(name.strip() for name in queues.split(",") if name.strip())
    if names == ():
        raise click.UsageError("--queues names none.")
    click.echo(
        f"Working {'all queues' if names is None else ', '.join(names)} with"
        f" {_count(concurrency, 'process', 'processes')}. Ctrl-C ends it.",
        err=True,
    )
    sys.exit(work.get_state(app).transport.work(app, work.Fleet(concurrency, names, grace)))


@jobs.command()
@AS_JSON
def stat(as_json: bool) -> None:
    """Count the jobs of each queue by state."""
    tally = work.tally()
    if as_json:
        click.echo(json.dumps({"schema": 1, "queues": tally.counts, "oldest_seconds": tally.oldest_seconds}))
        return
    if not tally.counts:
        click.echo("There is no job.")
        return
    click.echo("  ".join(["queue".ljust(16), *(state.rjust(9) for state in work.STATES)]))
    for queue, counts in tally.counts.items():
        click.echo("  ".join([queue.ljust(16), *(f"{counts.get(state, 0):>9,}" for state in work.STATES)]))
    if tally.oldest_seconds is not None:
        click.echo(f"The job that waits longest has been due for {tally.oldest_seconds:,.0f} s.")


@jobs.command()
@click.option("--jobs", "number", type=click.IntRange(1, 100_000), default=200, show_default=True)
@click.option("--kills", type=click.IntRange(0, 10_000), default=20, show_default=True)
@click.option("-c", "--concurrency", type=click.IntRange(1, 256), default=4, show_default=True)
@click.option("--timeout", type=click.FloatRange(1), default=120.0, show_default=True, help="Seconds for all of it.")
@AS_JSON
def chaos(number: int, kills: int, concurrency: int, timeout: float, as_json: bool) -> None:
    """Kill workers at random while they work, and count: lost, doubled, and the longest recovery.

    It makes jobs and workers of its own for this, touches no others, and deletes its jobs. Exit 1 when a job was lost
    or done twice.
    """
    app = _app()
    ensure_schema(app)
    has_terminal = sys.stderr.isatty()

    def tell(done: int, killed: int) -> None:
        if has_terminal:
            click.echo(f"\r{done} of {number} jobs done, {killed} of {kills} workers killed", err=True, nl=False)

    try:
        outcome = run_chaos(app, jobs=number, kills=kills, concurrency=concurrency, seconds=timeout, tell=tell)
    except JobError as error:
        raise click.ClickException(str(error)) from error
    if has_terminal:
        click.echo(err=True)
    if as_json:
        click.echo(json.dumps({"schema": 1, **asdict(outcome)}))
    else:
        click.echo(
            f"{outcome.jobs} jobs, {outcome.kills} workers killed, {outcome.lost} lost, {outcome.doubled} done twice,"
            f" longest recovery {outcome.longest_recovery_seconds:.2f} s, {outcome.seconds:.1f} s in all"
        )
    if outcome.lost or outcome.doubled:
        sys.exit(1)


# A worker opens a task for each job; chaos forks, and holds nothing open meanwhile.
for _command in (work_command, chaos):
    untasked(_command)


def _no_job(job_id: str) -> click.ClickException:
    return click.ClickException(f"There is no job {job_id}. Those there are: flask jobs list")


def _plain(job: work.Job) -> dict[str, t.Any]:
    moments = {name: getattr(job, name) for name in ("created", "run_at", "started", "finished", "expires_at")}
    return {
        "id": job.id,
        "function": job.func,
        "queue": job.queue,
        "priority": job.priority,
        "state": job.state,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "progress": job.progress,
        "progress_text": job.progress_text,
        "unique_key": job.unique_key,
        "worker": job.owner,
        "user_id": job.user_id,
        "task_id": job.task_id,
        **{name: None if moment is None else moment.isoformat() for name, moment in moments.items()},
    }


def _state(job: work.Job) -> str:
    if job.state == "running" and job.progress is not None:
        return f"running {job.progress:.0%}"
    return f"retry {job.attempts}/{job.max_attempts}" if job.state == "ready" and job.attempts else job.state


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
