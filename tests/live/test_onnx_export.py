"""Programs as ONNX: compared with the runtime, in parts, with states that come in and go out."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests.live import programs
from tests.live.keras_models import FOLDER
from tests.live.programs import causal, gru, model, random
from tests.live.test_c import CELLS, classifier, of_layer, pooled

import gated
import gated.nn
from gated.cells import library
from gated.cli.app import run
from gated.errors import ProgramError
from gated.live import emit_onnx, triton
from gated.live.emit_onnx import source
from gated.live.model import Model, write
from gated.live.program import Writer
from gated.live.table import LAYERS


def whole() -> Model:
    """Reads later steps: both directions, a convolution around each step, patches and their end."""
    writer = Writer("numbers", 2, missing=True)
    filled = writer.add("fill", writer.input)
    seen = writer.add("convolution", filled, weight="c.weight", before=1)
    joined = writer.add("patch", seen, steps=3)
    hidden = writer.add(
        "recurrent", joined, cell="gru", weights="r.", layers=1, units=3, directions=2
    )
    energy = writer.add("linear", hidden, weight="e.weight")
    pooled = [
        writer.add("last", hidden, directions=2),
        *(writer.add(name, hidden) for name in ("mean", "max")),
        writer.add("attention", hidden, energy),
    ]
    weighed = writer.add("scale", hidden, pooled[1])
    single = writer.add("mean", writer.add("unpatch", weighed, steps=2))
    found = writer.add("linear", writer.add("concatenate", *pooled, single), weight="h.weight")
    found = writer.add("rescale", found, mean=[1e3], deviation=[2.0])
    arrays = random(0, c__weight=(4, 2, 4), e__weight=(1, 6), h__weight=(1, 27), **gru(3, 12))
    arrays |= {f"{name}_reverse": of * 0.5 for name, of in arrays.items() if name[:2] == "r."}
    return model(writer.program("numbers", found), arrays)


def codes() -> Model:
    """A language model of codes."""
    writer = Writer("codes", 5)
    steps = writer.add("embedding", writer.input, weight="e")
    hidden = writer.add("recurrent", steps, cell="gru", weights="r.", layers=1, units=3)
    shares = writer.add("softmax", writer.add("linear", hidden, weight="h", bias="b"))
    arrays = random(0, e=(5, 2), h=(5, 3), b=(5,), **gru(3, 2))
    return model(writer.program("probabilities", shares, labels=list("?abcd")), arrays)


def session(of: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(of)


def test_layers_that_are_not_written_are_named_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "en" / "live.md").read_text("utf-8")
    (said,) = re.findall(r"In ONNX there is no([^.]*)\.", page)
    named = set(re.findall("`(.*?)`", said))
    assert named <= {name for name, of in LAYERS.items() if of not in emit_onnx._EMITTED}
    assert set(emit_onnx._EMITTED) <= set(LAYERS.values())


@pytest.mark.parametrize("make", [lambda: model(*causal()), classifier, codes])
def test_a_stream_in_parts_is_the_runtimes(make) -> None:
    given = make()
    found = source(given)
    assert found.streams
    graph, draw = session(found.data), np.random.default_rng(1)
    state = {of.name: np.zeros((2, *of.shape), of.dtype) for of in found.states}
    stream = given.stream(sequences=2)
    for steps in (1, 5, 2):
        shape = (2, steps * found.multiple)
        x: Any = draw.integers(0, 5, shape) if found.codes else draw.normal(0, 3, (*shape, 2))
        x = x if found.codes else x.astype(np.float32)
        wanted = stream.push_many(x.swapaxes(0, 1)).swapaxes(0, 1)
        got, *after = graph.run(None, {"x": x, **state})
        state = dict(zip(state, after, strict=True))
        np.testing.assert_allclose(got, wanted if found.steps else wanted[:, -1], atol=2e-5)


def test_a_whole_network_takes_lengths() -> None:
    given = whole()
    found = source(given)
    assert not found.streams
    assert found.states == ()
    x = np.random.default_rng(1).normal(size=(4, 11, 2)).astype(np.float32)
    lengths = np.array([11, 1, 4, 9])
    (got,) = session(found.data).run(None, {"x": x, "lengths": lengths})
    wanted = given([row[:length] for row, length in zip(x, lengths, strict=True)])
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    x[1, 1:], x[2, 4:] = 7.0, np.nan  # padding is not read
    (again,) = session(found.data).run(None, {"x": x, "lengths": lengths})
    np.testing.assert_array_equal(got, again)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_means_of_steps(bidirectional: bool) -> None:
    found = source(model(*pooled(bidirectional)))
    assert found.streams != bidirectional
    assert found.multiple == (1 if bidirectional else 3)


def test_fixed_features_of_whole_sequences() -> None:
    given = model(*programs.whole())
    x = np.random.default_rng(1).normal(size=(5, 40, 2)).astype(np.float32)
    lengths = np.array([40, 1, 2, 9, 25])
    found = source(given)
    (got,) = session(found.data).run(None, {"x": x, "lengths": lengths})
    wanted = given([row[:length] for row, length in zip(x, lengths, strict=True)])
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "nodes"),
    [
        (lambda: gated.nn.LSTM(3, 5, 2), ["LSTM"] * 2),
        (lambda: gated.nn.LSTM(3, 5, peepholes=True, bidirectional=True), ["LSTM"]),
        (lambda: gated.nn.LSTM(3, 5, coupled=True), ["LSTM"]),
        (lambda: gated.nn.GRU(3, 5, bias=False, bidirectional=True), ["GRU"]),
        (lambda: gated.nn.GRU(3, 5, reset_after=False), ["GRU"]),
        (lambda: gated.nn.RNN(3, 5, nonlinearity="relu"), ["RNN"]),
        (lambda: gated.nn.LSTM(3, 5, proj_size=2), ["Scan"]),
        (lambda: gated.nn.LSTM(3, 5, layer_norm=True, bidirectional=True), ["Scan"] * 2),
        (lambda: gated.nn.LSTM(3, 5, zoneout=0.3), ["Scan"]),
        (lambda: gated.nn.Recurrent(library.mgu, 3, 6, heads=2, bidirectional=True), ["Scan"] * 2),
    ],
)
def test_cells_with_options(make, nodes: list[str]) -> None:
    torch.manual_seed(1)
    found = source(of_layer(make().eval(), 3))
    written = [node.op_type for node in onnx.load_from_string(found.data).graph.node]
    assert [of for of in written if of in ("LSTM", "GRU", "RNN", "Scan")] == nodes


@pytest.mark.parametrize("name", sorted(CELLS))
def test_every_cell_of_the_library(name: str) -> None:
    torch.manual_seed(1)
    assert source(of_layer(gated.nn.Recurrent(CELLS[name], 4, 4), 4)).streams


def test_what_onnxruntime_computes_otherwise_is_not_written(monkeypatch) -> None:
    linear = emit_onnx._EMITTED[emit_onnx.recurrence.Linear]

    def wrong(w, of, given, name):
        found = linear(w, of, given, name)
        return found._replace(value=found.value * 1.01)

    monkeypatch.setitem(emit_onnx._EMITTED, emit_onnx.recurrence.Linear, wrong)
    with pytest.raises(ProgramError, match=r"off by .* nothing was written"):
        source(codes())
    monkeypatch.delitem(emit_onnx._EMITTED, emit_onnx.recurrence.Linear)
    with pytest.raises(ProgramError, match=r"the layer 'linear' \(Linear\) is not written in ONNX"):
        source(codes())


def test_what_comes_back_reads_its_own_recurrent_nodes() -> None:
    given = codes()
    found = source(given)
    graph = gated.from_onnx(found.data)
    assert len(graph.layers) == 1
    x = np.array([[1, 2, 3]])
    got = graph(x=x, recurrent_0_h=np.zeros((1, 3), np.float32))
    np.testing.assert_allclose(got["prediction"][0], given(x[0]), atol=1e-6)


def test_the_server_keeps_the_states() -> None:
    found = source(model(*causal()))
    text = triton.config(found, "gestures")
    for of in found.states:
        assert f'input_name: "{of.name}"' in text
        assert f'output_name: "{of.name}_after"' in text
    assert "dims: [ 2, 4 ]" in text  # of the convolution: steps, features
    assert text.count("zero_data: true") == len(found.states)
    assert text.count("{") == text.count("}")
    assert text.count("[") == text.count("]")
    whole_text = triton.config(source(whole()), "whole")
    assert "dynamic_batching" in whole_text
    assert 'name: "lengths" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] }' in whole_text


def test_the_command_writes_a_directory_for_the_server(tmp_path: Path, capsys) -> None:
    writer = Writer("numbers", 2)
    found = writer.add("linear", writer.input, weight="w")
    write(tmp_path / "run", writer.program("numbers", found), random(0, w=(3, 2)))
    command = ["export", str(tmp_path / "run"), "--to", "onnx", "--out"]
    assert run([*command, str(tmp_path / "net")]) == 0
    assert "checked in onnxruntime" in capsys.readouterr().out
    assert (tmp_path / "net" / "config.pbtxt").read_text().startswith('name: "net"')
    x = np.ones((1, 2, 2), np.float32)
    (got,) = session((tmp_path / "net" / "1" / "model.onnx").read_bytes()).run(None, {"x": x})
    np.testing.assert_allclose(got[0], gated.load(tmp_path / "run")(x[0]), rtol=1e-6)
    assert run([*command, str(tmp_path / "net")]) != 0
    assert "is not empty" in capsys.readouterr().err
    assert run([*command, str(tmp_path / "a b")]) != 0
    assert "must be a name of letters" in " ".join(capsys.readouterr().err.split())


def test_the_command_takes_models_of_keras(tmp_path: Path) -> None:
    place = str(FOLDER / "lstm.keras")
    for to, out in (("c", "net.c"), ("onnx", "net"), ("program", "alone")):
        assert run(["export", place, "--to", to, "--out", str(tmp_path / out)]) == 0
    x = np.ones((4, 3))
    np.testing.assert_array_equal(gated.load(tmp_path / "alone")(x), gated.from_keras(place)(x))
    assert re.search("int net_push", (tmp_path / "net.h").read_text())
