"""The bound on open connections, which uvicorn has for requests only."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 128
FIRST_REQUEST_S = 10.0


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, for `MAX_CONNECTIONS` clients at a time.

    Every connection takes a file descriptor, which cameras and state need too: one more than that
    is closed at once, and so is one that has not asked for anything after `FIRST_REQUEST_S`.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= MAX_CONNECTIONS:
            self.transport: Any = transport
            transport.abort()
            return
        super().connection_made(transport)
        self.loop.call_later(FIRST_REQUEST_S, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()
