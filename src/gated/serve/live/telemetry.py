"""What a server tells a collector of OpenTelemetry: spans of its work, and its counts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from gated.serve.live.metrics import Metrics, Observes
from gated.version import VERSION

NAME = "OTEL_SERVICE_NAME"


class Telemetry:
    """Sends spans and counts of a server to a collector, over OTLP and HTTP.

    All else is as the environment's `OTEL_…` say, such as the collector's headers, which spans are
    sampled, and how often counts are sent.

    Args:
        collector: its address, to which the paths of OTLP are added; empty for the environment's.
    """

    def __init__(self, collector: str) -> None:
        resource = Resource.create({SERVICE_NAME: os.environ.get(NAME) or "gated serve"})
        places: dict[str, dict[str, Any]] = {"traces": {}, "metrics": {}}
        if collector:
            places = {of: {"endpoint": f"{collector.rstrip('/')}/v1/{of}"} for of in places}
        self._spans = TracerProvider(resource=resource)
        self._spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**places["traces"])))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(**places["metrics"]))
        self._counts = MeterProvider([reader], resource)
        self._tracer = self._spans.get_tracer("gated.serve", VERSION)

    def follow(self, app: FastAPI, metrics: Metrics) -> None:
        """Follow the requests of an application, and the counts of its server."""
        FastAPIInstrumentor.instrument_app(
            app,
            tracer_provider=self._spans,
            meter_provider=self._counts,
            exclude_spans=["receive", "send"],  # of each message of a stream there would be one
        )
        before = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(of: FastAPI) -> AsyncIterator[Any]:
            async with before(of) as state:
                yield state
            await self._close()

        app.router.lifespan_context = lifespan
        metrics.span = self._span
        meter = self._counts.get_meter("gated.serve", VERSION)
        meter.create_observable_gauge("gated.streams.connected", [_now(metrics.connected)])
        meter.create_observable_counter("gated.streams.closed", [_now(metrics.closed)])
        meter.create_observable_counter("gated.steps", [_now(metrics.steps)])
        times = {"step": "step_seconds", "save": "save_seconds"}
        for name, of in times.items():
            histogram = meter.create_histogram(f"gated.{name}.duration", "s")
            setattr(metrics, of, _Both(getattr(metrics, of), histogram))
        metrics.together = _Both(metrics.together, meter.create_histogram("gated.steps.together"))

    def _span(self, name: str, **facts: int) -> AbstractContextManager[Any]:
        attributes = {f"gated.{key}": value for key, value in facts.items()}
        return self._tracer.start_as_current_span(f"gated.{name}", attributes=attributes)

    async def _close(self) -> None:
        """Send what is left, for some seconds at most."""
        await asyncio.to_thread(self._spans.shutdown)
        await asyncio.to_thread(self._counts.shutdown)


class _Both:
    """What Prometheus asks for, and the collector is sent."""

    def __init__(self, own: Observes, sent: Histogram) -> None:
        self.own, self.sent = own, sent

    def observe(self, amount: float) -> None:
        """Count a value."""
        self.own.observe(amount)
        self.sent.record(amount)


def _now(metric: Any) -> Callable[[CallbackOptions], Iterable[Observation]]:
    """Return what reads a count of Prometheus."""

    def read(options: CallbackOptions) -> Iterable[Observation]:
        for family in metric.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    yield Observation(sample.value, sample.labels)

    return read
