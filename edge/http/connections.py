"""The bound on open connections, which uvicorn has for requests only."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 128
FIRST_REQUEST_S = 10.0


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, for `MAX_CONNECTIONS` clients at a time.

    Every connection takes a file descriptor, which cameras and state need too. One that has not
    asked for anything after `FIRST_REQUEST_S` is closed, and any that waits for its next request
    where its place is needed: idle clients cannot keep out one that asks.
    """

    made_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.made_s = self.loop.time()
        if len(self.connections) >= MAX_CONNECTIONS:
            idle = [c for c in self.connections if isinstance(c, BoundedProtocol) and c.is_idle]
            if not idle:
                self.transport: Any = transport
                transport.abort()
                return
            oldest = min(idle, key=lambda connection: connection.made_s)
            self.connections.discard(oldest)
            oldest.transport.abort()
        super().connection_made(transport)
        self.loop.call_later(FIRST_REQUEST_S, self._close_if_silent)

    @property
    def is_idle(self) -> bool:
        """No request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()
