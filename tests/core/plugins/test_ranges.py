"""Versions and ranges: what is understood without packaging means what packaging says it means."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from myapp.core.plugins.ranges import is_in_range, is_range, is_version

SIGNS = (">=", "<=", "==", "!=", ">", "<")


def some_version(choose: random.Random) -> str:
    return ".".join(str(choose.choice((0, 1, 2, 10))) for _ in range(choose.randint(1, 4)))


def some_range(choose: random.Random) -> str:
    gap = choose.choice(("", " "))
    return f"{gap},{gap}".join(
        f"{choose.choice(SIGNS)}{gap}{some_version(choose)}" for _ in range(choose.randint(1, 3))
    )


def test_plain_ranges_mean_what_packaging_says() -> None:
    choose = random.Random(1)
    cases = [(some_version(choose), some_range(choose)) for _ in range(3000)]
    expected = [SpecifierSet(ranges).contains(Version(version), prereleases=True) for version, ranges in cases]
    assert [is_in_range(*case) for case in cases] == expected
    # Both answers come up, so that the comparison says something.
    assert 300 < sum(expected) < 2700


@pytest.mark.parametrize(
    ("version", "ranges"),
    [
        ("1.4rc1", ">=1.4"),
        ("1.4", "~=1.2"),
        ("1.4.0", "==1.*"),
        ("1!1.0", ">=2"),
        ("1.4.post1", ">1.4"),
        ("2.0.dev3", "<2"),
        ("1.0+local", "==1.0"),
        ("1.4", ">=1,"),
    ],
)
def test_everything_else_is_packagings(version: str, ranges: str) -> None:
    assert is_in_range(version, ranges) is SpecifierSet(ranges).contains(Version(version), prereleases=True)


def test_what_is_no_version_and_no_range() -> None:
    assert [is_version(text) for text in ("1.4.0", "1.4rc1", "1!2", "", "new", "1..2", "1.")] == [
        *(True, True, True),
        *(False, False, False, False),
    ]
    assert [is_range(text) for text in ("", ">=1,<2", "~=1.2", "1.0", ">=", ">=1;<2", "=>1")] == [
        *(True, True, True),
        *(False, False, False, False),
    ]
    assert not is_in_range("new", ">=1")
    # int() refuses more digits than this.
    assert not is_range(">=" + "1" * 5000 + "x")


def test_what_most_manifests_say_imports_nothing() -> None:
    source = (
        "import sys; from myapp.core.plugins.ranges import *;"
        "assert is_version('0.1.0') and is_range('>=1,<2') and is_in_range('1.9.9', '>=1,<2');"
        "sys.exit('packaging' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
