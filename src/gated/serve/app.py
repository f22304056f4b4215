"""The server of the explorer: the page, the networks, and what they compute on a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from gated.core.layout import layout_of
from gated.errors import ConfigurationError, GatedError
from gated.serve.character_model import CharacterModel
from gated.serve.message import MEDIA_TYPE, pack
from gated.serve.reading import Clamp, clampable, read_text

PAGE = Path(__file__).parent / "explorer"
"""The built page; its source is in `web/explorer/`."""
LONGEST = 5_000
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class ClampAsked(BaseModel):
    """A gate to hold at a value."""

    gate: str
    value: float
    unit: int | None = None


class ReadingAsked(BaseModel):
    """A text for a network to read."""

    network: str
    text: str = Field(min_length=1, max_length=LONGEST)
    clamp: ClampAsked | None = None


def create_app(models: Sequence[CharacterModel]) -> FastAPI:
    """The server for `models`, which have different names."""
    by_name = {model.name: model for model in models}
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
        return {"longest": LONGEST, "networks": [describe(model) for model in models]}

    @app.post("/api/readings")
    def readings(asked: ReadingAsked) -> Response:
        model = by_name.get(asked.network)
        if model is None:
            raise ConfigurationError(
                f"network must be one of {', '.join(by_name)}, got {asked.network!r}"
            )
        clamp = None if asked.clamp is None else Clamp(**asked.clamp.model_dump())
        reading = read_text(model, asked.text, clamp)
        arrays = {
            **reading.values,
            "probabilities": reading.probabilities,
            "gradient": reading.gradient,
        }
        header = {"network": model.name, "bits": reading.bits}
        return Response(pack(header, arrays), media_type=MEDIA_TYPE)

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def create_server(models: Sequence[CharacterModel]) -> uvicorn.Server:
    """What runs `create_app` on a socket that listens; browsers that hold on do not keep it."""
    config = uvicorn.Config(create_app(models), log_level="warning", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


def describe(model: CharacterModel) -> dict[str, Any]:
    """What the page says of a model."""
    layout = layout_of(model.cell)
    return {
        "name": model.name,
        "cell": model.cell,
        "units": model.units,
        "gates": layout.gates,
        "states": layout.states,
        "clampable": clampable(model.cell),
        "vocabulary": model.vocabulary,
        "trained_on": model.description.get("trained_on", ""),
        "bits_per_character": model.description.get("bits_per_character"),
        "passages": model.description.get("passages", {}),
    }
