"""The server of the explorer: the page, the networks, and what they compute on a passage."""

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


class ReadingAsked(BaseModel):
    """A passage for a network to read, perhaps with a gate held."""

    network: str
    passage: Passage
    clamp: Clamp | None = None


def create_app(exhibit: Exhibit) -> FastAPI:
    """The server for the readers of `exhibit`, which have different names."""
    by_name = {reader.name: reader for reader in exhibit.readers}
    app = FastAPI(title="gated explore", docs_url=None, redoc_url=None, openapi_url=None)
    # Only pages of this machine may ask, whatever name another one's address is given.
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
    def readings(asked: ReadingAsked) -> Response:
        reader = by_name.get(asked.network)
        if reader is None:
            raise ConfigurationError(
                f"network must be one of {', '.join(by_name)}, got {asked.network!r}"
            )
        reading = reader.read(asked.passage, asked.clamp)
        arrays = {**reading.values, **reading.outputs, "gradient": reading.gradient}
        header = {"network": reader.name, "score": reading.score, "labels": reading.labels}
        return Response(pack(header, arrays), media_type=MEDIA_TYPE)

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def create_server(exhibit: Exhibit) -> uvicorn.Server:
    """What runs `create_app` on a socket that listens; browsers that hold on do not keep it."""
    config = uvicorn.Config(create_app(exhibit), log_level="warning", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


def describe(reader: Reader) -> dict[str, Any]:
    """What the page says of a network."""
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
