"""What a plugin says of itself is read from its text, and everything that is wrong with it is said at once."""

from __future__ import annotations

import os
import py_compile
import typing as t

import pytest

from myapp.core.errors import PluginError
from myapp.core.plugins import get_report
from myapp.core.plugins.manifest import check_manifest, read_manifest
from myapp.core.plugins.settings import check_rules

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"


def read(tmp_path: Path, text: str | bytes) -> t.Any:
    file = tmp_path / "shop.py"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_manifest(file)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Each with its own line; what is right is known all the same."""
    text = """
__plugin__ = {
    "nam": "shop",
    "version": "one",
    "summary": compute(),
    "requires": ["accounts"],
    "after": "theme",
    "before": ["ok", 3],
    "mount": "/a b",
    "app": "1.0",
    "critical": True,
    "critical": True,
    "api": True,
    "config": {"Size": {}, "size": {"type": "integer", "hlep": ""}, "low": {"type": "int", "min": 3, "max": 2}},
}
"""
    manifest = read(tmp_path, text)

    summary = manifest.problem.summary
    for line, part in (
        (3, "'nam' is not a key of it. Did you mean name?"),
        (4, "'version' has 'one', which is no version"),
        (5, "'summary': its value is not a literal."),
        (6, "'requires' is a list. Write"),
        (7, "'after' is a str."),
        (8, "'before' is to be a list of names."),
        (9, "'mount' is no path."),
        (10, "'app' has '1.0', which is no range"),
        (12, "'critical' is there twice."),
        (13, "'api' is a bool."),
        (14, "'Size': a setting is called like"),
        (14, "its type 'integer' is not one of"),
        (14, "Did you mean help?"),
        (14, "its min 3 is more than its max 2."),
    ):
        assert f"shop.py:{line}: __plugin__: " in summary
        assert part in summary, part
    assert manifest.values == {"critical": True}
    assert manifest.is_critical is True


@pytest.mark.parametrize(
    ("text", "is_critical", "code"),
    [
        ("", None, None),
        ("x = 1", None, None),
        ("__plugin__ = {}", False, None),
        ("__plugin__: dict = {'critical': True}", True, None),
        ("__plugin__ = {'critical': False}", False, None),
        ("__plugin__ = dict(critical=True)", None, "manifest-invalid"),
        ("__plugin__ = ['critical']", None, "manifest-invalid"),
        ("__plugin__ = None", None, "manifest-invalid"),
        ("__plugin__ = {**others}", None, "manifest-invalid"),
        ("__plugin__ = {'critical': sure()}", True, "manifest-invalid"),
        ("__plugin__ = {'critical': 1}", True, "manifest-invalid"),
        ("__plugin__ = {'name': f()}", False, "manifest-invalid"),
        ("__plugin__ = {[]: 1}", None, "manifest-invalid"),
        ("__plugin__ = {'config': {[]: 1}}", False, "manifest-invalid"),
        ("__plugin__ = {'name': 'a'}\n__plugin__ = {'name': 'b'}", False, "manifest-invalid"),
        ("def (:", None, "syntax-error"),
        (b"\x00", None, "syntax-error"),
        (b"# -*- coding: nothing -*-", None, "syntax-error"),
        ("__plugin__ = " + "[" * 300 + "]" * 300, None, "syntax-error"),
        ("__plugin__ = {'summary': " + "-" * 20_000 + "1}", None, "syntax-error"),
    ],
)
def test_what_can_be_known(text: str | bytes, is_critical: bool | None, code: str | None, tmp_path: Path) -> None:
    """None is no answer: then what was known before counts. Whoever says `critical` in a wrong way meant it."""
    manifest = read(tmp_path, text)

    assert manifest.is_critical is is_critical
    assert (manifest.problem and manifest.problem.code) == code


@pytest.mark.parametrize(
    "entry",
    [
        '"mount": "/\\ud800"',
        '"summary": "\\udce9"',
        '"config": {"color": {"choices": ["red", "\\ud800"]}}',
        '"config": {"color": {"help": "\\0"}}',
    ],
)
def test_text_that_nobody_can_be_told_is_refused(entry: str, tmp_path: Path) -> None:
    """Half of a character, or NUL, wherever it stands: no terminal and no JSON takes it."""
    manifest = read(tmp_path, f"__plugin__ = {{{entry}}}")

    assert "has NUL or half of a character" in manifest.problem.summary
    assert manifest.values == {}


def test_file_that_cannot_be_read_is_no_syntax_error(tmp_path: Path) -> None:
    """A folder in its place, a link to nowhere."""
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")

    problem = read_manifest(tmp_path / "gone.py").problem

    assert problem is not None
    assert problem.code == "import-failed"
    assert "FileNotFoundError" in problem.summary


@pytest.mark.parametrize("manifest", [None, [], "x", 3])
def test_manifest_of_an_object_is_checked(manifest: t.Any, make_plugin_app: MakeApp) -> None:
    """Also one that is no dict at all."""
    plugin = type("Shop", (), {"__plugin__": manifest, "name": "shop"})()

    [report] = get_report(make_plugin_app(wanted=[plugin]))

    assert report.problem is not None
    assert (report.name, report.problem.code) == ("shop", "manifest-invalid")
    assert check_manifest(manifest)[0] == {}


@pytest.mark.parametrize(
    "text", ["if True:\n    __plugin__ = {'name': 'shop'}\n", "from collections import OrderedDict as __plugin__\n"]
)
def test_manifest_that_only_the_import_would_show_is_refused(
    text: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """It says things that have to be known before."""
    [report] = get_report(make_plugin_app(make_folder("plugins", {"shop.py": text})))

    assert report.problem is not None
    assert report.problem.code == "manifest-invalid"
    assert "read before the import" in report.problem.summary


@pytest.mark.parametrize(
    "text", ["if True:\n    __plugin__ = {'critical': True}\n", "__plugin__ = {}\n__plugin__['critical'] = True\n"]
)
def test_plugin_that_is_critical_only_when_imported_refuses(
    text: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """Skipping it would leave open what it guards, the day it cannot be imported."""
    with pytest.raises(PluginError) as caught:
        make_plugin_app(make_folder("plugins", {"shop.py": text}))

    assert caught.value.is_critical


def test_plugin_without_a_manifest_is_served_and_flagged(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """And one without any hook says that it serves nothing."""
    hook = "def myapp_configure(app, plugin):\n    pass\n"
    files = {"one.py": hook, "two.py": "__plugin__ = {}\n", "three.py": f"__plugin__ = {{}}\n{hook}"}

    reports = {report.name: report for report in get_report(make_plugin_app(make_folder("plugins", files)))}

    assert {report.state for report in reports.values()} == {"active"}
    assert reports["one"].reason == "It has no manifest."
    assert "none of the hooks" in reports["two"].reason
    assert reports["three"].reason == ""


def test_newer_api_is_incompatible(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """With both versions; nothing is imported."""
    folder = make_folder("plugins", {"shop.py": "__plugin__ = {'api': 2}\n1/0\n"})

    [report] = get_report(make_plugin_app(folder))

    assert (report.state, report.problem and report.problem.code) == ("incompatible", "api-version")
    assert report.problem is not None
    assert "version 2" in report.problem.summary
    assert "has 1" in report.problem.summary


def test_manifest_of_an_installed_package_lies_around_its_entry(
    fake_dist: Callable[..., Path], make_plugin_app: MakeApp
) -> None:
    """In the module that the entry point names, or in a package around it; nothing is imported for it."""
    files = {
        "acme_shop/__init__.py": "__plugin__ = {'version': '7.1', 'app': '>=99'}\nraise AssertionError",
        "acme_shop/deep/__init__.py": "raise AssertionError",
        "acme_shop/deep/entry.py": "raise AssertionError",
    }
    fake_dist("acme-shop", "1.0", "[myapp.plugins]\nshop = acme_shop.deep.entry:Plugin\n", files)

    [report] = get_report(make_plugin_app())

    assert (report.state, report.version, report.origin) == ("incompatible", "7.1", "acme-shop 1.0")
    assert report.file.endswith("acme_shop/deep/entry.py")


@pytest.mark.parametrize("name", ["__plugins__", "_plugin_", "__plugin", "__pulgin__"])
def test_a_misspelt_manifest_is_one(name: str, make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Also when Python has compiled it: what it says counts, so that a security plugin does not fail open."""
    folder = make_folder("plugins", {"guard.py": f"{name} = {{'name': 'guard', 'critical': True}}\n"})
    py_compile.compile(str(folder / "guard.py"))

    with pytest.raises(PluginError, match=r"guard\.py:1: __plugin__: .*Call it __plugin__") as caught:
        make_plugin_app(folder)

    assert caught.value.is_critical


@pytest.mark.parametrize(
    "text", ["_plugin = {'name': 1}", "PLUGIN = {'name': 1}", "__plugins__ = {'a': 1}", "__manifest__ = {'name': 1}"]
)
def test_what_only_looks_like_a_manifest_is_none(text: str, make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    [report] = get_report(make_plugin_app(make_folder("plugins", {"shop.py": f"{text}\n"})))

    assert (report.state, report.reason) == (
        "active",
        "It serves nothing: it has none of the hooks; docs/plugins-reference.md lists them.",
    )


@pytest.mark.parametrize("mount", ["http://x/y", "../..", "/a/./b", "/a b", "/a?b"])
def test_mounts_that_are_no_path(mount: str) -> None:
    assert [sentence for _, sentence in check_manifest({"mount": mount})[1]] == ["'mount' is no path."]


DIGITS = "1" * 5000


@pytest.mark.parametrize(
    "manifest",
    [
        f"{{'version': '{DIGITS}'}}",
        f"{{'app': '>=0.{DIGITS}'}}",
        f"{{'requires': {{'good': '>={DIGITS}'}}}}",
        f"{{0x{'f' * 5000}: 1}}",
        f"{{'api': 0x{'f' * 5000}}}",
        f"{{'config': {{0x{'f' * 5000}: {{}}}}}}",
        f"{{'csp': {{0x{'f' * 5000}: []}}}}",
    ],
    ids=["version", "app", "requires", "key", "api", "config", "csp"],
)
def test_numbers_without_end(manifest: str, make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Python refuses to read or write them; that is the problem of one plugin, which can be turned off."""
    folder = make_folder("plugins", {"odd.py": f"__plugin__ = {manifest}\n", "good.py": ""})

    reports = {report.name: report for report in get_report(make_plugin_app(folder))}

    assert reports["good"].state == "active"
    assert reports["odd"].problem is not None
    off = {report.name: report.state for report in get_report(make_plugin_app(folder, MYAPP_PLUGINS_DISABLED="odd"))}
    assert off == {"good": "active", "odd": "disabled"}


def test_version_that_is_none_meets_no_requirement(
    fake_dist: Callable[..., Path], make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """A distribution may call its versions as it likes; who requires a range of it is told."""
    fake_dist("odd", "2024-final!", "[myapp.plugins]\nodd = odd_module\n", {"odd_module.py": ""})
    folder = make_folder("plugins", {"shop.py": "__plugin__ = {'requires': {'odd': '>=1'}}\n"})

    reports = {report.name: report for report in get_report(make_plugin_app(folder))}

    assert reports["odd"].state == "active"
    assert reports["shop"].state == "missing-dependency"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"type": "int", "default": "x"}, "default is not of the type int"),
        ({"type": "int", "default": True}, "default is not of the type int"),
        ({"type": "int", "min": 5, "default": 1}, "default does not pass: it is to be 5 or more"),
        ({"type": "str", "min": 5}, "min and max are for int and float"),
        ({"type": "str", "choices": []}, "its choices are no list"),
        ({"type": "str", "choices": ["a", 1]}, "its choices are no list"),
        ({"type": "str", "choices": ["a"], "default": "b"}, "it is to be one of a"),
        ({"type": "list", "default": [1]}, "default is not of the type list"),
        ({"type": "list", "choices": ["a"], "default": ["b"]}, "it is to be one of a"),
        ({"required": True, "default": "x"}, "required and has a default"),
        ({"required": "yes"}, "its required is a str"),
        ({"secret": 1}, "its secret is a int"),
        ({"help": 1}, "its help is a int"),
        ({"type": 1}, "its type is a int"),
        ({"min": "1"}, "its min is a str"),
        ({"defualt": 1}, "Did you mean default?"),
        ("int", "its rule is a str, not a dict"),
    ],
)
def test_rules_of_settings_are_checked(rule: t.Any, says: str) -> None:
    """Each in a sentence."""
    [(key, sentence)] = check_rules({"size": rule})

    assert key == "size"
    assert says in sentence


@pytest.mark.parametrize("key", ["Size", "page__size", "page_", "_page", "9", "key_file", 3])
def test_names_of_settings_are_checked(key: t.Any) -> None:
    """What ends in _file names a file with the value; two underscores separate the plugin from its setting."""
    [(found, sentence)] = check_rules({key: {}})

    assert found == key
    assert "lower case" in sentence or "names a file" in sentence


SHAPES = [
    "__plugin__ = {'name': 'shop', 'critical': True}\nrest = 1\n",
    "__plugin__ = {\n    'name': 'shop',\n\n    'critical': True,\n}\nrest = {\n}\n",
    "__plugin__: dict = {\n    'config': {\n        'a': {},\n    },\n    'critical': True,\n}  # the end\n",
    "__plugin__ = (\n    {'critical': True}\n)\n",
    "__plugin__ = {'critical': \\\n True}\n",
    "x = 1; __plugin__ = {'critical': True}\n",
    "__plugin__ = {\r\n    'critical': True,\r\n}\r\nrest = 1\r\n",
    '"""How it is written:\n\n__plugin__ = {\n    "critical": False,\n}\n"""\nx = 1\n',
    '"""\n__plugin__ = {"critical": False}\n"""\n__plugin__ = {"critical": True}\n',
    "__plugin__ = {'critical': True}\n__plugin__ = {'critical': False}\n",
    "__plugin__ = {'critical': True}\n__plugin__['critical'] = False\n",
    "def f():\n    __plugin__ = {'critical': True}\n",
    "rest = 1\n",
    "__plugin__ = {\n'critical': True}\nrest = {\n}\n",
    "__plugin__ = {\n    'summary': '''\n}\n''', 'critical': True,\n}\n",
    "# -*- coding: latin-1 -*-\n__plugin__ = {'summary': '\xe4', 'critical': True}\n",
]


@pytest.mark.parametrize("text", SHAPES, ids=range(len(SHAPES)))
def test_text_that_was_compiled_before_says_the_same(text: str, tmp_path: Path) -> None:
    """Only the beginning of it is read then; however the manifest is written."""
    file = tmp_path / "shop.py"
    file.write_bytes(text.encode("latin-1"))
    before = read_manifest(file)

    py_compile.compile(str(file), doraise=True)

    assert read_manifest(file) == before


def test_change_after_it_was_compiled_is_seen(tmp_path: Path) -> None:
    """A text of another length or time is read to its end."""
    file = tmp_path / "shop.py"
    file.write_text("__plugin__ = {'critical': True}\nx = 1\n")
    py_compile.compile(str(file), doraise=True)

    file.write_text("__plugin__ = {'critical': True}\nx = (\n")
    os.utime(file, (1, 1))

    problem = read_manifest(file).problem
    assert problem is not None
    assert problem.code == "syntax-error"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import functools\nmyapp_ready = functools.partial(print)\n", "myapp_ready is a partial and not a function."),
        ("async def myapp_configure(app, plugin):\n    pass\n", "myapp_configure is async"),
    ],
)
def test_hook_that_would_never_run_is_a_problem(
    text: str, says: str, make_folder: MakeFolder, make_plugin_app: MakeApp
) -> None:
    """It would be ignored in silence."""
    [report] = get_report(make_plugin_app(make_folder("plugins", {"shop.py": text})))

    assert report.problem is not None
    assert report.problem.code == "hook-unknown"
    assert says in report.problem.summary
