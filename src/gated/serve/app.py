"""The server of the explorer: its files, for browsers on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from gated.serve.bounds import (
    Application,
    Bounds,
    Guard,
    Message,
    Receive,
    Send,
)
from gated.serve.connections import create_server as create_bounded
from gated.serve.exhibit import Exhibit
from gated.serve.static_page import PAGE, scripts_of

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
NAMES_AND_VALUES = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
BOUNDS = Bounds(body=1 << 20, waiting=256, rate=1_000)
"""A page loads many files at once."""


def create_app(exhibits: Sequence[Exhibit]) -> FastAPI:
    """Return the application that serves the page with `exhibits`."""
    scripts = scripts_of(exhibits)
    app = FastAPI(title="gated explore", docs_url=None, redoc_url=None, openapi_url=None)

    def script(request: Request) -> Response:
        return Response(scripts[request.url.path[1:]], media_type="text/javascript")

    for path in scripts:
        app.add_api_route(f"/{path}", script)

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
