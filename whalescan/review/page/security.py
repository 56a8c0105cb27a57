"""Who may ask: only somebody at this machine who was given the address.

The server listens on the loopback address only. Pages of the web that are open in the same browser can reach that, too, so
the token in the path is secret, names other than this machine's are refused (a name of the web may be made to point here),
and what comes from another page is refused.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

from flask import Request, Response

_THIS_MACHINE = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
"""With any port: a tunnel from another machine ends at one of its own."""
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
class Guard:
    """What every request has to show.

    Attributes:
        token: the first part of every path.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def refusal(self, request: Request) -> tuple[int, str] | None:
        """The status and the reason with which a request is turned away; None for one that may pass."""
        host = request.headers.get("Host", "")
        if not _THIS_MACHINE.fullmatch(host):
            return 403, "only for this machine"
        first = request.path.removeprefix("/").partition("/")[0]
        if not secrets.compare_digest(first.encode(), self.token.encode()):
            return 404, "nothing here"
        if request.method in ("GET", "HEAD"):
            return None
        if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
            return 403, "only from the page itself"
        if request.mimetype != "application/json":
            return 415, "only JSON"
        return None


def seal(response: Response) -> Response:
    """The headers of every answer: nothing from elsewhere, nothing to elsewhere, nothing kept."""
    response.headers.update(_HEADERS)
    return response
