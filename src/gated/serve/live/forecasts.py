"""The server of a forecaster: rows come in, forecasts of what follows go out.

A row is on the disk before it is answered. One that comes again is taken once: it is known by its
series and time. After a restart the rows are read again, so that forecasts are the same.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from gated.errors import ConfigurationError, DataError
from gated.serve.bounds import Bounds, Guard, Workers
from gated.serve.connections import create_server as create_bounded
from gated.serve.live.app import FREE, REFUSED, Problem, add_state_of_the_server
from gated.serve.live.metrics import Metrics
from gated.serve.live.store import RowStore, open_rows
from gated.version import VERSION

MOST_ROWS = 100_000
"""Rows of a request at most."""
Cell = str | int | float | bool | None
Row = dict[str, Cell]
Responses = dict[int | str, dict[str, Any]]


class Forecast(Protocol):
    """What it forecasts: `gated.tasks.forecast.live_forecast.LiveForecast`."""

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each series and step."""


class Forecaster(Protocol):
    """What is served: `gated.tasks.forecast.live.LiveForecaster`."""

    def update(self, data: Sequence[Row]) -> Sequence[object]:
        """Take rows, all or none; return what was found in them, whose texts say it."""

    def predict(self, future: Sequence[Row] | None = None) -> Forecast:
        """Forecast what follows."""


class Given(BaseModel):
    """Rows that follow those before."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    rows: Annotated[list[Row], Field(min_length=1, max_length=MOST_ROWS)]
    """Values by the names of the columns; what is missing is null or left out."""


class Future(BaseModel):
    """What is known of the steps to forecast."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    future: Annotated[list[Row], Field(min_length=1, max_length=MOST_ROWS)]
    """Rows with the columns that are known ahead."""


class Taken(BaseModel):
    """What became of rows."""

    taken: int
    """Rows that are new; they are on the disk."""
    known: int
    """Rows that were known already."""
    findings: list[str] | None = None
    """What was found in the new rows and done about it, such as a time between steps; absent where
    nothing was."""


class Answer(BaseModel):
    """Forecasts."""

    forecast: list[Row]
    """A row for each series and step: its time, and a value for each quantile."""


class Forecasts:
    """Rows and forecasts of a forecaster; used by one thread at a time.

    Args:
        begin: makes the forecaster with the past that it begins with.
        place: the columns that tell rows apart: of the time and, where there is one, of the series.
        store: where rows are kept.
    """

    def __init__(
        self, begin: Callable[[], Forecaster], place: Sequence[str], store: RowStore
    ) -> None:
        self.begin, self.place, self.store = begin, tuple(place), store
        self._live: Forecaster | None = None
        """None where it has to begin anew."""
        self._count = 0
        """Rows of the store that it has."""
        self._current()

    def _current(self) -> Forecaster:
        """Return the forecaster with all rows of the store, also those of other servers."""
        live, count = (self.begin(), 0) if self._live is None else (self._live, self._count)
        rows = [json.loads(row) for row in self.store.after(count)]
        self._live = None  # until it has all of them
        if rows:
            try:
                live.update(rows)
            except DataError:  # as a table they may be too sparse; none was taken
                for row in rows:
                    live.update([row])
        self._live, self._count = live, count + len(rows)
        return live

    def take(self, body: bytes) -> bytes:
        """Take rows, all or none, JSON of `Given`; return `Taken`.

        Raises:
            DataError: a row cannot be used.
            HTTPException: another row of its series and time was taken.
            UnavailableError: the store cannot be reached.
        """
        rows = _read(Given, body).rows
        with self.store.alone():
            live = self._current()
            new = self._new(rows)
            findings = live.update([json.loads(text) for text in new.values()]) if new else ()
            self._live = None  # until they are durable
            self.store.write(self._count + 1, list(new.items()))
        self._live, self._count = live, self._count + len(new)
        found = [str(of) for of in findings] or None
        taken = Taken(taken=len(new), known=len(rows) - len(new), findings=found)
        return taken.model_dump_json(exclude_none=True).encode()

    def _new(self, rows: Sequence[Row]) -> dict[str, str]:
        """Return the rows that are not known, as JSON, by their places."""
        places = []
        for number, row in enumerate(rows):
            for column in self.place:
                if row.get(column) is None:
                    raise DataError(f"rows.{number}: there is no '{column}'")
            places.append(json.dumps([row[column] for column in self.place]))
        there, new = self.store.at(places), dict[str, str]()
        for number, (row, place) in enumerate(zip(rows, places, strict=True)):
            text = json.dumps(row, sort_keys=True)
            known = new.get(place) or there.get(place)
            if known is None:
                new[place] = text
            elif known != text:
                raise HTTPException(409, f"rows.{number}: another row was taken: {known}")
        return new

    def forecast(self, body: bytes | None = None) -> bytes:
        """Forecast, perhaps with JSON of `Future`; return `Answer`."""
        future = None if body is None else _read(Future, body).future
        rows = self._current().predict(future).rows()
        return json.dumps({"forecast": rows}, default=_written).encode()


def _written(time: date) -> str:
    """A date or time in ISO 8601."""
    return time.isoformat(*(["T", "microseconds"] if isinstance(time, datetime) else []))


def _read(kind: type[Any], body: bytes) -> Any:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors()  # one of each type that a value may have
        first = next((of for of in errors if of["type"] == "finite_number"), errors[0])
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise DataError(f"{where}: {first['msg']}") from None


def create_app(forecasts: Forecasts, described: dict[str, Any], metrics: Metrics) -> FastAPI:
    """Return the application that answers for a forecaster.

    Args:
        forecasts: its rows and forecasts.
        described: what `/model` says.
        metrics: what is counted.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        forecasts.store.close()

    app = FastAPI(
        title="gated serve: forecast",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    workers = Workers()
    add_state_of_the_server(app, metrics, lambda: False)

    def body_of(kind: type[BaseModel]) -> dict[str, Any]:
        content = {"application/json": {"schema": kind.model_json_schema()}}
        return {"requestBody": {"required": True, "content": content}}

    async def answered(request: Request, compute: Callable[[bytes], bytes]) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, "Content-Type must be application/json")
        answer = await workers.run(request, partial(compute, await request.body()))
        return Response(answer, media_type="application/json")

    refused: Responses = {status: REFUSED[status] for status in (401, 422, 429, 503)}
    taken: Responses = {
        409: {"model": Problem, "description": "Another row of this series and time is known"}
    }

    @app.post(
        "/rows",
        response_model=Taken,
        responses={**REFUSED, **taken},
        openapi_extra=body_of(Given),
    )
    async def rows(request: Request) -> Response:
        """Take rows that follow those before; they are on the disk when this is answered."""
        return await answered(request, forecasts.take)

    @app.get("/forecast", response_model=Answer, responses=refused)
    async def forecast(request: Request) -> Response:
        """Forecast what follows the last value of each series."""
        answer = await workers.run(request, forecasts.forecast)
        return Response(answer, media_type="application/json")

    @app.post("/forecast", response_model=Answer, responses=REFUSED, openapi_extra=body_of(Future))
    async def forecast_with(request: Request) -> Response:
        """Forecast with what is known of the steps ahead."""
        return await answered(request, forecasts.forecast)

    @app.get("/model", responses={status: REFUSED[status] for status in (401, 429)})
    async def model() -> dict[str, Any]:
        """What the forecaster takes and gives."""
        return described

    return app


def create_server(
    begin: Callable[[], Forecaster],
    described: dict[str, Any],
    place: Sequence[str],
    state: Path | str,
    digest: bytes,
    bounds: Bounds,
    *,
    tokens: Sequence[str] = (),
    hosts: Sequence[str] | None = None,
    log: bool = False,
    collector: str | None = None,
) -> uvicorn.Server:
    """Return the server of a forecaster.

    Args:
        begin: makes it, with the past that it begins with.
        described: what `/model` says.
        place: see `Forecasts`.
        state: the file of its rows, or the address of a PostgreSQL database.
        digest: of the model.
        bounds: how much is taken at once.
        tokens: one of them is required; none are where all may ask.
        hosts: names that the server has; None for any.
        log: whether to write a line for each request.
        collector: of OpenTelemetry, see `Telemetry`; None for none.

    Raises:
        GatedError: its rows cannot be used; see `open_rows`.
    """
    store = open_rows(state, digest)
    try:
        forecasts = Forecasts(begin, place, store)
    except DataError as error:
        raise ConfigurationError(
            f"--state: the rows of {store.name} do not follow the data of the run: {error}"
        ) from error
    metrics = Metrics(log)
    app = create_app(forecasts, described, metrics)
    if collector is not None:
        from gated.serve.live.telemetry import Telemetry

        Telemetry(collector).follow(app, metrics)
    guarded = Guard(app, bounds, tokens=tokens, free=FREE, hosts=hosts, done=metrics.request)
    return create_bounded(guarded, bounds)
