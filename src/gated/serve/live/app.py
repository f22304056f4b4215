"""The application of `gated serve`: predictions, what the model is, and how the server is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from gated.serve.bounds import Refusal, Workers, explain_errors
from gated.serve.live.connection import Connection
from gated.serve.live.metrics import MEDIA_TYPE, Metrics
from gated.serve.live.schemas import Exchange
from gated.serve.live.sessions import Sessions
from gated.serve.live.store import UnavailableError
from gated.version import VERSION

FREE = ("/health", "/ready")
"""Paths that need no token."""


class Problem(BaseModel):
    """Why a request was refused."""

    error: str


class Health(BaseModel):
    """How the server is."""

    status: str


REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token, or a wrong one"},
    413: {"model": Problem, "description": "The body is too large"},
    415: {"model": Problem, "description": "The body is not application/json"},
    422: {"model": Problem, "description": "The body is not what was expected"},
    429: {"model": Problem, "description": "Too many requests"},
    503: {"model": Problem, "description": "Too busy, it took too long, or the store is gone"},
}


class Place(BaseModel):
    """How far a stream is."""

    step: int
    """The last step that it has taken."""
    durable: int
    """The last step that a restart keeps."""


NAME = re.compile(r"[A-Za-z0-9._~-]{1,128}")
Name = Annotated[str, Path(pattern=f"^{NAME.pattern}$", description="Name of a stream")]


def create_app(
    exchange: Exchange, metrics: Metrics, sessions: Sessions, connect: Callable[..., Connection]
) -> FastAPI:
    """Return the application that answers for a model.

    Args:
        exchange: what it takes and gives.
        metrics: what is counted.
        sessions: its streams.
        connect: makes the connection of a WebSocket.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sessions.begin()
        yield
        sessions.close()

    app = FastAPI(
        title=f"gated serve: {exchange.model.task}",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    add_state_of_the_server(app, metrics, lambda: sessions.stopping)
    workers = Workers()
    refused: dict[int | str, dict[str, Any]] = {status: REFUSED[status] for status in (401, 429)}
    of_streams = {**refused, 404: {"model": Problem}, 503: REFUSED[503]}

    @app.post(
        "/predict",
        response_model=exchange.response,
        responses=REFUSED,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": exchange.request.model_json_schema()}},
            }
        },
    )
    async def predict(request: Request) -> Response:
        """Predict for whole sequences."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, "Content-Type must be application/json")
        answer = await workers.run(request, partial(exchange.predict, await request.body()))
        return Response(answer, media_type="application/json")

    @app.get("/model", responses=refused)
    async def model() -> dict[str, Any]:
        """What the model takes and gives."""
        return exchange.describe()

    @app.get("/streams/{id}", responses=of_streams)
    async def place(id: Name) -> Place:
        """How far a stream is."""
        found = await sessions.find(id)
        if found is None:
            raise HTTPException(404, f"there is no stream {id}")
        return Place(**found)

    @app.delete("/streams/{id}", status_code=204, responses=of_streams)
    async def remove(id: Name) -> Response:
        """End a stream, and forget it."""
        if not await sessions.remove(id):
            raise HTTPException(404, f"there is no stream {id}")
        return Response(status_code=204)

    @app.websocket("/streams/{id}")
    async def stream(websocket: WebSocket, id: str) -> None:
        if NAME.fullmatch(id):
            await connect(websocket).serve(id)
        else:
            message = "the name of a stream has 1 to 128 letters, digits, and . _ ~ -"
            await websocket.send_denial_response(Refusal(422, message).response())

    @app.websocket("/{path:path}")
    async def nothing(websocket: WebSocket, path: str) -> None:
        message = "there is nothing here; streams are at /streams/NAME"
        await websocket.send_denial_response(Refusal(404, message).response())

    return app


def add_state_of_the_server(app: FastAPI, metrics: Metrics, stopping: Callable[[], bool]) -> None:
    """Add what every server says of itself, and that its errors are words.

    Args:
        app: the application.
        metrics: what is counted.
        stopping: whether the server takes no more requests.
    """
    explain_errors(app, 422)

    @app.exception_handler(UnavailableError)
    async def of_the_store(request: Request, error: UnavailableError) -> Response:
        return Refusal(503, str(error), {"Retry-After": "1"}).response()

    @app.get("/health")
    async def health() -> Health:
        """Whether the server runs."""
        return Health(status="ok")

    @app.get("/ready", response_model=Health, responses={503: {"model": Health}})
    async def is_ready() -> Response:
        """Whether the server takes requests: not while it stops."""
        if not stopping():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "stopping"}, 503)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def counts() -> Response:
        """Counts in Prometheus' text format."""
        return Response(metrics.text(), media_type=MEDIA_TYPE)
