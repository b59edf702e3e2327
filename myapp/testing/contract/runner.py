"""Start the process of the probe, and read what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from .subject import Subject

#: In the order in which they run. Each is a function of this name; its docstring says what it wants.
CHECKS = (
    "manifest_is_valid",
    "import_has_no_side_effects",
    "hooks_are_known",
    "boots_with_default_config",
    "starts_in_250_ms",
    "builds_twice",
    "two_apps_coexist",
    "disabled_equals_absent",
    "names_are_its_own",
    "migrations_go_up_down_up",
    "models_match_migrations",
    "views_answer",
    "files_lie_in_its_namespace",
)
SECONDS = 60.0
CODE = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given.pop('sys_path');"
    " from myapp.testing.contract.probe import main; main(**given)"
    # A thread of the plugin may wait for ever, as it may in a server; Python would wait for it.
    "; import os; sys.stdout.flush(); sys.stderr.flush(); os._exit(0)"
)


@dataclass
class Findings:
    """What is to be said against a plugin, by check; a check that was not reached is not there."""

    problems: dict[str, list[str]] = field(default_factory=dict)
    #: What stopped the process, as a sentence; empty when it came to its end.
    end: str = ""
    #: The check that ran when it stopped; empty before the first one.
    running: str = ""
    output: str = ""

    def of(self, check: str) -> list[str]:
        """Return what is to be said against the plugin by ``check``."""
        if check in self.problems:
            return self.problems[check]
        if check == self.running or not self.running:
            return [f"{self.end}\n{self.output}".rstrip()]
        return [f"It was not looked at: in {self.running}, {self.end[:1].lower()}{self.end[1:]}"]


def run_probe(subject: Subject, checks: Sequence[str] = CHECKS, seconds: float = SECONDS) -> Findings:
    """Run ``checks`` on a plugin in a process of its own, with this one's modules to be found and its environment.

    :param seconds: how long that may take in all.
    """
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        results = Path(folder) / "results"
        results.touch()
        given = {
            "sys_path": sys.path,
            "name": subject.name,
            "path": subject.path,
            "results": str(results),
            "wanted": list(checks),
        }
        # -B: the compiled files of the plugin would be files that its import writes.
        command = [sys.executable, "-B", "-u", "-c", CODE, json.dumps(given)]
        end, output = _run(command, seconds)
        return _read(results.read_text(encoding="utf-8"), end, output)


def _run(command: list[str], seconds: float) -> tuple[str, str]:
    with tempfile.TemporaryFile() as output:
        # A file: what the plugin starts may outlive the process and keep a pipe open.
        process = subprocess.Popen(  # noqa: S603 - This Python, with our own code.
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ)
        )
        try:
            status = process.wait(seconds)
            end = "" if status == 0 else f"The process ended with status {status}."
        except subprocess.TimeoutExpired:
            end = f"It did not come to an end within {seconds:.0f} s."
        finally:
            # Also when whoever waits is interrupted.
            process.kill()
            process.wait()
        output.seek(0)
        return end, output.read().decode(errors="replace")


def _read(text: str, end: str, output: str) -> Findings:
    findings = Findings(end=end, output=output)
    for line in map(json.loads, text.splitlines()):
        if "ends" in line:
            findings.problems[line["ends"]] = line["problems"]
            findings.running = ""
        else:
            findings.running = line["begins"]
    return findings
