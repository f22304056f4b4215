"""uvicorn with bounds on connections: how many, and how long a request may take to come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gated.serve.bounds import Application, Bounds

GRACE = 5.0
"""Seconds beyond its time after which a connection is cut."""


def create_server(
    application: Application,
    bounds: Bounds,
    drain: Callable[[], Awaitable[None]] | None = None,
    messages: type[asyncio.Protocol] | None = None,
    most_of_a_message: int = 0,
) -> uvicorn.Server:
    """Return a server within bounds.

    Args:
        application: in ASGI.
        bounds: of its connections.
        drain: awaited before connections are closed.
        messages: the protocol of WebSockets; None where there are none.
        most_of_a_message: bytes of one of their messages.
    """

    class Requests(_Requests):
        pass

    Requests.bounds = bounds
    config = uvicorn.Config(
        application,
        http=Requests,
        ws=messages or "none",
        ws_max_size=most_of_a_message,
        ws_per_message_deflate=False,  # a small message cannot become a large one
        proxy_headers=False,  # whoever asks could claim any address
        server_header=False,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return _Server(config, drain)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]] | None) -> None:
        super().__init__(config)
        self.drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        try:
            if self.drain is not None:
                await self.drain()
        finally:
            await super().shutdown(sockets)


class _Requests(H11Protocol):
    """Cuts a connection on which the next request takes too long to come, or to be answered."""

    bounds: Bounds
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            transport.abort()
        else:
            self._begin()

    def _begin(self) -> None:
        self._end()
        seconds = self.bounds.seconds + GRACE
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def on_response_complete(self) -> None:
        self._begin()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._end()
        super().handle_websocket_upgrade(event)
