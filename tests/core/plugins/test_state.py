"""``instance/plugins.json``: what the operator decided is never lost, never guessed and never half written."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from myapp.core.config import Loaded, load
from myapp.core.errors import ConfigurationError
from myapp.core.plugins import Kept, decide, read_state
from myapp.core.plugins.state import remember_critical

WRITER = """
import sys
from myapp.core.config import load
from myapp.core.plugins import decide

loaded = load({"MYAPP_INSTANCE_PATH": sys.argv[1], "MYAPP_PROFILE": "development"})
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    decide(loaded, f"{sys.argv[2]}_{number}", enabled=False)
"""

FULL_DISK = """
import resource, sys
from myapp.core.config import load
from myapp.core.errors import ConfigurationError
from myapp.core.plugins import decide

loaded = load({"MYAPP_INSTANCE_PATH": sys.argv[1], "MYAPP_PROFILE": "development"})
resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))
try:
    decide(loaded, "another", enabled=False)
except ConfigurationError as error:
    print(error)
"""

IMPORTS = """
import sys
import myapp.core.plugins.state
print(sorted({"flask", "sqlalchemy", "pluggy"} & set(sys.modules)))
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Return settings whose instance folder does not exist yet."""
    return load({"MYAPP_INSTANCE_PATH": str(tmp_path / "instance"), "MYAPP_PROFILE": "development"})


def write(loaded: Loaded, text: str | bytes) -> Path:
    path = loaded.instance_path / "plugins.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_no_file_says_nothing_and_is_not_made(loaded: Loaded) -> None:
    """Reading leaves no trace."""
    state = read_state(loaded)

    assert (dict(state.plugins), state.wrong, state.of("shop")) == ({}, "", Kept())
    assert not loaded.instance_path.exists()


def test_decisions_are_kept_by_name(loaded: Loaded) -> None:
    """Of plugins that are not installed as well; a dash is an underscore; None takes one back."""
    decide(loaded, "shop-eu", enabled=False)
    decide(loaded, "theme", enabled=True)
    decide(loaded, "gone", enabled=True)
    decide(loaded, "gone", enabled=None)

    plugins = read_state(loaded).plugins
    assert plugins == {"shop_eu": Kept("disabled"), "theme": Kept("enabled")}
    document = json.loads((loaded.instance_path / "plugins.json").read_text(encoding="utf-8"))
    assert document == {
        "schema": 1,
        "plugins": {"shop_eu": {"decision": "disabled"}, "theme": {"decision": "enabled"}},
    }


def test_criticals_and_decisions_do_not_disturb_each_other(loaded: Loaded) -> None:
    """Each is changed alone."""
    remember_critical(loaded, {"audit": (True, "plugins"), "shop": (False, "plugins")})
    decide(loaded, "audit", enabled=False)
    assert read_state(loaded).plugins == {"audit": Kept("disabled", True, "plugins")}

    remember_critical(loaded, {"audit": (False, "plugins")})
    assert read_state(loaded).plugins == {"audit": Kept("disabled")}


def test_nothing_new_writes_nothing(loaded: Loaded) -> None:
    """An app without critical plugins makes no file, and a second start leaves it alone."""
    remember_critical(loaded, {"shop": (False, "plugins")})
    assert not loaded.instance_path.exists()

    remember_critical(loaded, {"audit": (True, "plugins")})
    before = (loaded.instance_path / "plugins.json").stat().st_mtime_ns
    remember_critical(loaded, {"audit": (True, "plugins"), "shop": (False, "")})
    assert (loaded.instance_path / "plugins.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ('{"schema": 1, "plugins": {"shop": {"deci', "no JSON"),
        (b"\xff\xfe\x00", "UTF-8"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no schema"),
        ('{"plugins": {}}', "no schema"),
        ('{"schema": 2, "plugins": {}}', "knows 1"),
        ('{"schema": true, "plugins": {}}', "knows 1"),
        ('{"schema": 1}', "schema and plugins"),
        ('{"schema": 1, "plugins": {}, "more": 1}', "schema and plugins"),
        ('{"schema": 1, "plugins": []}', "schema and plugins"),
        ('{"schema": 1, "plugins": {"Shop": {}}}', "not a name"),
        ('{"schema": 1, "plugins": {"shop": {"decision": "off"}}}', "neither enabled nor disabled"),
        ('{"schema": 1, "plugins": {"shop": {"decision": ["enabled"]}}}', "neither enabled nor disabled"),
        ('{"schema": 1, "plugins": {"shop": {"critical": "yes"}}}', "true or false"),
        ('{"schema": 1, "plugins": {"shop": {"disabled": true}}}', "other members"),
        ('{"schema": 1, "plugins": {"shop": "disabled"}}', "other members"),
        ('{"schema": 1, "plugins": {"shop": {"decision": "disabled"}, "shop": {}}}', "twice"),
    ],
)
def test_file_that_cannot_be_used_is_left_alone(text: str | bytes, says: str, loaded: Loaded) -> None:
    """Reading says why; whoever would change it, or go on without it, is refused with the remedy."""
    path = write(loaded, text)

    state = read_state(loaded)

    assert says in state.wrong
    assert not state.plugins
    for act in (
        state.require,
        lambda: decide(loaded, "theme", enabled=True),
        lambda: remember_critical(loaded, {"audit": (True, "plugins")}),
    ):
        with pytest.raises(ConfigurationError, match="move it away"):
            act()
    assert path.read_bytes() == (text if isinstance(text, bytes) else text.encode())


def test_name_that_no_plugin_can_have_is_refused(loaded: Loaded) -> None:
    """A slip of the keyboard is not kept for ever."""
    for name in ("", "Shop", "../shop", "a" * 41, "shop.eu"):
        with pytest.raises(ValueError, match="not a name"):
            decide(loaded, name, enabled=False)
    assert not loaded.instance_path.exists()


def test_processes_that_write_at_once_lose_nothing(loaded: Loaded) -> None:
    """Three processes, ten decisions each."""
    command = [sys.executable, "-c", WRITER, str(loaded.instance_path)]
    writers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)

    assert [writer.returncode for writer in writers] == [0, 0, 0]
    expected = {f"{name}_{number}" for name in ("one", "two", "three") for number in range(10)}
    assert set(read_state(loaded).plugins) == expected
    assert sorted(path.name for path in loaded.instance_path.iterdir()) == [".plugins.json.lock", "plugins.json"]


def test_full_disk_leaves_the_file_as_it_was(loaded: Loaded) -> None:
    """A write that fails in the middle is an error, and no half file; what it left is not in the way."""
    decide(loaded, "shop", enabled=False)
    path = loaded.instance_path / "plugins.json"
    before = path.read_bytes()

    command = [sys.executable, "-c", FULL_DISK, str(loaded.instance_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert "cannot be written" in output
    assert path.read_bytes() == before
    (loaded.instance_path / ".plugins.json.1.00000000.new").write_text("of a process that was killed")
    decide(loaded, "theme", enabled=True)
    assert set(read_state(loaded).plugins) == {"shop", "theme"}
    assert sorted(one.name for one in loaded.instance_path.iterdir()) == [".plugins.json.lock", "plugins.json"]


def test_folder_that_is_none_is_explained(tmp_path: Path) -> None:
    """A clear error, and not a traceback."""
    (tmp_path / "file").write_text("")
    loaded = load({"MYAPP_INSTANCE_PATH": str(tmp_path / "file"), "MYAPP_PROFILE": "development"})

    assert read_state(loaded).wrong == ""
    with pytest.raises(ConfigurationError):
        decide(loaded, "shop", enabled=False)


def test_mode_and_link_of_the_file_stay(loaded: Loaded, tmp_path: Path) -> None:
    """What a command of one user writes, the server of another can read; a link is followed."""
    before = os.umask(0o027)
    try:
        decide(loaded, "shop", enabled=False)
        path = loaded.instance_path / "plugins.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o664)
        real = path.rename(tmp_path / "real.json")
        path.symlink_to(real)
        decide(loaded, "theme", enabled=True)
    finally:
        os.umask(before)

    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o664
    assert set(read_state(loaded).plugins) == {"shop", "theme"}


def test_no_framework_is_needed() -> None:
    """The commands that disable a plugin work when Flask's extensions or the database's library are missing."""
    output = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True).stdout

    assert output == "[]\n"
