"""HTTP server of the review page, from opening the port to the end of the review."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.serving import WSGIRequestHandler, make_server

from whalescan.core import UsageError
from whalescan.review.page.app import ReviewDefaults, make_app
from whalescan.review.page.security import RequestGuard
from whalescan.review.page.session import ReviewSession

_HOST = "127.0.0.1"
_POLL_S = 0.5
"""Interval of checks for the end: on some systems Ctrl-C does not interrupt a longer wait."""


class _SilentRequestHandler(WSGIRequestHandler):
    """Request handler without an access log: the paths contain the secret token."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug names it
        """Discard the message."""


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Address of the page."""

    port: int
    token: str

    @property
    def url(self) -> str:
        """URL to open in a browser."""
        return f"http://{_HOST}:{self.port}/{self.token}/"


def serve(session: ReviewSession, defaults: ReviewDefaults, port: int, on_ready: Callable[[PageAddress], None]) -> None:
    """Serve the page until somebody presses Finish on it, or Ctrl-C in the terminal.

    Args:
        session: the run under review.
        defaults: initial reviewer and queue options.
        port: 0 for a free one.
        on_ready: called with the address as soon as the server answers.

    Raises:
        UsageError: when the port is in use.
    """
    guard, is_finished = RequestGuard(), threading.Event()
    app = make_app(session, defaults, guard, is_finished.set)
    with _open_socket(port) as listener:
        server = make_server(_HOST, port, app, threaded=True, request_handler=_SilentRequestHandler, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, name="review")
    thread.start()
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end a review
            on_ready(PageAddress(server.port, guard.token))
            while not is_finished.wait(_POLL_S):
                pass
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _open_socket(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except (OSError, OverflowError) as error:
        raise UsageError(f"port {port}: cannot be opened ({error}); leave it out to use a free one") from error
