"""Templates and static files of plugins: found by their namespace, and nowhere else."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from flask import render_template
from jinja2 import TemplateNotFound

from myapp.core.errors import PluginError
from myapp.core.plugins import get_report

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask

    from .conftest import MakeFolder

MakeApp: t.TypeAlias = "Callable[..., CustomFlask]"

SHOP = """
from flask import Blueprint, render_template

{name} = Blueprint("{name}", __name__, template_folder="templates", static_folder="static")
{name}.add_url_rule("/", "index", lambda: render_template("{name}/index.html"))
admin = Blueprint("admin", __name__, template_folder="templates", static_folder="static", url_prefix="/admin")


def myapp_blueprints(app, plugin):
    return [{name}, admin]
"""
SLOT = """
from flask import render_template, url_for


def myapp_slot(name):
    return render_template("banner/nav.html") if name == "nav" else None
"""


def files_of(name: str, source: str = SHOP, **files: str) -> dict[str, str]:
    return {
        f"{name}/__init__.py": source.replace("{name}", name),
        f"{name}/templates/{name}/index.html": f"index of {name}",
        f"{name}/static/a.css": f"sheet of {name}",
        **{f"{name}/{path}": text for path, text in files.items()},
    }


def text_of(app: CustomFlask, path: str) -> tuple[int, str]:
    with app.test_client().get(path) as answer:
        return answer.status_code, answer.text


def render(app: CustomFlask, name: str) -> str:
    with app.test_request_context():
        return render_template(name)


def test_a_plugin_has_its_own_files(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Below its mount, with endpoints of its name; those of another plugin beside it."""
    app = make_plugin_app(make_folder("plugins", files_of("shop") | files_of("news")), MYAPP_BLUEPRINT_PREFIXES={})

    for name in ("shop", "news"):
        assert text_of(app, f"/{name}/") == (200, f"index of {name}")
        assert text_of(app, f"/{name}/static/a.css") == (200, f"sheet of {name}")
        assert text_of(app, f"/{name}/admin/static/a.css") == (200, f"sheet of {name}")
        with app.test_request_context():
            assert app.url_for(f"{name}.static", filename="a.css") == f"/{name}/static/a.css"
    assert [report.state for report in get_report(app)] == ["active", "active"]


def test_a_template_outside_is_not_found(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """Neither by its name nor instead of that of another plugin or of the core; it is said, and the plugin served."""
    thief = files_of(
        "thief", **{"templates/page.html": "x", "templates/shop/index.html": "stolen", "templates/home.html": "stolen"}
    )
    app = make_plugin_app(make_folder("plugins", thief | files_of("shop") | files_of("zoo_keeper")))

    assert text_of(app, "/thief/") == (200, "index of thief")
    assert render(app, "shop/index.html") == "index of shop"
    with pytest.raises(TemplateNotFound):
        render(app, "page.html")
    with pytest.raises(TemplateNotFound):
        render(app, "home.htm")
    reports = {report.name: report for report in get_report(app)}
    assert {name: report.state for name, report in reports.items()} == {
        "shop": "active",
        "thief": "degraded",
        "zoo_keeper": "active",
    }
    problem = reports["thief"].problem
    assert problem is not None
    assert problem.code == "template-outside"
    for path in ("templates/page.html", "templates/shop", "templates/home.html"):
        assert path in problem.summary
    assert app.test_client().get("/status").status_code == 404


def test_strict_mode_refuses_templates_outside(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """An author learns it from the first test."""
    folder = make_folder("plugins", files_of("shop", **{"templates/index.html": "x"}))

    with pytest.raises(PluginError, match=r"templates/index\.html") as caught:
        make_plugin_app(folder, strict=True)
    assert caught.value.code == "template-outside"


def test_hidden_files_are_no_templates(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """What tools leave behind is no problem."""
    hidden = {"templates/.DS_Store": "", "templates/__init__.py": "", "templates/empty/.keep": ""}
    folder = make_folder("plugins", files_of("shop", **hidden))
    (folder / "shop" / "templates" / "empty" / ".keep").unlink()

    assert make_plugin_app(folder, strict=True)


def test_a_site_may_replace_a_template(make_folder: MakeFolder, make_plugin_app: MakeApp, tmp_path: Path) -> None:
    """What lies in the app's own folder below the plugin's name comes first."""
    app = make_plugin_app(make_folder("plugins", files_of("shop")))
    assert app.jinja_loader is not None
    own = tmp_path / "site"
    (own / "shop").mkdir(parents=True)
    (own / "shop" / "index.html").write_text("of the site")
    t.cast("t.Any", app.jinja_loader).searchpath.insert(0, str(own))

    assert text_of(app, "/shop/") == (200, "of the site")


@pytest.mark.parametrize("mount", [None, "/"])
def test_a_plugin_without_a_blueprint_has_files_too(
    make_folder: MakeFolder, make_plugin_app: MakeApp, mount: str | None
) -> None:
    """One that fills slots only; at the root its static files have its name."""
    files = files_of(
        "banner", SLOT, **{"templates/banner/nav.html": "{{ url_for('banner.static', filename='a.css') }}"}
    )
    prefixes = {"banner": mount} if mount else {}
    app = make_plugin_app(make_folder("plugins", files), MYAPP_BLUEPRINT_PREFIXES=prefixes, strict=True)

    assert "/banner/static/a.css" in render(app, "base.html")
    assert text_of(app, "/banner/static/a.css") == (200, "sheet of banner")
    assert text_of(app, "/static/myapp.css")[0] == 200


def test_what_lies_beside_a_file_is_not_its_own(make_folder: MakeFolder, make_plugin_app: MakeApp) -> None:
    """A plugin of one file does not serve the folder that it is in."""
    files = {"banner.py": SLOT, "static/a.css": "not its own", "templates/banner/nav.html": "x"}
    app = make_plugin_app(make_folder("plugins", files))

    assert "banner" not in app.blueprints
    assert text_of(app, "/banner/static/a.css")[0] == 404


def test_static_files_stay_inside(make_folder: MakeFolder, make_plugin_app: MakeApp, tmp_path: Path) -> None:
    """No way out by dots, by a link or by a null byte; a link inside is a file like any other."""
    folder = make_folder("plugins", files_of("shop", **{"static/deep/b.css": "deep"}))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.txt").write_text("secret")
    static = folder / "shop" / "static"
    (static / "link.txt").symlink_to(tmp_path / "secret" / "key.txt")
    (static / "folder").symlink_to(tmp_path / "secret")
    (static / "inside.css").symlink_to(static / "a.css")
    app = make_plugin_app(folder)

    assert text_of(app, "/shop/static/inside.css") == (200, "sheet of shop")
    assert text_of(app, "/shop/static/deep/b.css") == (200, "deep")
    for path in (
        "link.txt",
        "folder/key.txt",
        "../__init__.py",
        "..%2f__init__.py",
        "deep/../../__init__.py",
        "%2e%2e/__init__.py",
        "/etc/passwd",
        "a.css%00",
        "nothing.css",
        "deep",
    ):
        status, text = text_of(app, f"/shop/static/{path}")
        assert status in (404, 308), path
        assert "secret" not in text
        assert "import" not in text


def test_a_folder_that_is_a_link_is_served(make_folder: MakeFolder, make_plugin_app: MakeApp, tmp_path: Path) -> None:
    """A checkout that links to the files of another one."""
    folder = make_folder("plugins", files_of("shop"))
    (folder / "shop" / "static").rename(tmp_path / "elsewhere")
    (folder / "shop" / "static").symlink_to(tmp_path / "elsewhere")

    assert text_of(make_plugin_app(folder), "/shop/static/a.css") == (200, "sheet of shop")
