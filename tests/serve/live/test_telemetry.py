"""What a collector of OpenTelemetry is sent, and that a server without one has none of its code."""

from __future__ import annotations

import gzip
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.live.programs import causal, model
from tests.serve.asking import ask, running
from tests.serve.live.stream_client import StreamClient
from tests.serve.live.test_http import QUICK, TOKEN
from tests.serve.live.test_streams import STREAMS, steps, undisturbed

from gated.cli.app import run as command
from gated.live import write
from gated.serve.live.server import create_server


class Collector(http.server.ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exports)
        self.sent: list[tuple[str, bytes]] = []
        self.address = f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Any]:
        parts = [ExportTraceServiceRequest.FromString(of) for at, of in self.sent if "traces" in at]
        resources = [of for part in parts for of in part.resource_spans]
        for resource in resources:
            names = {of.key: of.value.string_value for of in resource.resource.attributes}
            assert names["service.name"] == "gated serve"
        scopes = [of for resource in resources for of in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def counts(self) -> dict[str, Any]:
        """The points of each metric, as they were sent last."""
        parts = [
            ExportMetricsServiceRequest.FromString(of) for at, of in self.sent if "metrics" in at
        ]
        resources = [of for part in parts for of in part.resource_metrics]
        scopes = [of for resource in resources for of in resource.scope_metrics]
        metrics = [of for scope in scopes for of in scope.metrics]
        return {of.name: getattr(of, of.WhichOneof("data")).data_points for of in metrics}


class Exports(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.sent.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_requests_and_steps_are_followed(collector: Collector, tmp_path: Path) -> None:
    server = create_server(
        model(*causal()), tmp_path / "s", QUICK, STREAMS, collector=collector.address
    )
    xs = steps(30)
    with running(server) as port:
        client = StreamClient(port, "a", xs, 4)
        client.run()
        assert (
            ask(port, "/predict", json.dumps({"inputs": [xs]}), Authorization=TOKEN).status == 200
        )
        assert ask(port, "/streams/b").status == 404
    assert [client.predictions[step] for step in range(1, 31)] == undisturbed(xs)
    assert {path for path, _ in collector.sent} == {"/v1/traces", "/v1/metrics"}
    spans = collector.spans()
    requests = {"POST /predict", "GET /streams/{id}"}
    names = {span.name for span in spans}
    assert requests | {"gated.steps", "gated.save"} <= names
    # A stream has one span, and none for each of its messages.
    assert sum("/streams/{id}" in span.name for span in spans) == 2
    together = [
        of.value.int_value
        for span in spans
        if span.name == "gated.steps"
        for of in span.attributes
        if of.key == "gated.streams"
    ]
    assert set(together) == {1}
    assert TOKEN not in str(spans)
    counts = collector.counts()
    assert [point.as_double for point in counts["gated.steps"]] == [30]
    assert [point.as_double for point in counts["gated.streams.connected"]] == [0]
    assert [point.count for point in counts["gated.step.duration"]] == [30]
    assert [point.sum for point in counts["gated.steps.together"]] == [30]
    assert sum(point.count for point in counts["http.server.duration"]) == 2


def test_the_environment_names_a_collector_too(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    server = create_server(model(*causal()), tmp_path / "s", QUICK, STREAMS, collector="")
    with running(server) as port:
        StreamClient(port, "a", steps(3), 1).run()
    assert {path for path, _ in collector.sent} == {"/v1/metrics"}
    assert [point.as_double for point in collector.counts()["gated.steps"]] == [3]


def test_a_collector_that_is_gone_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # seconds, in which it tries again
    nowhere = "http://127.0.0.1:1"
    server = create_server(model(*causal()), tmp_path / "s", QUICK, STREAMS, collector=nowhere)
    xs = steps(20)
    with running(server) as port:
        client = StreamClient(port, "a", xs, 4)
        client.run()
    assert [client.predictions[step] for step in range(1, 21)] == undisturbed(xs)


def test_without_a_collector_nothing_of_it_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "run", *causal(), task="classify")
    assert command(["serve", str(tmp_path / "run"), "--otlp", "localhost:4318"]) == 2
    assert "--otlp: must be an address like http://HOST:4318" in capsys.readouterr().err
    code = (
        "import sys, gated.serve.live.server, gated.serve.live.forecasts;"
        "assert not {of for of in sys.modules if of.startswith(('opentelemetry.sdk', 'psycopg',"
        "'opentelemetry.instrumentation', 'opentelemetry.exporter'))}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
