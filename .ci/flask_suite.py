"""Run Flask's own test suite twice, with ``Flask`` and with ``CustomFlask``, and compare.

::

    python3 .ci/flask_suite.py [SOURCE]

It makes a virtual environment of its own, because Flask's tests need pytest 8, and gets the suite from the sdist of
the very Flask that pip chose for myapp. The sdist is kept in ``.ci-cache/``. The exit status is 1 when anything fails
with ``CustomFlask`` that does not fail with ``Flask``, or when the comparison would prove nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import typing as t
import xml.etree.ElementTree as ElementTree
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / ".ci-cache"
#: Flask 3.1.3 has 490; far fewer means that the suite was not collected.
MINIMUM_TESTS = 400
FLASK_VERSION = "import importlib.metadata; print(importlib.metadata.version('flask'))"


class Run(t.NamedTuple):
    """One run of the suite: what became of each test, and of which classes the apps were made."""

    outcomes: dict[str, str]
    properties: dict[str, int]

    @property
    def failed(self) -> set[str]:
        """The tests that failed, those that could not be set up included."""
        return {name for name, outcome in self.outcomes.items() if outcome == "failed"}

    def __str__(self) -> str:
        failed = len(self.failed)
        skipped = sum(outcome == "skipped" for outcome in self.outcomes.values())
        return f"{len(self.outcomes) - failed - skipped} passed, {failed} failed, {skipped} skipped"


def main() -> int:
    """Run both and print what differs."""
    source = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    with tempfile.TemporaryDirectory(prefix="flask-suite-") as name:
        folder = Path(name)
        copy = _copy(source, folder / "source")
        python = _make_environment(folder / "venv", copy)
        version = _output([python, "-c", FLASK_VERSION])
        suite = _unpack(_get_sdist(python, version), folder)
        # The first run is of Flask as it comes: myapp's entry points would show in both runs and be compared away.
        _pip(python, "uninstall", "--yes", "myapp")
        with_flask = _run(python, suite, folder / "flask.xml")
        _pip(python, "install", "--no-deps", str(copy))
        with_custom = _run(python, suite, folder / "custom.xml", "-p", "custom_flask")
    print(f"Flask {version}, its own suite with Flask: {with_flask}")
    for name in sorted(with_flask.failed):
        print(f"  - {name} fails with Flask itself.")
    print(f"Flask {version}, its own suite with CustomFlask: {with_custom}; apps made: {with_custom.properties}")
    problems = list(_iter_problems(with_flask, with_custom))
    for problem in problems:
        print(f"  - {problem}")
    return 1 if problems else 0


def _iter_problems(with_flask: Run, with_custom: Run) -> Iterator[str]:
    for name in sorted(with_custom.failed - with_flask.failed):
        yield f"{name} fails with CustomFlask and does not fail with Flask."
    if len(with_flask.outcomes) < MINIMUM_TESTS:
        yield f"Only {len(with_flask.outcomes)} tests ran; Flask's suite has more than {MINIMUM_TESTS}."
    for name in sorted(with_flask.outcomes.keys() ^ with_custom.outcomes.keys()):
        yield f"{name} ran in one of the two runs only."
    for name in sorted(with_flask.outcomes.keys() & with_custom.outcomes.keys()):
        if with_custom.outcomes[name] == "skipped" != with_flask.outcomes[name]:
            yield f"{name} is skipped with CustomFlask only."
    made = with_custom.properties
    if made.get("made-custom", 0) < MINIMUM_TESTS or made.get("made-other") != 0:
        yield f"The second run was not of CustomFlask: apps were made of these classes: {made}."


def _copy(source: Path, folder: Path) -> Path:
    """Return a copy to install from: setuptools leaves a folder ``build/`` where it builds."""
    ignored = shutil.ignore_patterns(".*", "tests", "build", "dist", "instance", "*.egg-info")
    return Path(shutil.copytree(source, folder, ignore=ignored))


def _make_environment(folder: Path, source: Path) -> str:
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    # greenlet: without it Flask's suite skips its tests of contexts in greenlets.
    _pip(python, "install", str(source), "pytest<9", "greenlet")
    return python


def _get_sdist(python: str, version: str) -> Path:
    """Return Flask's sdist, from the cache when it is there."""
    sdist = CACHE / f"flask-{version}.tar.gz"
    if not sdist.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            _pip(python, "download", "--no-deps", "--no-binary", "flask", "--dest", folder, f"flask=={version}")
            # Moved in one step: a second run at the same time sees a whole file or none.
            next(Path(folder).glob("*.tar.gz")).replace(sdist)
    return sdist


def _unpack(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("flask-*/tests")).parent


def _run(python: str, suite: Path, report: Path, *options: str) -> Run:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("FLASK_", "MYAPP_", "PYTEST_"))}
    # "no:myapp": our own pytest plugin is written for a newer pytest and has no part in this.
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:myapp", f"--junit-xml={report}"]
    result = subprocess.run(
        [*command, *options],
        cwd=suite,
        env={**environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=False,
    )
    # 1 is "some tests failed", which the comparison is about.
    if result.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {result.returncode}:\n{result.stdout}\n{result.stderr}")
    return _read(report)


def _read(report: Path) -> Run:
    suite = next(ElementTree.parse(report).iter("testsuite"))
    outcomes = {f"{case.get('classname')}::{case.get('name')}": _outcome(case) for case in suite.iter("testcase")}
    properties = {str(entry.get("name")): int(entry.get("value", "0")) for entry in suite.iter("property")}
    return Run(outcomes, properties)


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def _pip(python: str, *arguments: str) -> None:
    result = subprocess.run([python, "-m", "pip", "-q", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"pip {' '.join(arguments)} failed:\n{result.stdout}\n{result.stderr}")


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
