"""The server of the explorer: its files, and the results of forecasters on a window."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from gated.errors import ConfigurationError
from gated.serve.bounds import (
    Application,
    Bounds,
    Guard,
    Message,
    Receive,
    Send,
    Workers,
    explain_errors,
)
from gated.serve.connections import create_server as create_bounded
from gated.serve.message import MEDIA_TYPE, pack
from gated.serve.reading import Clamp, Exhibit, Passage
from gated.serve.static_page import PAGE, scripts_of

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
NAMES_AND_VALUES = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
BOUNDS = Bounds(body=1 << 20, waiting=256, rate=1_000)
"""A page loads many files at once, and asks anew while a slider moves."""


class ReadingRequest(BaseModel):
    """A request to run a network over a passage, perhaps with a gate held."""

    network: str
    passage: Passage
    clamp: Clamp | None = None


def create_app(exhibits: Sequence[Exhibit]) -> FastAPI:
    """Return the application that serves `exhibits`, the names of whose readers differ."""
    by_name = {reader.name: reader for exhibit in exhibits for reader in exhibit.readers}
    scripts = scripts_of(exhibits)
    app = FastAPI(title="gated explore", docs_url=None, redoc_url=None, openapi_url=None)
    explain_errors(app)
    workers = Workers()

    def script(request: Request) -> Response:
        return Response(scripts[request.url.path[1:]], media_type="text/javascript")

    for path in scripts:
        app.add_api_route(f"/{path}", script)

    @app.post("/api/readings")
    async def readings(request: Request, wanted: ReadingRequest) -> Response:
        reader = by_name.get(wanted.network)
        if reader is None:
            raise ConfigurationError(
                f"network must be one of {', '.join(by_name)}, got {wanted.network!r}"
            )
        read = partial(reader.read, wanted.passage, wanted.clamp)
        reading = await workers.run(request, read)
        arrays = {**reading.values, **reading.outputs, "gradient": reading.gradient}
        header = {"network": reader.name, "score": reading.score, "labels": reading.labels}
        return Response(pack(header, arrays), media_type=MEDIA_TYPE)

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def with_headers(application: Application) -> Application:
    """Return an application whose answers have `HEADERS`."""

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        async def with_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *NAMES_AND_VALUES]}
            await send(message)

        await application(scope, receive, with_more)

    return serve


def create_server(exhibits: Sequence[Exhibit]) -> uvicorn.Server:
    """Return the server for `create_app`; it shuts down within a second, whoever is connected.

    Only pages of this machine may ask (a host name of another page may point here).
    """
    guarded = Guard(with_headers(create_app(exhibits)), BOUNDS, hosts=("127.0.0.1", "localhost"))
    return create_bounded(guarded, BOUNDS)
