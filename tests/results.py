"""What benchmarks/RESULTS.md says: the figures that a benchmark gave when it was last run."""

from __future__ import annotations

import re
import typing as t

from tests.servers.process import ROOT

ROW = re.compile(r"^\| (?P<name>.+?) \|.*\| (?P<ratio>[\d.]+) \|(?: ≤ (?P<goal>[\d.]+))? +\|$", re.MULTILINE)


class Figure(t.NamedTuple):
    """What myapp took of what its peer took, and how much of it that was to be at most."""

    ratio: float
    goal: float | None


def read_results() -> dict[str, Figure]:
    """Return the figure of each case."""
    text = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    return {row["name"]: Figure(float(row["ratio"]), row["goal"] and float(row["goal"])) for row in ROW.finditer(text)}
