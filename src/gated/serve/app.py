"""The server of the explorer: its files, and the results of forecasters on a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from gated.errors import ConfigurationError, GatedError
from gated.serve.message import MEDIA_TYPE, pack
from gated.serve.reading import Clamp, Exhibit, Passage
from gated.serve.static_page import PAGE, scripts_of

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


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
    # Only pages of this machine may send requests (a host name of another page may point here).
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(GatedError)
    def explain(request: Request, error: GatedError) -> Response:
        return JSONResponse({"error": str(error)}, status_code=400)

    def script(request: Request) -> Response:
        return Response(scripts[request.url.path[1:]], media_type="text/javascript")

    for path in scripts:
        app.add_api_route(f"/{path}", script)

    @app.post("/api/readings")
    def readings(wanted: ReadingRequest) -> Response:
        reader = by_name.get(wanted.network)
        if reader is None:
            raise ConfigurationError(
                f"network must be one of {', '.join(by_name)}, got {wanted.network!r}"
            )
        reading = reader.read(wanted.passage, wanted.clamp)
        arrays = {**reading.values, **reading.outputs, "gradient": reading.gradient}
        header = {"network": reader.name, "score": reading.score, "labels": reading.labels}
        return Response(pack(header, arrays), media_type=MEDIA_TYPE)

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def create_server(exhibits: Sequence[Exhibit]) -> uvicorn.Server:
    """Return the server for `create_app`; it shuts down within a second, whoever is connected."""
    config = uvicorn.Config(create_app(exhibits), log_level="warning", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)
