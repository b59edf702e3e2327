"""What docs/access.md has for views that trust what browsers send by themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Blueprint, Flask

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "access.md").read_text(encoding="utf-8")
OWN, OTHER = "http://localhost", "http://evil.example"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Sec-Fetch-Site": "cross-site"}, 200),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Origin": OTHER}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": OWN}, 200),
        ("DELETE", {"Sec-Fetch-Site": "none"}, 200),
        # By http and to another host than localhost, browsers send the second header alone.
        ("POST", {"Origin": OTHER}, 403),
        ("DELETE", {"Origin": "null"}, 403),
        ("POST", {"Origin": OWN}, 200),
        ("POST", {}, 200),
    ],
)
def test_example_refuses_other_sites(method: str, headers: dict[str, str], status: int) -> None:
    [code] = re.findall(r"```python\n(from urllib.*?)```", TEXT, re.DOTALL)
    blueprint = Blueprint("form", __name__)
    exec(code, {"blueprint": blueprint})
    blueprint.add_url_rule("/", "index", lambda: "", methods=["GET", "POST", "DELETE"])
    app = Flask(__name__)
    app.register_blueprint(blueprint)

    assert app.test_client().open("/", method=method, headers=headers).status_code == status
