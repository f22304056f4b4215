"""The server of the explorer: its page, the networks, and their results on a passage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from gated.core.layout import layout_of
from gated.errors import ConfigurationError, GatedError
from gated.serve.character_model import NAMES
from gated.serve.message import MEDIA_TYPE, pack
from gated.serve.reading import Clamp, Exhibit, Passage, Reader, clampable

PAGE = Path(__file__).parent / "explorer"
"""The built page; its source is in `web/explorer/`."""
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


def create_app(exhibit: Exhibit) -> FastAPI:
    """Return the application that serves the readers of `exhibit`, whose names differ."""
    by_name = {reader.name: reader for reader in exhibit.readers}
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

    @app.get("/api/networks")
    def networks() -> dict[str, Any]:
        return {**exhibit.offered, "networks": [describe(reader) for reader in exhibit.readers]}

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


def create_server(exhibit: Exhibit) -> uvicorn.Server:
    """Return the server for `create_app`; it shuts down within a second, whoever is connected."""
    config = uvicorn.Config(create_app(exhibit), log_level="warning", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


def describe(reader: Reader) -> dict[str, Any]:
    """Return the facts about a network that the page shows, for JSON."""
    layout = layout_of(reader.cell)
    return {
        "name": reader.name,
        "cell": NAMES[reader.cell],
        "units": reader.units,
        "gates": layout.gates,
        "states": layout.states,
        "clampable": clampable(reader.cell),
        **reader.describe(),
    }
