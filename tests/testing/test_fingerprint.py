"""What two apps are compared by."""

from __future__ import annotations

import gc
import typing as t

from flask import request_started

from myapp.testing.fingerprint import differences, fingerprint, process_fingerprint

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from myapp import CustomFlask


def connect_and_forget() -> None:
    """Connect a receiver that is part of a cycle, as the functions of a module are."""

    def heard(sender: t.Any, **extra: t.Any) -> None:
        heard.cycle = heard  # type: ignore[attr-defined]

    heard(None)
    request_started.connect(heard)


def test_what_nobody_has_any_more_does_not_count(make_app: Callable[..., CustomFlask]) -> None:
    """Python looks for it at any time: two fingerprints would differ by what somebody else has left."""
    app = make_app()
    before, process = fingerprint(app), process_fingerprint()
    gc.disable()
    try:
        connect_and_forget()
        of_app = fingerprint(app)
        connect_and_forget()
        of_process = process_fingerprint()
    finally:
        gc.enable()

    assert differences(before, of_app) == []
    assert differences(process, of_process) == []
