"""The connection of a stream: a WebSocket on which steps come and predictions go.

server  {"stream": ID, "step": N, "durable": D, "answers": A, "window": W}
client  {"step": N + 1, "x": STEP}
server  {"step": N + 1, "prediction": [...], "durable": D}
server  {"durable": N + 1}
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gated.errors import GatedError
from gated.serve.bounds import Rates, Refusal
from gated.serve.connections import GRACE
from gated.serve.live.sessions import FullError, Session, Sessions
from gated.serve.live.store import UnavailableError

WRONG = 1008
"""Code with which a connection is closed after a message that cannot be used."""
SLOW = 4408
"""Counted where a client does not read. It is sent no reason, which it would not read either."""


class Connection:
    """A client of a stream.

    Args:
        websocket: which was not yet accepted.
        sessions: all streams.
        seconds: in which the client must read what is sent.
        rate: steps a second that are read.
    """

    def __init__(
        self, websocket: WebSocket, sessions: Sessions, seconds: float, rate: float
    ) -> None:
        self.websocket, self.sessions = websocket, sessions
        self.seconds, self.rates = seconds, Rates(rate)
        self._outgoing: deque[str] = deque()
        self._durable = self._said = 0
        """The durable step, and the one that the client was told."""
        self._wake, self._room = asyncio.Event(), asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self.code = 1006

    # What the stream says.

    def answer(self, step: int, prediction: str, durable: int) -> None:
        """Send a prediction, JSON, and which step is durable."""
        self._durable = self._said = durable
        self._send(f'{{"step": {step}, "prediction": {prediction}, "durable": {durable}}}')

    def saved(self, durable: int) -> None:
        """Say which step is durable now, after the answers that wait, which do not know of it."""
        self._durable = durable
        self._wake.set()

    def leave(self, code: int, reason: str) -> None:
        """Send what there is to send, then close."""
        self._closing = self._closing or (code, reason)
        self._wake.set()

    def _send(self, message: str) -> None:
        self._outgoing.append(message)
        self._wake.set()
        self._room.set()

    # What the client says.

    async def serve(self, id: str) -> None:
        """Connect a stream with the client, until either has enough."""
        try:
            session = await self.sessions.connect(id, self)
        except GatedError as error:
            status = 503 if isinstance(error, FullError | UnavailableError) else 409
            response = Refusal(status, str(error)).response()
            await self.websocket.send_denial_response(response)
            return
        greeting = {
            "stream": id,
            "step": session.taken,
            "durable": session.durable,
            "answers": max(session.first, session.answered - self.sessions.window + 1),
            "window": self.sessions.window,
        }
        self._outgoing.appendleft(json.dumps(greeting))
        self._durable = self._said = session.durable
        self._wake.set()
        reading, writing = None, None
        try:
            await self.websocket.accept()
            reading = asyncio.create_task(self._read(session))
            writing = asyncio.create_task(self._write())
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if self._closing and not writing.done():
                await asyncio.wait({writing}, timeout=self.seconds)
        finally:
            tasks = [task for task in (reading, writing) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.sessions.disconnect(session, self)
            self.sessions.metrics.closed.labels(str(self.code)).inc()

    async def _read(self, session: Session) -> None:
        """Take steps, no more than can be answered."""
        window, exchange = self.sessions.window, self.sessions.exchange
        while True:
            while len(session.queue) >= window or len(self._outgoing) >= window:
                self._room.clear()
                await self._room.wait()
            if wait := self.rates.wait(""):
                await asyncio.sleep(wait)
                continue
            message = await self.websocket.receive()
            if message["type"] == "websocket.disconnect":
                self.code = message.get("code") or 1006
                return
            if self._closing:  # the stream is another client's by now, or gone
                return
            try:
                data = message.get("text") or message.get("bytes") or ""
                self.sessions.take(session, *exchange.read_step(data))
            except GatedError as error:
                self._send(json.dumps({"error": str(error), "step": session.taken}))
                self.leave(WRONG, "see the error before")
                return

    async def _write(self) -> None:
        """Send, as fast as the client reads."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                async with asyncio.timeout(self.seconds):
                    for _ in range(len(self._outgoing)):
                        await self.websocket.send_text(self._outgoing.popleft())
                    if self._said < self._durable and not self._outgoing:
                        self._said = self._durable
                        await self.websocket.send_text(f'{{"durable": {self._said}}}')
                    if self._closing and not self._outgoing:
                        self.code, reason = self._closing
                        await self.websocket.close(self.code, reason)
                        return
            except TimeoutError:
                self.code = SLOW
                return
            except (WebSocketDisconnect, RuntimeError):  # it has gone, or is closed already
                return
            self._room.set()
            if self._outgoing or self._closing:
                self._wake.set()


class Messages(WebSocketsSansIOProtocol):
    """Cuts a connection that is closed, and whose client does not read what was sent before."""

    async def send(self, message: Any) -> None:
        """Send; a refusal ends the handshake too, which uvicorn would report as a failure."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """Run the application, then let the client read for a while."""
        await super().run_asgi()
        self.loop.call_later(GRACE, self.transport.abort)
