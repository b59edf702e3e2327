"""What a browser makes of the headers and of the navigation."""

from __future__ import annotations

import types
import typing as t

import pytest
from flask import render_template_string
from markupsafe import Markup

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser

    from myapp import CustomFlask
    from myapp.testing.servers import LiveServer

PAGE = """
{% extends "base.html" %}
{% block head %}<style nonce="{{ csp_nonce() }}">h1 { color: rgb(1, 2, 3) }</style>{% endblock %}
{% block content %}<h1>Page</h1>
<script nonce="{{ csp_nonce() }}">document.title = "ours"</script>
<script>document.title = "injected"</script>
<style>h1 { color: rgb(9, 9, 9) }</style>
{% endblock %}
"""


@pytest.mark.live
def test_a_page_runs_what_has_its_nonce(
    chromium: Browser, make_app: Callable[..., CustomFlask], live_server: Callable[[CustomFlask], LiveServer]
) -> None:
    """And nothing else; the links that plugins add to the navigation fit a window of 400 pixels."""
    module = types.ModuleType("links")
    links = Markup("").join(Markup('<a href="/{0}">A page of plugin {0}</a>').format(number) for number in range(8))
    module.__dict__["myapp_slot"] = lambda name: links if name == "nav" else None
    app = make_app(module)
    app.add_url_rule("/page", "page", lambda: render_template_string(PAGE))

    page = chromium.new_page(viewport={"width": 400, "height": 700})
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(f"{live_server(app).url}/page")

    assert page.title() == "ours"
    assert page.locator("h1").evaluate("node => getComputedStyle(node).color") == "rgb(1, 2, 3)"
    assert len([text for text in refused if "Content Security Policy" in text]) == 2, refused
    assert page.locator("nav a").count() == 9
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
