"""Content Security Policy (https://www.w3.org/TR/CSP3/): the default, and what a plugin may add for its own pages."""

from __future__ import annotations

import re
import typing as t
from types import MappingProxyType

from .config import did_you_mean

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Sources: t.TypeAlias = Mapping[str, list[str]]

DEFAULTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "default-src": ("'self'",),
        "script-src": ("'self'",),
        "style-src": ("'self'",),
        # The empty icon of the base template is a data: URL.
        "img-src": ("'self'", "data:"),
        "object-src": ("'none'",),
        "base-uri": ("'none'",),
        "frame-ancestors": ("'none'",),
        "form-action": ("'self'",),
    }
)
#: What a browser looks at where a directive is not given, if it is not default-src.
FALLBACKS: Mapping[str, str] = MappingProxyType(
    {
        "script-src-elem": "script-src",
        "script-src-attr": "script-src",
        "style-src-elem": "style-src",
        "style-src-attr": "style-src",
    }
)
DIRECTIVES = (
    *DEFAULTS,
    *FALLBACKS,
    "child-src",
    "connect-src",
    "font-src",
    "frame-src",
    "manifest-src",
    "media-src",
    "worker-src",
)
#: Where a nonce counts.
WITH_NONCE = ("script-src", "script-src-elem", "style-src", "style-src-elem")
#: Where a source of this kind would be code.
CODE = ("default-src", "script-src", "script-src-elem", "script-src-attr", "worker-src", "object-src", "base-uri")

HOST = re.compile(
    r"""((https?|wss?)://)?                              # a scheme
        (\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?             # a name, or all names below one
        (\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*
        (:([0-9]{1,5}|\*))?
        (/[A-Za-z0-9._~!$&()+=:@%/-]*)?""",
    re.VERBOSE | re.IGNORECASE,
)
HASH = re.compile(r"'sha(256|384|512)-[A-Za-z0-9+/_-]+={0,2}'")
KEYWORDS = ("'self'", "'wasm-unsafe-eval'", "'report-sample'")
SCHEMES = ("data:", "blob:")


class ContentPolicy:
    """The policy of the pages of one owner.

    :param added: sources on top of the default ones, by directive.
    """

    def __init__(self, added: Sources = MappingProxyType({})) -> None:
        merged: dict[str, tuple[str, ...]] = dict(DEFAULTS)
        for directive, sources in added.items():
            base = DEFAULTS.get(FALLBACKS.get(directive, directive), DEFAULTS["default-src"])
            kept = () if base == ("'none'",) else base
            merged[directive] = tuple(dict.fromkeys((*kept, *sources)))
        self._text = "; ".join(f"{directive} {' '.join(sources)}" for directive, sources in merged.items())
        self._with_nonce = "; ".join(
            f"{directive} {' '.join(sources)}{' NONCE' if directive in WITH_NONCE else ''}"
            for directive, sources in merged.items()
        )

    def render(self, nonce: str | None = None) -> str:
        """Return the value of the header; with ``nonce`` for scripts and sheets that stand in the page."""
        return self._text if nonce is None else self._with_nonce.replace("NONCE", f"'nonce-{nonce}'")


def iter_policy_problems(added: Mapping[t.Any, t.Any]) -> Iterator[str]:
    """Yield a sentence for each directive and source that a plugin cannot add."""
    for directive, sources in added.items():
        if directive not in DIRECTIVES:
            yield f"{directive!r} is not a directive of it.{did_you_mean(str(directive), list(DIRECTIVES))}"
        elif not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
            yield f"{directive} is not a list of texts."
        else:
            yield from (f"{directive}: {wrong}" for source in sources if (wrong := _objection(directive, source)))


def _objection(directive: str, source: str) -> str:
    if source in KEYWORDS or HASH.fullmatch(source):
        return ""
    if source in ("*", "http:", "https:", "ws:", "wss:"):
        return f"{source} lets everything in. Name the origins: https://cdn.example.com."
    if source in SCHEMES:
        return f"{source} would be code from anywhere. Serve it as a file." if directive in CODE else ""
    if source.startswith("'"):
        return (
            f"{source} cannot be added for all pages. For a script or a sheet in the page write"
            ' nonce="{{ csp_nonce() }}"; a view that cannot do without sets the header itself.'
        )
    if not HOST.fullmatch(source):
        return f"{source!r} is not a source, such as https://cdn.example.com."
    return ""
