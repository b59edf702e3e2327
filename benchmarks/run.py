"""The same work through Flask and through myapp, interleaved in one process: what counts is the ratio.

::

    python benchmarks/run.py [--json] [--smoke] [--only WORD]

A round calls each of the two applications the same number of times, as a WSGI server does: build nothing, call, read
the body, close it. The two take turns, so that whatever else the machine does hits both. The ratio is the median of
the rounds' ratios; RESULTS.md keeps one run.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import jobs as job_cases
from benchmarks import peers, plugins
from benchmarks.imports import make_imports
from benchmarks.start import SIZES, SMOKE_SIZES, Start, iter_starts

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

Environ: t.TypeAlias = dict[str, t.Any]


class Case(t.NamedTuple):
    """One piece of work: the same path of two applications, and the ratio that we want to stay below."""

    name: str
    peer: Flask
    ours: Flask
    path: str
    goal: float | None
    status: int = 200


class Result(t.NamedTuple):
    """What a case took: microseconds of one call (median of the rounds, and the fastest), and the ratio."""

    name: str
    peer: float
    ours: float
    fastest_peer: float
    fastest_ours: float
    ratio: float
    goal: float | None


class Rounds(t.NamedTuple):
    """How much is measured: a number of rounds of about ``seconds`` for each of the two."""

    number: int
    seconds: float


# Many short rounds: what else the machine does is as long as one of them, and the median leaves it out.
FULL = Rounds(number=401, seconds=0.005)
SMOKE = Rounds(number=1, seconds=0.002)


def make_environ(path: str) -> Environ:
    """Return the WSGI environment of a GET, as a server gives it."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_ACCEPT": "*/*",
        "HTTP_USER_AGENT": "benchmark",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def call(app: Flask, environ: Environ) -> tuple[str, bytes]:
    """Call ``app`` as a server does, and return the status and the body."""
    answer: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: t.Any = None) -> t.Any:
        answer.append(status)

    # Flask and Werkzeug keep what they have parsed in the environ: every request gets one of its own.
    body = app(environ.copy(), start_response)
    try:
        return answer[0], b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def time_calls(app: Flask, environ: Environ, count: int) -> float:
    """Return the seconds that one call takes, of ``count`` calls."""
    started = time.perf_counter()
    for _ in range(count):
        call(app, environ)
    return (time.perf_counter() - started) / count


def check(case: Case) -> None:
    """Make sure that both do the work.

    :raises SystemExit: when the answers are not the same, errors apart: a problem of ours says more than a peer's.
    """
    environ = make_environ(case.path)
    answers = [call(app, environ) for app in (case.peer, case.ours)]
    for status, body in answers:
        if not status.startswith(str(case.status)):
            raise SystemExit(f"{case.name}: the answer is {status}: {body!r}")
    if case.status == 200 and json.loads(answers[0][1]) != json.loads(answers[1][1]):
        raise SystemExit(f"{case.name}: the answers differ: {answers}")


def measure(case: Case, rounds: Rounds) -> Result:
    """Run the rounds of a case: the peer, ours, the peer, ours …"""
    check(case)
    environ = make_environ(case.path)
    count = max(1, int(rounds.seconds / time_calls(case.peer, environ, 50)))
    times: list[tuple[float, float]] = []
    gc.collect()
    # A collection of what one of them has left would be counted as work of the other.
    gc.disable()
    try:
        for turn in range(rounds.number):
            pair = [(0, case.peer), (1, case.ours)]
            seconds = [0.0, 0.0]
            # Who comes first changes as well: the second finds warmer caches, or a hotter processor.
            for index, app in pair if turn % 2 else reversed(pair):
                seconds[index] = time_calls(app, environ, count)
            times.append((seconds[0], seconds[1]))
            gc.collect(1)
    finally:
        gc.enable()
    peer, ours = ([pair[index] * 1e6 for pair in times] for index in (0, 1))
    ratio = statistics.median(pair[1] / pair[0] for pair in times)
    return Result(case.name, statistics.median(peer), statistics.median(ours), min(peer), min(ours), ratio, case.goal)


def iter_cases(folder: Path) -> Iterator[Case]:
    """Yield every case; the databases are made in ``folder``."""
    flask, ours = peers.make_flask(), peers.make_myapp(folder)
    keyless = peers.without_key(peers.make_flask()), peers.without_key(peers.make_myapp(folder))
    by_hand, without_data = peers.make_flask_with_session(folder), peers.make_myapp_without_data(folder)
    yield Case("dict view, with a secret key", flask, ours, "/dict", 1.0)
    yield Case("dict view, without a secret key", *keyless, "/dict", 1.0)
    yield Case("100 objects with to_json", flask, ours, "/objects", 0.5)
    yield Case("an error (abort 404)", flask, ours, "/error", None, status=404)
    yield Case("one row, beside SQLAlchemy's Session by hand", by_hand, ours, "/row", None)
    yield Case("no database, beside myapp without the data layer", without_data, ours, "/dict", 1.05)
    yield Case(f"a request with {plugins.IDLE} idle plugins, beside none", *plugins.make_idle(folder), "/dict", 1.02)


def time_import(folder: Path, rounds: Rounds) -> Result:
    """Compare an import of meter readings, the whole command, with ``executemany`` of the same rows."""
    sides = make_imports(folder)
    # The first one makes the tables.
    sides.ours()
    times = [(sides.peer() * 1e6, sides.ours() * 1e6) for _ in range(min(rounds.number, 15))]
    peer, ours = ([pair[index] for pair in times] for index in (0, 1))
    ratio = statistics.median(pair[1] / pair[0] for pair in times)
    name = f"realmon import of {sides.rows:,} rows, beside executemany"
    return Result(name, statistics.median(peer), statistics.median(ours), min(peer), min(ours), ratio, 4.0)


def time_guards(folder: Path, rounds: Rounds) -> Iterator[Result]:
    """Compare calls of empty functions with the same through a guard, in a task that nobody has touched."""
    app = plugins.make_idle(folder)[0]
    with app.task(read_only=True):  # type: ignore[attr-defined]
        for pair in plugins.iter_pairs(app):
            times = plugins.time_pair(pair, rounds.number)
            peer, ours = ([nanoseconds / 1000 for nanoseconds in side] for side in times)
            medians = statistics.median(peer), statistics.median(ours)
            yield Result(pair.name, *medians, min(peer), min(ours), plugins.ratio_of(times), pair.goal)


def time_build(folder: Path, rounds: Rounds, count: int) -> Result:
    """Compare building an app with many plugins with importing them."""
    times = plugins.time_build(folder, processes=min(rounds.number, plugins.PROCESSES), count=count)
    peer, ours = ([seconds * 1e6 for seconds in side] for side in times)
    medians = statistics.median(peer), statistics.median(ours)
    name = f"building an app with {count} plugins, beside importing them"
    return Result(name, *medians, min(peer), min(ours), plugins.ratio_of(times), 1.3)


def time_sides(sides: job_cases.Sides | Start, turns: int) -> Result:
    """Compare two functions that return the seconds of one piece of their work, of a whole process for example."""
    times: list[tuple[float, float]] = []
    for turn in range(turns):
        order = (sides.peer, sides.ours) if turn % 2 else (sides.ours, sides.peer)
        seconds = {side: side() * 1e6 for side in order}
        times.append((seconds[sides.peer], seconds[sides.ours]))
    # The first ones of several make what the others find: tables, compiled files, what the system has read.
    times = times[1:] or times
    peer, ours = ([pair[index] for pair in times] for index in (0, 1))
    ratio = statistics.median(pair[1] / pair[0] for pair in times)
    return Result(sides.name, statistics.median(peer), statistics.median(ours), min(peer), min(ours), ratio, sides.goal)


def time_help(rounds: Rounds) -> Result:
    """Compare ``flask --help`` of the project with that of a Flask app of one file."""
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as name:
        plain = Path(name) / "plain.py"
        plain.write_text("from flask import Flask\n\napp = Flask(__name__)\n", encoding="utf-8")
        commands = {
            "peer": ([sys.executable, "-m", "flask", "--app", str(plain), "--help"], Path(name)),
            "ours": ([sys.executable, "-m", "flask", "--app", str(root / "devapp.py"), "--help"], root),
        }
        environ = {**os.environ, "PYTHONPATH": str(root), "MYAPP_INSTANCE_PATH": str(Path(name) / "instance")}
        times: dict[str, list[float]] = {"peer": [], "ours": []}
        for _ in range(min(rounds.number, 11)):
            for who, (command, folder) in commands.items():
                started = time.perf_counter()
                subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, check=True)
                times[who].append((time.perf_counter() - started) * 1e6)
    # The first of several compiles.
    peer, ours = (side[1:] or side for side in times.values())
    medians = statistics.median(peer), statistics.median(ours)
    return Result("flask --help", *medians, min(peer), min(ours), medians[1] / medians[0], None)


def describe_machine() -> str:
    """Return one line about where this runs."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("Flask", "Werkzeug", "SQLAlchemy", "orjson"))
    return f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}, {versions}"


def render(results: list[Result]) -> str:
    """Return the table, in Markdown."""
    lines = [
        "| case | peer, µs | myapp, µs | fastest, µs | myapp ÷ peer | goal |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        goal = "" if result.goal is None else f"≤ {result.goal:.3g}"
        lines.append(
            f"| {result.name} | {_digits(result.peer)} | {_digits(result.ours)} |"
            f" {_digits(result.fastest_peer)} / {_digits(result.fastest_ours)} | {result.ratio:.2f} | {goal} |"
        )
    return "\n".join(lines)


def _digits(microseconds: float) -> str:
    """Return a time with as many digits as it takes to tell it from another."""
    return f"{microseconds:,.1f}" if microseconds >= 1 else f"{microseconds:.3f}"


def main() -> None:
    """Measure, and print the table or one JSON document."""
    parser = argparse.ArgumentParser(description="The same work through Flask and through myapp.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--smoke", action="store_true", help="only show that everything runs: the figures say nothing")
    parser.add_argument("--only", default="", metavar="WORD", help="only the cases whose name has WORD in it")
    arguments = parser.parse_args()
    # Python is installed once and started often: what is measured are starts with compiled modules.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    rounds = SMOKE if arguments.smoke else FULL
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="myapp-benchmarks-") as name:
        results += [measure(case, rounds) for case in iter_cases(Path(name)) if arguments.only in case.name]
        if arguments.only in "realmon import":
            results.append(time_import(Path(name), rounds))
        if arguments.only in "a guarded":
            results += time_guards(Path(name), rounds)
        if arguments.only in "building an app with plugins":
            results.append(time_build(Path(name), rounds, 3 if arguments.smoke else plugins.PLUGINS))
        for sides in job_cases.iter_jobs(Path(name), job_cases.SMOKE if arguments.smoke else job_cases.FULL):
            if arguments.only in sides.name:
                results.append(time_sides(sides, min(rounds.number, 8)))
        for start in iter_starts(Path(name), SMOKE_SIZES if arguments.smoke else SIZES):
            if arguments.only in start.name:
                results.append(time_sides(start, min(rounds.number, 4)))
    if arguments.only in "flask --help":
        results.append(time_help(rounds))
    if arguments.json:
        print(json.dumps({"machine": describe_machine(), "results": [result._asdict() for result in results]}))
        return
    print(describe_machine())
    print(render(results))


if __name__ == "__main__":
    main()
