"""Access control of the review page: only a browser on this machine that was given the address.

The server listens on the loopback interface only. Web pages in the same browser can reach it all the same. Therefore the
paths contain a secret token, the app trusts no other host names than this machine's (`TRUSTED_HOSTS`; a public name may be
pointed at 127.0.0.1), and requests from other origins are rejected.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from flask import Request, Response

TRUSTED_HOSTS = ["127.0.0.1", "localhost"]
"""For Flask's setting of that name, which accepts any port: a tunnel from another machine uses one of its own."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class RequestGuard:
    """Checks of every request: its token, its origin and its content type.

    Attributes:
        token: secret first part of every path.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def rejection(self, request: Request) -> tuple[int, str] | None:
        """Return the HTTP status and the reason for rejecting a request, or None to accept it."""
        first_part = request.path.removeprefix("/").partition("/")[0]
        if not secrets.compare_digest(first_part.encode(), self.token.encode()):
            return 404, "not found"
        if request.method in ("GET", "HEAD"):
            return None
        own_origin = f"http://{request.headers.get('Host', '')}"
        if request.headers.get("Origin", own_origin) != own_origin:
            return 403, "requests from other origins are not accepted"
        if request.mimetype != "application/json":
            return 415, "expected a JSON request"
        return None


def add_security_headers(response: Response) -> Response:
    """Add the security headers of every response: same-origin content only, no referrer, no caching."""
    response.headers.update(_HEADERS)
    return response
