"""What the documentation says is there, and what is there is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from myapp.core.config import FLASK_KEYS, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
#: What git does not know, or what is written by tools.
IGNORED = {".git", ".venv", ".ci-cache", "__pycache__", "build", "dist", "instance", ".env"}
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAXIMUM_LINES = 600
README_LINES = 120
#: Marks of unfinished work, and the folders of one particular machine. Spelt in halves, so that this file may stay.
FORBIDDEN = ["TO" + "DO", "FIX" + "ME", "/work" + "/", "/root" + "/"]


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("**/*.md"))]


def is_ignored(path: Path) -> bool:
    """Whether a file is none of the project's."""
    parts = path.relative_to(ROOT).parts
    return (
        bool(IGNORED & set(parts))
        or any(part.endswith((".egg-info", "_cache")) for part in parts)
        or path.name == ".env"
    )


def count_lines(part: Path) -> int:
    """Return the number of lines of a module, or of all modules of a package."""
    modules = part.rglob("*.py") if part.is_dir() else [part]
    return sum(len(module.read_text(encoding="utf-8").splitlines()) for module in modules)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_python_blocks_compile(page: Path) -> None:
    """Each block of Python in the documentation is Python."""
    text = page.read_text(encoding="utf-8")
    for match in PYTHON_BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        # Blank lines before it: an error names the line of the page.
        compile("\n" * line + match[1], str(page), "exec")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A link to a file of the project names one that exists."""
    targets = re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_setting_is_documented() -> None:
    """docs/configuration.md has one row for each key that is checked, and none for a key that is not."""
    keys = {f"MYAPP_{name.upper()}" for name in Settings.model_fields} | set(FLASK_KEYS)
    rows = re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "configuration.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(keys)


def test_a_long_part_has_its_reason() -> None:
    """docs/architecture.md says in a line of its own why a part of the core has more than 600 lines."""
    architecture = (DOCS / "architecture.md").read_text(encoding="utf-8")
    long = [part.name for part in sorted((ROOT / "myapp" / "core").iterdir()) if count_lines(part) > MAXIMUM_LINES]
    assert [name for name in long if not re.search(rf"^- `{re.escape(name)}/?`: \S", architecture, re.MULTILINE)] == []


def test_the_readme_is_short() -> None:
    """A newcomer reads it to the end."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_nothing_is_unfinished_or_of_one_machine() -> None:
    """No file has a mark of unfinished work or a path that exists on one machine only."""
    found = []
    for path in sorted(ROOT.rglob("*")):
        if path.is_file() and not is_ignored(path):
            content = path.read_bytes()
            # A folder of the project may have the name of one that lies at the root of that machine.
            forbidden = [word for word in FORBIDDEN if re.search(rf"(?<!\w){re.escape(word)}".encode(), content)]
            found += [f"{path.relative_to(ROOT)}: {word}" for word in forbidden]
    assert found == []
