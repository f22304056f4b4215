"""The server of `gated serve`, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import WebSocket

from gated.live import Model
from gated.serve.bounds import Bounds, Guard
from gated.serve.connections import create_server as create_bounded
from gated.serve.live.app import FREE, create_app
from gated.serve.live.connection import Connection, Messages
from gated.serve.live.metrics import Metrics
from gated.serve.live.schemas import Exchange
from gated.serve.live.sessions import Sessions
from gated.serve.live.store import open_streams

MORE = 100
"""Connections beside those of streams."""


BYTES_OF_A_NUMBER = 32
"""In JSON, with what is around it."""


@dataclass(frozen=True)
class StreamBounds:
    """How much streams take."""

    most: int = 1_000
    """Streams with a client."""
    stored: int = 100_000
    """Streams that are kept."""
    forget: float = 30 * 86_400
    """Seconds after which a stream that took no step is removed."""
    wait: float = 0.0
    """Seconds that a step waits for those of other streams."""
    interval: float = 1
    """Seconds between two writes of what has changed."""
    rate: float = 1_000
    """Steps a second of one stream."""


def create_server(
    model: Model,
    state: Path | str,
    bounds: Bounds,
    streams: StreamBounds,
    *,
    most_steps: int = 20_000,
    tokens: Sequence[str] = (),
    hosts: Sequence[str] | None = None,
    log: bool = False,
    collector: str | None = None,
) -> uvicorn.Server:
    """Return the server of a model.

    Args:
        model: which is served.
        state: the file of its streams, or the address of a PostgreSQL database.
        bounds: how much is taken at once.
        streams: the same of streams.
        most_steps: of all sequences of a request together.
        tokens: one of them is required; none are where all may ask.
        hosts: names that the server has; None for any.
        log: whether to write a line for each request.
        collector: of OpenTelemetry, see `Telemetry`; None for none.

    Raises:
        GatedError: its streams cannot be used; see `open_streams`.
    """
    metrics, exchange = Metrics(log), Exchange(model, most_steps)
    sessions = Sessions(
        exchange,
        open_streams(state, model.digest),
        metrics,
        wait=streams.wait,
        interval=streams.interval,
        most=streams.most,
        most_stored=streams.stored,
        forget=streams.forget,
    )

    def connect(websocket: WebSocket) -> Connection:
        return Connection(websocket, sessions, bounds.seconds, streams.rate)

    app = create_app(exchange, metrics, sessions, connect)
    if collector is not None:
        from gated.serve.live.telemetry import Telemetry

        Telemetry(collector).follow(app, metrics)
    guarded = Guard(app, bounds, tokens=tokens, free=FREE, hosts=hosts, done=metrics.request)
    given = model.program.input
    most = 4096 + BYTES_OF_A_NUMBER * (given.form.features if given.kind == "numbers" else 1)
    return create_bounded(guarded, bounds, sessions.drain, Messages, most)
