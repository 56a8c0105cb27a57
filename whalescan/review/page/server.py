"""The server: from the address that somebody opens to the end of the review."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.serving import WSGIRequestHandler, make_server

from whalescan.core import UsageError
from whalescan.review.page.app import Wishes, make_app
from whalescan.review.page.security import Guard
from whalescan.review.page.session import Desk

_HOST = "127.0.0.1"
_LOOK_S = 0.5
"""How often to see whether it is over: there are systems on which Ctrl-C wakes nobody who waits for longer."""


class _Handler(WSGIRequestHandler):
    """Tells nobody what was asked: paths hold the token."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug names it
        """Nothing to say."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the page is."""

    port: int
    token: str

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://{_HOST}:{self.port}/{self.token}/"


def serve(desk: Desk, wishes: Wishes, port: int, announce: Callable[[Address], None]) -> None:
    """Serve the page until somebody presses Finish on it, or Ctrl-C where it was started.

    Args:
        desk: what is reviewed.
        wishes: what was asked for.
        port: 0 for one that is free.
        announce: called with the address as soon as it answers.

    Raises:
        UsageError: when the port is taken.
    """
    guard, over = Guard(), threading.Event()
    app = make_app(desk, wishes, guard, over.set)
    with _listening(port) as listener:
        server = make_server(_HOST, port, app, threaded=True, request_handler=_Handler, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, name="review")
    thread.start()
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
            announce(Address(server.port, guard.token))
            while not over.wait(_LOOK_S):
                pass
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except (OSError, OverflowError) as error:
        raise UsageError(f"--port {port}: cannot be had ({error}); leave it out to take a free one") from error
