"""What a server counts of itself, in Prometheus' text format, and its log of requests."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

MEDIA_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10, 60)
"""Bounds of the classes of times."""
PATHS = (
    *("/predict", "/rows", "/forecast", "/model"),
    *("/health", "/ready", "/metrics", "/openapi.json"),
)
STREAM = "/streams/"
LONGEST_PATH = 200
"""Characters of a path in the log."""


class Observes(Protocol):
    """What values are counted by, in classes."""

    def observe(self, amount: float) -> None:
        """Count a value."""


def _no_span(name: str, **facts: int) -> AbstractContextManager[Any]:
    return nullcontext()


class Metrics:
    """Counts of requests and streams.

    Args:
        log: write a line of JSON for each request to the error output.
    """

    def __init__(self, log: bool = False) -> None:
        self.log = log
        self.span: Callable[..., AbstractContextManager[Any]] = _no_span
        """Begins a span of a name, with facts, that ends with the block."""
        self.registry = CollectorRegistry()
        names = ["path", "status"]
        self.requests = Counter(
            "gated_requests", "Requests that were answered.", names, registry=self.registry
        )
        self.seconds = Histogram(
            "gated_request_seconds",
            "Seconds of a request.",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.connected = Gauge(
            "gated_streams_connected", "Streams with a client.", registry=self.registry
        )
        self.steps = Counter("gated_steps", "Steps that streams took.", registry=self.registry)
        self.step_seconds: Observes = Histogram(
            "gated_step_seconds",
            "Seconds from the arrival of a step to its prediction.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.together: Observes = Histogram(
            "gated_steps_together",
            "Streams whose steps were computed in one call.",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
            registry=self.registry,
        )
        self.save_seconds: Observes = Histogram(
            "gated_save_seconds",
            "Seconds in which changed streams were made durable.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.closed = Counter(
            "gated_streams_closed",
            "Ended connections of streams.",
            ["code"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Return all counts in Prometheus' format."""
        return generate_latest(self.registry)

    def request(self, scope: Mapping[str, Any], status: int, seconds: float) -> None:
        """Count a request, and write it to the log."""
        path = scope["path"]
        known = path if path in PATHS else "other"
        if path.startswith(STREAM):
            known = STREAM + "{id}"
        self.requests.labels(known, str(status)).inc()
        if scope["type"] == "http":
            self.seconds.labels(known).observe(seconds)
        self.write(
            method=scope.get("method", "WEBSOCKET"),
            path=path[:LONGEST_PATH],
            status=status,
            seconds=round(seconds, 6),
            client=scope["client"][0] if scope["client"] else None,
        )

    def write(self, **facts: Any) -> None:
        """Write a line to the log, if there is one."""
        if self.log:
            print(json.dumps({"time": round(time.time(), 3), **facts}), file=sys.stderr, flush=True)
