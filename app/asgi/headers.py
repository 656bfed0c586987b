"""Security headers: which kind of reply has which; nothing else sets one.

After OWASP's cheat sheets on REST security and on HTTP headers. Strict-Transport-Security is the proxy's that ends TLS.
"""

import base64
import hashlib

from starlette.types import Message, Send

NOSNIFF = (b"x-content-type-options", b"nosniff")
"""All that an answer to `POST /predict` has: no frame and no cache would take it, and each header costs 0.4 us."""

_POLICY = {"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}

_BROWSED = {
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",  # photos come by a file input, which needs none
    "Cross-Origin-Opener-Policy": "same-origin",
}

_UNLESS_SAID = (
    NOSNIFF,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def page(*, base: bool) -> dict[str, str]:
    """For the drawing page: it runs nothing but its own files. Figures that need a key are `data:`, by its script.

    Args:
        base: whether it has a `<base>`.
    """
    own = {"script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:", "connect-src": "'self'"}
    return _browsed(own | ({"base-uri": "'self'"} if base else {}))


def card() -> dict[str, str]:
    """For the model card: it runs nothing, whatever is written in it."""
    return _browsed({"style-src": "'self'", "img-src": "'self'"})


def docs(script: str) -> dict[str, str]:
    """For Swagger UI, which writes style attributes and draws its icons from data URLs.

    Args:
        script: the one that is written into the page.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _browsed(
        {
            "script-src": f"'self' 'sha256-{digest}'",
            "style-src": "'self' 'unsafe-inline'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
        }
    )


def completing(send: Send) -> Send:
    """`send`, with what every other reply has unless it says otherwise: it loads nothing, and is kept by nobody."""

    async def complete(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            names = {name.lower() for name, _ in headers}
            headers += [header for header in _UNLESS_SAID if header[0] not in names]
            if b"cache-control" not in names:  # what has an ETag can be kept and asked about
                headers.append((b"cache-control", b"no-cache" if b"etag" in names else b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return complete


def _browsed(policy: dict[str, str]) -> dict[str, str]:
    directives = {"default-src": "'none'"} | _POLICY | policy
    return _BROWSED | {"Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in directives.items())}
