"""The contract of plugins: each check is red on a plugin that breaks it, and green on the reference plugin."""

from __future__ import annotations

import re
import shutil
import tempfile
import typing as t
from pathlib import Path

import pytest

from myapp.testing.contract.runner import CHECKS, Findings, run_probe
from myapp.testing.contract.subject import Subject, SubjectError, resolve

if t.TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

RunPytest: t.TypeAlias = "Callable[..., subprocess.CompletedProcess[str]]"

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "tests" / "apps" / "contract"


def probe(name: str, *checks: str, **options: t.Any) -> Findings:
    return run_probe(resolve(str(APPS / name)), checks or CHECKS, **options)


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Return what is to be said against the plugin ``messy``, which has a link out of its folder on top."""
    folder = shutil.copytree(APPS / "messy", tmp_path_factory.mktemp("plugins") / "messy")
    (folder / "static" / "leak").symlink_to("/etc/hostname")
    return run_probe(Subject("messy", str(folder)))


#: For each check what it says against ``messy``; none of it for those that it keeps.
SAID = {
    "manifest_is_valid": [],
    "import_has_no_side_effects": [
        r"changes the environment \(MESSY_TOKEN\)",
        r"changes the handlers of signals",
        r"starts the thread a messy thread \(\S+messy/__init__.py:23\)",
        r"writes the file \S+ \(\S+messy/__init__.py:22\)",
        r"talks to the network \(\('127.0.0.1', 9\)\)",
        r"leaves a socket open",
        r"Every command imports it",
    ],
    "hooks_are_known": [],
    "boots_with_default_config": [],
    "starts_in_250_ms": [r"adds \d+ ms to every start"],
    "builds_twice": [],
    "two_apps_coexist": [r"/messy/fixed stays where it was", r"myapp_plugins.messy.APPS keeps an app"],
    "disabled_equals_absent": [r"without it \(\+ filters: messy: builtins.str\)"],
    "names_are_its_own": [
        r"The URL /checkout lies outside of /messy",
        r"The endpoint checkout does not begin with messy",
        r"`flask checkout` is not below `flask messy`",
    ],
    "migrations_go_up_down_up": [r"After the downgrade to base these tables are still there: messy_things"],
    "models_match_migrations": [
        r"The table things does not begin with messy_",
        r"Its models and its migrations differ",
    ],
    "views_answer": [r"GET /messy/first is 500 while the database is empty: \S+__init__.py:49: IndexError"],
    "files_lie_in_its_namespace": [
        r"The template messy_page.html has a name that others may have",
        r"static/leak is a link that leaves",
    ],
}


@pytest.mark.parametrize("check", CHECKS)
def test_check_is_red_on_a_plugin_that_breaks_it(check: str, messy: Findings) -> None:
    """Everything that is wrong is said, with the place, and nothing is said by the checks that it keeps."""
    problems = messy.of(check)

    assert [sentence for sentence in SAID[check] if not any(re.search(sentence, one) for one in problems)] == []
    assert bool(problems) == bool(SAID[check]), problems
    assert not any("a secret" in one for one in problems)
    # Although a thread of it waits for ever, and a page of it never ends.
    assert messy.end == ""


def test_every_check_runs_as_a_test_of_pytest_and_is_green_on_realmon(run_pytest: RunPytest) -> None:
    """Nothing else is collected, and ``-k`` chooses among them."""
    files = {"test_broken.py": "raise AssertionError('it was collected')"}

    result = run_pytest("-v", "--myapp-contract", "realmon", "-k", "not hooks_are_known", files=files)

    assert result.returncode == 0, result.stdout
    passed = re.findall(r"^contract/realmon::(\w+) PASSED", result.stdout, re.MULTILINE)
    assert passed == [check for check in CHECKS if check != "hooks_are_known"]
    assert "12 passed, 1 deselected" in result.stdout


def test_failure_shows_the_sentences_alone(run_pytest: RunPytest) -> None:
    """No traceback of ours; the tests that are named run as well, and a conftest.py that is odd changes nothing."""
    files = {
        "bare.py": (APPS / "bare.py").read_text(encoding="utf-8"),
        "conftest.py": "import pytest\n\n@pytest.fixture(autouse=True)\ndef app():\n    return None\n",
        "test_own.py": "def test_own():\n    pass\n",
    }
    result = run_pytest("--myapp-contract", "./bare.py", "test_own.py", files=files)

    assert result.returncode == 1
    assert "* There is no __plugin__ in" in result.stdout
    assert "* myapp_blueprint is not a hook. Did you mean myapp_blueprints?" in result.stdout
    assert "Traceback" not in result.stdout
    assert "contract/bare.py::manifest_is_valid" in result.stdout
    assert re.search(r"\d+ failed, \d passed", result.stdout)


def test_plugin_for_one_app_with_a_hidden_setting_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second app shows that it keeps state; the setting is missed although the environment has it."""
    monkeypatch.setenv("MYAPP_PLUGIN_ONCE__KEY", "given")

    findings = probe("once.py", "boots_with_default_config", "builds_twice")

    assert "KeyError: 'key'" in findings.of("boots_with_default_config")[0]
    (problem,) = findings.of("builds_twice")
    assert "The first app serves it, and the second one does not." in problem
    assert "once.py:10" in problem


def test_plugin_that_fails_when_it_is_ready_is_red() -> None:
    """Its pages are there, and what it promised to start is not."""
    findings = probe("late.py", "boots_with_default_config", "views_answer")

    (problem,) = findings.of("boots_with_default_config")
    assert "late.py:5: RuntimeError: it cannot start" in problem
    assert findings.of("views_answer") == []


@pytest.mark.parametrize("critical", ["True", "False"])
def test_plugin_that_asks_for_a_setting_says_so(critical: str, tmp_path: Path) -> None:
    """The app boots without it, or a critical plugin stops it; what needs the plugin says how to give the setting."""
    text = (APPS / "asking.py").read_text(encoding="utf-8")
    (tmp_path / "asking.py").write_text(text.replace('"config"', f'"critical": {critical}, "config"'), encoding="utf-8")

    findings = run_probe(resolve(str(tmp_path / "asking.py")), ["boots_with_default_config", "builds_twice"])

    assert findings.of("boots_with_default_config") == []
    assert "set it in the environment of pytest" in findings.of("builds_twice")[0]


def test_plugin_that_ends_the_process_fails_the_check_that_ran() -> None:
    """With what it said last; the checks before it count, those after it say that they were not reached."""
    findings = probe("exiting.py", "manifest_is_valid", "import_has_no_side_effects", "builds_twice")

    assert findings.of("manifest_is_valid") == []
    assert findings.of("import_has_no_side_effects") == ["The process ended with status 3.\na last word"]
    assert findings.of("builds_twice") == [
        "It was not looked at: in import_has_no_side_effects, the process ended with status 3."
    ]


def test_folder_of_a_process_that_ends_itself_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever started it outlives it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    probe("exiting.py", "import_has_no_side_effects")

    assert list(tmp_path.iterdir()) == []


def test_plugin_that_never_ends_fails() -> None:
    """After a time; nobody waits for it for ever."""
    findings = probe("hanging.py", "import_has_no_side_effects", seconds=1.5)

    assert findings.of("import_has_no_side_effects")[0].startswith("It did not come to an end within")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("realmo", r"No plugin is called realmo\. Did you mean realmon\?"),
        ("./nowhere", "There is no plugin at"),
        ("tests/", "There is no plugin at|no folder with an __init__.py"),
    ],
)
def test_plugin_that_is_not_there_is_explained(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to write."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SubjectError, match=message):
        resolve(text)


def test_name_that_is_none_ends_pytest_at_once(run_pytest: RunPytest) -> None:
    """A mistake on the command line, not a failed test."""
    result = run_pytest("--myapp-contract", "realmo", files={"test_own.py": "def test_own():\n    pass\n"})

    assert result.returncode == 4
    assert result.stderr.startswith("ERROR: --myapp-contract: No plugin is called realmo.")
