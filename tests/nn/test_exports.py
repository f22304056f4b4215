"""Layers in other forms: ONNX by both exporters, torch.export, scripting and tracing."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from tests.comparison import assert_agree
from torch import nn
from torch.export import Dim

import gated
from gated.cells import cell, library, tanh
from gated.cells.cell import Cell
from gated.errors import ConfigurationError

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{what}")
    for what in (
        "`torch.jit",  # torch's own uses of what it deprecates
        "You are using the legacy TorchScript-based ONNX export",
        "The feature will be removed",
        "Exporting a model to ONNX with a batch_size other than 1",  # it need not be
        "LSTM with projections is not supported with oneDNN",
        "# The axis name",
        ".*is deprecated:DeprecationWarning",
        ".*LeafSpec:FutureWarning",
        ":torch.jit.TracerWarning",  # of torch's own checks
    )
]


@pytest.fixture(autouse=True)
def quiet_exporter() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@cell
def leaky(x: Any, h: Any, *, rate: float = 0.1) -> Any:
    return (1 - rate) * h + rate * tanh(x.n + h.n)


class Standard(nn.Module):
    """What ONNX has nodes for: states come in and go out, lengths are given."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = gated.nn.LSTM(3, 5, 2, bidirectional=True, batch_first=True, dropout=0.5)
        self.gru = gated.nn.GRU(10, 4, reset_after=False, recurrent_dropout=0.5)
        self.after = gated.nn.GRU(4, 4, bias=False)
        self.rnn = gated.nn.RNN(4, 4, nonlinearity="relu")
        self.peepholes = gated.nn.LSTM(4, 3, peepholes=True)

    def forward(
        self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        y, (h, c) = self.lstm(x, (h, c), lengths=lengths)
        y, g = self.gru(y.transpose(0, 1))
        y, a = self.after(y)
        y, r = self.rnn(y)
        y, (p, q) = self.peepholes(y, lengths=lengths)
        return y, h, c, g, a, r, p, q


class Beyond(nn.Module):
    """What ONNX has no nodes for, and a layer of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.theirs = nn.GRU(3, 3, bidirectional=True)
        self.normalised = gated.nn.LSTM(6, 4, layer_norm=True, zoneout=(0.1, 0.2), proj_size=3)
        self.own = gated.nn.Recurrent(leaky, 3, 3, bidirectional=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y, g = self.theirs(x)
        y, (h, c) = self.normalised(y)
        y, o = self.own(y, lengths=lengths)
        return y, g, h, c, o


def standard_inputs(B: int, T: int) -> tuple[torch.Tensor, ...]:
    states = torch.randn(2, 4, B, 5)
    return torch.randn(B, T, 3), *states, torch.randint(1, T + 1, (B,))


def assert_onnx_gives_the_same(model: nn.Module, exported: bytes, inputs: Any) -> list[str]:
    """Compare in onnxruntime at other lengths and batches; return the nodes of the model."""
    session = onnxruntime.InferenceSession(exported)
    names = [given.name for given in session.get_inputs()]
    for B, T in ((2, 4), (5, 9), (1, 1)):
        given = inputs(B, T)
        found = session.run(None, {n: of.numpy() for n, of in zip(names, given, strict=True)})
        with torch.no_grad():
            expected = [of.numpy() for of in model(*given)]
        assert_agree(found, expected, f"B {B}, T {T}")
    return [node.op_type for node in onnx.load_from_string(exported).graph.node]


def bytes_of(program: Any) -> bytes:
    file = io.BytesIO()
    program.save(file)
    return file.getvalue()


RECURRENT = ("LSTM", "GRU", "RNN", "Scan", "Loop")


def test_onnx_by_the_tracing_exporter() -> None:
    model, file = Standard().eval(), io.BytesIO()
    axes = {"x": {0: "B", 1: "T"}, "h": {1: "B"}, "c": {1: "B"}, "lengths": {0: "B"}}
    torch.onnx.export(
        model, standard_inputs(2, 4), file, dynamo=False, input_names=list(axes), dynamic_axes=axes
    )
    nodes = assert_onnx_gives_the_same(model, file.getvalue(), standard_inputs)
    found = [node for node in nodes if node in RECURRENT]
    assert found == ["LSTM"] * 4 + ["GRU"] * 2 + ["RNN", "LSTM"]


@pytest.mark.parametrize("kind", [nn.LSTM, gated.nn.LSTM, gated.nn.RNN])
def test_onnx_of_a_layer_alone_by_the_tracing_exporter(kind: type[nn.RNNBase]) -> None:
    layer, file = kind(3, 5, 2, bidirectional=True).eval(), io.BytesIO()
    gated.accelerate(layer)
    torch.onnx.export(
        layer, (torch.randn(4, 2, 3),), file, dynamo=False,
        input_names=["x"], dynamic_axes={"x": {0: "T", 1: "B"}},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(file.getvalue())
    x = torch.randn(7, 3, 3)
    expected = layer(x)[0].detach().numpy()
    assert_agree(session.run(None, {"x": x.numpy()})[0], expected, "output")
    nodes = [node.op_type for node in onnx.load_from_string(file.getvalue()).graph.node]
    assert sum(node in RECURRENT for node in nodes) == 2  # a layer's both directions are one


def test_onnx_by_the_default_exporter() -> None:
    model = Standard().eval()
    B, T = Dim("B"), Dim("T")
    program = torch.onnx.export(
        model, standard_inputs(2, 4), dynamo=True, verbose=False,
        dynamic_shapes=({0: B, 1: T}, {1: B}, {1: B}, {0: B}),
    )  # fmt: skip
    nodes = assert_onnx_gives_the_same(model, bytes_of(program), standard_inputs)
    found = [node for node in nodes if node in RECURRENT]
    assert found == ["LSTM"] * 4 + ["GRU"] * 2 + ["RNN", "LSTM"]


def test_torch_export_and_from_it_onnx() -> None:
    def inputs(B: int, T: int) -> tuple[torch.Tensor, ...]:
        return torch.randn(T, B, 3), torch.randint(0, T + 1, (B,))

    model = Beyond().eval()
    gated.accelerate(model)
    B, T = Dim("B"), Dim("T")
    shapes = {"x": {0: T, 1: B}, "lengths": {0: B}}
    program = torch.export.export(model, inputs(2, 4), dynamic_shapes=shapes)
    again = program.run_decompositions()
    for exported in (program, again):
        targets = [str(node.target) for node in exported.graph.nodes]
        assert targets.count("gated.layer.default") == 5
        given = inputs(3, 6)
        assert_agree(exported.module()(*given), model(*given), "program", relative=0)
    nodes = assert_onnx_gives_the_same(
        model, bytes_of(torch.onnx.export(program, verbose=False)), inputs
    )
    assert [node for node in nodes if node in RECURRENT] == ["GRU"] * 2 + ["Scan"] * 3


def refused(tool: Any, layer: nn.Module) -> str:
    with pytest.raises(ConfigurationError) as error:
        tool(layer.eval(), torch.randn(4, 2, 3))
    return str(error.value)


def script(layer: nn.Module, x: torch.Tensor) -> Any:
    return torch.jit.script(layer)


def trace(layer: nn.Module, x: torch.Tensor) -> Any:
    return torch.jit.trace(layer, x)


def export_by_tracing(layer: nn.Module, x: torch.Tensor) -> Any:
    torch.onnx.export(layer, (x,), io.BytesIO(), dynamo=False)


class WithLengths(gated.nn.LSTM):
    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x, lengths=[4, 2])[0]


class WithGates(gated.nn.LSTM):
    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x, return_gates=True)[2][0]["forget_gate"]


@pytest.mark.parametrize(
    ("layer", "tools", "named"),
    [
        (gated.nn.LSTM(3, 4, layer_norm=True), (script, trace), "layer_norm"),
        (gated.nn.LSTM(3, 4, layer_norm=True), (export_by_tracing,), "lstm with layer_norm"),
        (gated.nn.LSTM(3, 4, proj_size=2), (export_by_tracing,), "lstm with proj_size"),
        (gated.nn.LSTM(3, 4, peepholes=True), (script,), "peepholes"),
        (gated.nn.LSTM(3, 4, coupled=True), (script, trace, export_by_tracing), "coupled"),
        (gated.nn.GRU(3, 4, reset_after=False), (script,), "reset_after=False"),
        (gated.nn.GRU(3, 4, reset_after=False), (trace,), "gru_reset_before"),
        (gated.nn.GRU(3, 4, zoneout=0.1), (script, trace, export_by_tracing), "zoneout"),
        (gated.nn.Recurrent(leaky, 3, 4), (script, trace, export_by_tracing), "cell leaky"),
        (gated.nn.Recurrent(library.min_gru, 3, 4), (trace,), "cell min_gru"),
        (WithLengths(3, 4), (trace,), "lengths"),
        (WithGates(3, 4), (trace, export_by_tracing), "return_gates"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(
    layer: nn.Module, tools: tuple[Any, ...], named: str
) -> None:
    for tool in tools:
        assert named in refused(tool, layer)


@pytest.mark.parametrize("given", [library.lstm, library.gru])
def test_cells_of_the_library_that_onnx_has_are_nodes(given: Cell) -> None:
    layer, file = gated.nn.Recurrent(given, 3, 4).eval(), io.BytesIO()
    torch.onnx.export(layer, (torch.randn(4, 2, 3),), file, dynamo=False)
    nodes = [node.op_type for node in onnx.load_from_string(file.getvalue()).graph.node]
    assert given.name.upper() in nodes


@pytest.mark.parametrize("ours", [True, False])
def test_scripting_and_tracing_are_torchs_own(ours: bool) -> None:
    room: Any = gated.nn if ours else nn
    model = nn.ModuleList(
        [room.LSTM(3, 5, 2, bidirectional=True, proj_size=2), room.GRU(4, 4), room.RNN(4, 4)]
    )
    stack = Stack(model).eval()
    x = torch.randn(7, 3, 3)
    expected = stack(x)
    gated.accelerate(stack)
    traced = torch.jit.trace(stack, torch.randn(4, 2, 3), check_trace=False)
    assert_agree(traced(x), expected, "traced")
    scripted = torch.jit.script(stack)
    assert_agree(scripted(x), expected, "scripted")
    for mine, theirs in zip(stack.parameters(), scripted.parameters(), strict=True):
        assert mine.data_ptr() == theirs.data_ptr()
    assert_agree(stack(x), expected, "the model itself")
    file = io.BytesIO()
    torch.jit.save(scripted, file)
    assert b"gated" not in file.getvalue().replace(b"_runs_on_gated", b"")


class Stack(nn.Module):
    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)[0]
        return x


def test_scripted_cells_are_torchs_own() -> None:
    for ours in (gated.nn.RNNCell(3, 4, nonlinearity="relu"), gated.nn.GRUCell(3, 4)):
        x = torch.randn(2, 3)
        assert_agree(torch.jit.script(ours)(x), ours(x), type(ours).__name__)


@pytest.mark.parametrize("stored_as", ["bfloat16", "int8"])
def test_rounded_weights_are_exported_as_they_are_multiplied(stored_as: Any) -> None:
    layer = gated.nn.LSTM(5, 8, stored_as=stored_as)
    x = torch.randn(6, 2, 5)
    exact = gated.nn.LSTM(5, 8)
    exact.load_state_dict(layer.state_dict())
    with torch.no_grad():
        expected, unrounded = layer(x)[0], exact(x)[0]
    file = io.BytesIO()
    torch.onnx.export(layer, (x,), file, dynamo=False)
    session = onnxruntime.InferenceSession(file.getvalue())
    onnx_output = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    for output in (onnx_output, torch.jit.trace(layer, (x,))(x)[0]):
        assert (output - expected).abs().max() < 0.5 * (unrounded - expected).abs().max()
    program = torch.export.export(layer, (x,)).module()
    assert torch.equal(program(x)[0], expected)
    with pytest.raises(ConfigurationError, match=f"stored_as='{stored_as}': leave it out"):
        torch.jit.script(layer)
