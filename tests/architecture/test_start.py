"""What every start pays for is what it needs: the figures are in benchmarks/RESULTS.md."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t

if t.TYPE_CHECKING:
    from pathlib import Path

PROBE = """
import gc, json, sys
from myapp import create_app

before = gc.get_freeze_count()
from myapp import get_db, tasked
app = create_app({"MYAPP_PROFILE": "development", "MYAPP_INSTANCE_PATH": sys.argv[1]})
print(json.dumps({
    "imported": [name for name in ("alembic", "packaging", "watchdog", "IPython") if name in sys.modules],
    "is_enabled": gc.isenabled(),
    "frozen": before,
    "frozen_later": gc.get_freeze_count() - before,
    "plugins": [
        report.name
        for report in __import__("myapp.core.plugins").core.plugins.get_report(app)
        if report.state == "active"
    ],
}))
"""


def test_start_imports_what_it_needs(tmp_path: Path) -> None:
    """With the plugins that every checkout has, whose manifests have no ranges: nothing that only some commands use.

    The garbage collector has left alone what the import of the core has made, and is on again; what is made later, an
    app that somebody throws away, it looks at.
    """
    command = [sys.executable, "-W", "error", "-c", PROBE, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    found = json.loads(result.stdout)
    assert found["plugins"] == ["realmon"]
    assert found["imported"] == []
    assert found["is_enabled"] is True
    assert found["frozen"] > 10_000
    assert found["frozen_later"] <= 0
