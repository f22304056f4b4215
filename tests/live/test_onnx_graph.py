"""Recurrent nodes of ONNX on our core: all of ONNX's cases, and every option as in onnxruntime."""

import itertools
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.comparison import assert_agree
from tests.core import onnx_cases

import gated.nn
from gated.core.onnx_nodes import read_node
from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.live.onnx_layer import OnnxLayer

READS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
BLOCKS = {"LSTM": 4, "GRU": 3, "RNN": 1}
T, B, I, H = 4, 3, 2, 5  # noqa: E741 - the shape alphabet


@pytest.mark.parametrize("name", onnx_cases.NAMES)
def test_every_case_of_onnx(name: str) -> None:
    case = onnx_cases._CASES[name]
    ((inputs, outputs),) = case.data_sets
    graph = gated.from_onnx(case.model.SerializeToString())
    found = graph(*inputs)
    assert not graph.left
    assert_agree(found, dict(zip(graph.outputs, outputs, strict=True)), name)


def one_node(
    operation: str, arrays: dict[str, np.ndarray], options: dict[str, Any], weights_given: bool
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A graph of a node, and what its inputs are."""
    reads = READS if operation == "LSTM" else READS[:6]
    gives = ["Y", "Y_h", "Y_c"] if operation == "LSTM" else ["Y", "Y_h"]
    names = [name if name in arrays else "" for name in reads]
    node = helper.make_node(operation, names, gives, name="memory", hidden_size=H, **options)
    fixed = [] if weights_given else [name for name in ("W", "R", "B", "P") if name in arrays]
    inputs = {name: of for name, of in arrays.items() if name not in fixed}
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(of.dtype), of.shape)
            for name, of in inputs.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in gives],
        [numpy_helper.from_array(arrays[name], name) for name in fixed],
    )
    opset = [helper.make_opsetid("", 21)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10), inputs


def drawn(operation: str, directions: int, lengths: bool, peepholes: bool) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(directions)
    rows = BLOCKS[operation] * H
    shapes = {
        "X": (T, B, I),
        "W": (directions, rows, I),
        "R": (directions, rows, H),
        "B": (directions, 2 * rows),
        "initial_h": (directions, B, H),
    }
    if operation == "LSTM":
        shapes["initial_c"] = (directions, B, H)
    if peepholes:
        shapes["P"] = (directions, 3 * H)
    arrays = {name: draw.normal(0, 0.7, of).astype(np.float32) for name, of in shapes.items()}
    if lengths:
        arrays["sequence_lens"] = np.array([4, 1, 2], np.int32)
    return arrays


OPTIONS: list[tuple[str, dict[str, Any], bool]] = [
    ("LSTM", {}, False),
    ("LSTM", {"clip": 0.4}, True),
    ("LSTM", {"input_forget": 1}, False),
    ("LSTM", {"input_forget": 1, "clip": 0.5}, True),
    ("LSTM", {"activations": ["HardSigmoid", "Softsign", "Relu"]}, True),
    ("GRU", {"linear_before_reset": 1}, False),
    ("GRU", {"linear_before_reset": 0, "clip": 0.4}, False),
    ("GRU", {"linear_before_reset": 1, "activations": ["Softsign", "LeakyRelu"]}, False),
    ("RNN", {"clip": 0.3}, False),
    *(("RNN", {"activations": [of]}, False) for of in ("Relu", "Elu", "Softplus", "HardSigmoid")),
    *(
        ("RNN", {"activations": [of], "activation_alpha": [0.3], "activation_beta": [0.6]}, False)
        for of in ("Affine", "ScaledTanh", "ThresholdedRelu", "LeakyRelu", "HardSigmoid", "Elu")
    ),
]


@pytest.mark.parametrize(("operation", "options", "peepholes"), OPTIONS)
def test_every_option_gives_what_onnxruntime_does(
    operation: str, options: dict[str, Any], peepholes: bool
) -> None:
    for direction, lengths in itertools.product(
        ("forward", "reverse", "bidirectional"), (False, True)
    ):
        two = direction == "bidirectional"
        arrays = drawn(operation, 1 + two, lengths, peepholes)
        lists = {name: of * (1 + two) for name, of in options.items() if isinstance(of, list)}
        model, inputs = one_node(
            operation, arrays, {**options, **lists, "direction": direction}, weights_given=False
        )
        wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)
        graph = gated.from_onnx(model.SerializeToString())
        what = f"{operation} {options} {direction}"
        assert_agree(tuple(graph(**inputs).values()), tuple(wanted), what)
        module = gated.nn.from_onnx(model.SerializeToString())["memory"]
        given = {name: torch.from_numpy(of) for name, of in inputs.items()}
        found = module(**given)
        assert_agree(tuple(of.detach().numpy() for of in found), tuple(wanted), f"module {what}")
        found[0].square().sum().backward()
        assert all(of.grad is not None and of.grad.abs().sum() > 0 for of in module.parameters())


def test_directions_may_have_activations_of_their_own() -> None:
    arrays = drawn("RNN", 2, lengths=False, peepholes=False)
    options = {"direction": "bidirectional", "activations": ["Relu", "Sigmoid"]}
    model, inputs = one_node("RNN", arrays, options, weights_given=True)
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)
    assert_agree(
        tuple(gated.from_onnx(model.SerializeToString())(**inputs).values()), tuple(wanted), "RNN"
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes(dtype: type) -> None:
    arrays = drawn("LSTM", 1, lengths=False, peepholes=False)
    node = read_node("LSTM", {"layout": 1}, False)
    wide = OnnxLayer(node, {name: arrays[name] for name in ("W", "R", "B")})
    narrow = OnnxLayer(node, {name: arrays[name].astype(dtype) for name in ("W", "R", "B")})
    x = arrays["X"].swapaxes(0, 1)
    for found, wanted in zip(narrow(x.astype(dtype)), wide(x), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, wanted, atol=3e-3)


class Stacked(torch.nn.Module):
    """Convolution, two LSTMs with something between, states in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.before = torch.nn.Conv1d(3, 6, 3, padding=1)
        self.lstm = torch.nn.LSTM(6, 5, 2, bidirectional=True, batch_first=True)
        self.gru = torch.nn.GRU(10, 4, batch_first=True)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.before(x.transpose(1, 2)).relu().transpose(1, 2)
        x, h = self.gru(self.lstm(x)[0].tanh(), h)
        return self.head(x).softmax(-1), h


@pytest.mark.filterwarnings("ignore")
def test_a_whole_graph_is_one_callable(tmp_path) -> None:
    torch.manual_seed(0)
    network, x, h = Stacked().eval(), torch.randn(2, 7, 3), torch.randn(1, 2, 4)
    place = tmp_path / "network.onnx"
    torch.onnx.export(
        network, (x, h), str(place), dynamo=False, input_names=["x", "h"],
        output_names=["shares", "h after"],
        dynamic_axes={"x": [0, 1], "h": [1], "shares": [0, 1], "h after": [1]},
    )  # fmt: skip
    graph = gated.from_onnx(place)
    assert len(graph.layers) == 3
    assert graph.inputs == ("x", "h")
    x, h = torch.randn(3, 9, 3), torch.randn(1, 3, 4)
    with torch.no_grad():
        wanted = network(x, h)
    found = graph(x=x.numpy(), h=h.numpy())
    assert_agree(tuple(found.values()), tuple(of.numpy() for of in wanted), "graph")


def test_a_recurrent_node_within_another_is_named_and_left() -> None:
    arrays = drawn("RNN", 1, lengths=False, peepholes=False)
    model, _ = one_node("RNN", arrays, {}, weights_given=True)
    inner = helper.make_graph(list(model.graph.node), "inner", [], [model.graph.output[0]])
    chosen = helper.make_node("If", ["which"], ["out"], then_branch=inner, else_branch=inner)
    which = helper.make_tensor_value_info("which", TensorProto.BOOL, [])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph([chosen], "outer", [which, *model.graph.input], [out])
    whole = helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)
    found = gated.from_onnx(whole.SerializeToString())
    assert found.left == {"memory": "it is within a node If"}
    wanted = gated.from_onnx(model.SerializeToString())(**arrays)["Y"]
    assert_agree(found(which=np.array(True), **arrays)["out"], wanted, "within")


def test_what_is_wrong_is_named(tmp_path) -> None:
    arrays = drawn("LSTM", 1, lengths=False, peepholes=False)
    model, inputs = one_node("LSTM", arrays, {}, weights_given=False)
    graph = gated.from_onnx(model.SerializeToString())
    with pytest.raises(DataError, match="initial_c is missing: inputs are X, initial_h, initial_c"):
        graph(inputs["X"], inputs["initial_h"])
    with pytest.raises(DataError, match=r"node 'memory': X .* must have the shape \(T, B, I\)"):
        graph(**(inputs | {"X": inputs["X"][0]}))
    with pytest.raises(DataError, match=r"initial_c .* must have the shape \(D, B, H\) with D = 1"):
        graph(**(inputs | {"initial_c": inputs["initial_c"][:, :2]}))
    with pytest.raises(ModelFileError, match="There is no file"):
        gated.from_onnx(tmp_path / "none.onnx")
    for data in (b"no graph", b""):
        with pytest.raises(ModelFileError, match="cannot be read as ONNX"):
            gated.from_onnx(data)
    arrays["W"] = arrays["W"][:, :7]
    model, _ = one_node("LSTM", arrays, {}, weights_given=False)
    with pytest.raises(ModelFileError, match=r"'memory' .*: W .* must be \(D, 4·H, I\)"):
        gated.from_onnx(model.SerializeToString())


def test_damaged_graphs_end_in_an_error_that_says_so() -> None:
    arrays = drawn("LSTM", 2, lengths=True, peepholes=True)
    model, inputs = one_node("LSTM", arrays, {"direction": "bidirectional"}, weights_given=False)
    data = np.frombuffer(model.SerializeToString(), np.uint8)
    draw, refused = np.random.default_rng(0), 0
    for turn in range(200):
        bad = data.copy()
        bad[draw.integers(0, len(bad), 3)] = draw.integers(0, 256)
        bad = bad if turn % 2 else data[: draw.integers(0, len(data))]
        try:
            gated.from_onnx(bad.tobytes())(**inputs)
        except (ModelFileError, DataError):
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("operation", "attributes", "message"),
    [
        ("LSTM", {"activations": ["Tanh"]}, "must be 3 functions, got 1: Tanh"),
        ("RNN", {"activations": ["Gelu"]}, "'Gelu', which ONNX does not know"),
        ("RNN", {"activations": ["Affine"]}, "Affine without numbers in activation_alpha"),
        ("RNN", {"clip": -1.0}, "clip must be above 0"),
        ("GRU", {"direction": "sideways"}, "direction of a node GRU must be one of forward"),
        ("GRU", {"colour": 1}, "the attribute 'colour'"),
    ],
)
def test_options_that_onnx_does_not_have_are_refused(operation, attributes, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_node(operation, attributes, False)
