"""Chromium of the system, driven by Playwright: what only a browser can tell about a page."""

from __future__ import annotations

import os
import typing as t
from contextlib import contextmanager
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

Scheme = t.Literal["light", "dark"]

CHROMIUM = Path("/usr/bin/chromium")
INSTALL = "apt-get install chromium (Debian); no other browser is looked for."
#: Nothing but the page is asked for.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LISTEN = """
document.addEventListener("securitypolicyviolation", event =>
    console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""


# Not of the session: while it is open, Playwright's event loop runs in this thread, and `async def` views could not.
@pytest.fixture
def chromium() -> Iterator[Browser]:
    """Return a browser; at home the test is skipped without it, in CI it fails."""
    if not CHROMIUM.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"There is no Chromium: {INSTALL}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def open_page(
    browser: Browser, url: str, *, width: int, scheme: t.Literal["light", "dark"] = "light"
) -> Iterator[Page]:
    """Open ``url`` in a window of ``width`` pixels, under the policy that it comes with.

    :raises AssertionError: at the end of the block, when the page had an error, or violated the policy.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.add_init_script(LISTEN)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(f"{request.url}: {request.failure}"))
    page.on("response", lambda answer: errors.append(f"{answer.url}: {answer.status}") if not answer.ok else None)
    try:
        answer = page.goto(url)
        assert answer is not None
        assert "content-security-policy" in answer.headers
        yield page
        assert errors == []
    finally:
        context.close()
