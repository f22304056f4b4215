"""`gated serve`."""

from __future__ import annotations

import ipaddress
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gated.cli.listening import address, listen
from gated.cli.output import stdout_console
from gated.errors import ConfigurationError, require

if TYPE_CHECKING:
    import uvicorn

    from gated.serve.bounds import Bounds
    from gated.tasks.forecast.live import LiveForecaster

TOKEN = "GATED_TOKEN"
"""Environment variable with a token, which unlike an option is not seen by other users."""
COLLECTORS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
"""Environment variables with the address of a collector of OpenTelemetry."""
SHORTEST_TOKEN = 16
LONGEST_WAIT = 1_000
DAY = 86_400


def serve(
    run: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: list[str] | None = None,
    log_json: bool = False,
    body: int = 4 << 20,
    steps: int = 20_000,
    seconds: float = 30,
    rate: float = 100,
    state: str | None = None,
    interval: float = 1,
    wait: float = 0,
    streams: int = 1_000,
    stored: int = 100_000,
    forget: float = 30,
    step_rate: float = 1_000,
    otlp: str | None = None,
) -> None:
    """Serve a trained network: predictions over HTTP, and streams that survive a restart.

    It needs no torch, but for a forecaster, which takes rows and forecasts what follows them.
    Ctrl-C ends it, when all that has come is computed and saved.

    Parameters
    ----------
    run
        Directory of a run that gated.load reads, of classify, regress, text-classify or language;
        or of one of forecast, which begins with the data of its training.
    host
        Address to serve at; a token is needed where others than this machine reach it.
    port
        Port; 0 for any that is free.
    token
        What requests must bring, as Authorization: Bearer TOKEN; one of several, or the
        environment's GATED_TOKEN.
    log_json
        Write a line of JSON for each request to the error output.
    body
        Bytes of a request at most.
    steps
        Steps of all sequences of a request at most.
    seconds
        A request may take, from its first byte to the last of its answer.
    rate
        Requests a second from one address.
    state
        File of the streams, or of a forecaster's rows; by default streams.sqlite, or rows.sqlite,
        in the run's directory. Or a database that several servers share,
        postgresql://USER@HOST/DATABASE, with its password in the environment's PGPASSWORD.
    interval
        Seconds between two writes of the streams that have changed.
    wait
        Milliseconds that a step waits for those of other streams at most; by default those that
        came during a call are computed in the next one.
    streams
        Streams with a client at most.
    stored
        Streams that are stored at most.
    forget
        Days after which a stream that took no step is removed.
    step_rate
        Steps a second that are read from a stream.
    otlp
        Address of a collector of OpenTelemetry that is sent spans and counts, such as
        http://localhost:4318; by default what the environment's OTEL_EXPORTER_OTLP_ENDPOINT says.
    """
    for module in ("fastapi", "uvicorn", "websockets", "prometheus_client"):
        require(module, extra="serve")
    tokens = _tokens(token or [], host)
    above = {
        "body": body,
        "steps": steps,
        "seconds": seconds,
        "rate": rate,
        "interval": interval,
        "streams": streams,
        "stored": stored,
        "forget": forget,
        "step-rate": step_rate,
    }
    for name, value in above.items():
        if not value > 0:
            raise ConfigurationError(f"--{name}: must be above 0, got {value}.")
    if not 0 <= wait <= LONGEST_WAIT:
        raise ConfigurationError(f"--wait: must be from 0 to {LONGEST_WAIT}, got {wait}.")
    from gated.model_files import load_description
    from gated.serve.bounds import Bounds

    hosts = ("localhost", "127.0.0.1", "[::1]") if _is_loopback(host) else None
    of_server: dict[str, Any] = {"tokens": tokens, "hosts": hosts, "log": log_json}
    of_server["collector"] = _collector(otlp)
    if load_description(run).get("task") == "forecast":
        bounds = Bounds(body=body, seconds=seconds, rate=rate)
        server = _of_forecaster(run, state or run / "rows.sqlite", bounds, of_server)
    else:
        from gated.live import load
        from gated.serve.live.server import MORE, StreamBounds, create_server

        model = load(run)
        _allow_files(streams + 2 * MORE)
        server = create_server(
            model,
            state or run / "streams.sqlite",
            Bounds(body=body, seconds=seconds, rate=rate, connections=streams + MORE),
            StreamBounds(
                most=streams,
                stored=stored,
                forget=forget * DAY,
                wait=wait / 1_000,
                interval=interval,
                rate=step_rate,
            ),
            most_steps=steps,
            **of_server,
        )
    with listen(host, port) as listener:
        stdout_console().print(
            f"{run} is served at {address(listener)} (Ctrl-C ends it)",
            markup=False,
            highlight=False,
        )
        server.run(sockets=[listener])


def _collector(otlp: str | None) -> str | None:
    """Return the collector of OpenTelemetry; empty for the environment's, None for none."""
    if otlp is None:
        if not any(map(os.environ.get, COLLECTORS)):
            return None
    elif not otlp.startswith(("http://", "https://")):
        raise ConfigurationError(f"--otlp: must be an address like http://HOST:4318, got {otlp}.")
    for module in ("opentelemetry.sdk", "opentelemetry.instrumentation.fastapi"):
        require(module, extra="otel")
    return otlp or ""


def _of_forecaster(
    run: Path, state: Path | str, bounds: Bounds, of_server: dict[str, Any]
) -> uvicorn.Server:
    """Return the server of a forecaster, which begins with the rows that its run keeps."""
    from gated.model_files import attached_file, digest_of
    from gated.serve.live.forecasts import create_server
    from gated.tasks.forecast.runtime import PAST, load_live

    data = None
    if attached_file(run, PAST) is None:
        for module in ("msgspec", "polars", "narwhals"):
            require(module, extra="train")
        from gated.cli.run_directory import read_run

        (data,) = read_run(run).data
        if not data.exists():
            raise ConfigurationError(
                f"{data}, the data of {run}, is not there: forecasts begin with it, since the run "
                "keeps no rows."
            )

    def begin() -> LiveForecaster:
        live = load_live(run)
        if data is not None:
            live.update(data)
        return live

    live = load_live(run)
    config, fitted = live.config, live.fitted
    described = {
        "task": "forecast",
        "time": config.time,
        "target": config.target_name,
        "series": config.series,
        "known": [*fitted.known_names],
        "past": [*fitted.past_numbers, *fitted.past_texts],
        "every": fitted.grid.every,
        "horizon": config.horizon,
        "quantiles": [*config.quantiles],
    }
    place = [name for name in (config.time, config.series) if name]
    return create_server(begin, described, place, state, digest_of(run), bounds, **of_server)


def _allow_files(count: int) -> None:
    """Have the system allow so many open files and connections, as far as it lets this process."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < count:
        wanted = count if most == resource.RLIM_INFINITY else min(count, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        if wanted < count:
            raise ConfigurationError(
                f"--streams: the system allows {most} open files, and {count} are needed; ask for "
                "fewer streams, or raise it: ulimit -n"
            )


def _tokens(given: list[str], host: str) -> list[str]:
    """Return the tokens; refuse to serve others without one."""
    tokens = [*given, *filter(None, [os.environ.get(TOKEN)])]
    if not tokens and not _is_loopback(host):
        raise ConfigurationError(
            f"--token: {host} may be reached from other machines: give a token, in the "
            f"environment's {TOKEN}, such as that of: openssl rand -hex 32"
        )
    for of in tokens:
        if len(of) < SHORTEST_TOKEN or not of.isascii() or not of.isprintable() or " " in of:
            raise ConfigurationError(
                f"--token: a token has {SHORTEST_TOKEN} or more letters of ASCII, and no space."
            )
    return tokens


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
