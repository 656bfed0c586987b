"""The security headers of each kind of reply. No other module sets them, except for `app.asgi.route`.

They follow OWASP's cheat sheets on REST security and HTTP headers. Strict-Transport-Security is left to the TLS proxy.
"""

import base64
import hashlib
from collections.abc import Collection

from app.asgi.route import NOSNIFF

_POLICY = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}

_OWN = dict.fromkeys(("script-src", "style-src", "connect-src", "worker-src"), "'self'") | {"img-src": "'self' data:"}

PAGE_FILE = {"Content-Security-Policy": "default-src 'none'; script-src 'self'; frame-ancestors 'none'"}
"""The headers of the files of a page. With this policy, the script of a worker can import other scripts."""

_PAGE_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_DEFAULT_HEADERS = (
    NOSNIFF,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def drawing_page(*, base: bool) -> dict[str, str]:
    """Return the headers of the drawing page, which alone may use the camera. `base`: as for `own_files`."""
    return own_files(base=base) | {"Permissions-Policy": "camera=(self), geolocation=(), microphone=()"}


def own_files(*, base: bool) -> dict[str, str]:
    """Return the headers of a page that runs only the service's own files. `base`: whether it has a `<base>` element.

    Figures that need an API key are `data:` URLs, which the page's script makes.
    """
    return _page(_OWN | ({"base-uri": "'self'"} if base else {}))


def model_card(script: str) -> dict[str, str]:
    """Return the headers of the model card, which runs this script and no other, whatever the card contains."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _page({"script-src": f"'sha256-{digest}'", "style-src": "'self'", "img-src": "'self'"})


def api_docs() -> dict[str, str]:
    """Return the headers of Swagger UI, which writes style attributes and draws its icons from data URLs."""
    return _page(_OWN | {"style-src": "'self' 'unsafe-inline'"})


def with_defaults(headers: Collection[tuple[bytes, bytes]]) -> Collection[tuple[bytes, bytes]]:
    """Return a reply's headers and the default ones: it may load nothing, and caches keep it only with an ETag."""
    names = {name.lower() for name, _ in headers}
    completed = [*headers, *(header for header in _DEFAULT_HEADERS if header[0] not in names)]
    if b"cache-control" not in names:  # a cache may keep a reply with an ETag, but must revalidate it
        completed.append((b"cache-control", b"no-cache" if b"etag" in names else b"no-store"))
    return completed


def _page(policy: dict[str, str]) -> dict[str, str]:
    content = "; ".join(f"{name} {value}" for name, value in (_POLICY | policy).items())
    return _PAGE_HEADERS | {"Content-Security-Policy": content}
