"""What commands print of what others have written."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return ``text`` so that it cannot write anywhere else on the terminal: somebody else may have written it."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)
