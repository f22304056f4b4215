"""Layers that read the steps around a step: PyTorch's results, whole, in parts, in C and ONNX."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.live.programs import gru, model, random
from tests.live.test_c import built, needs_a_compiler
from torch.nn import functional

from gated.errors import ModelFileError, ProgramError
from gated.live.int8 import rounded, rounded_model
from gated.live.model import Model
from gated.live.program import Writer


def convolved(kernel: int = 3, stride: int = 2) -> Model:
    """Two convolutions over 2 maps of 5 bands."""
    writer = Writer("numbers", 10)
    names = {"weight": "a.weight", "bias": "a.bias"}
    seen = writer.add("convolution_2d", writer.input, stride=stride, **names)
    seen = writer.add("activation", seen, function="relu")
    seen = writer.add("convolution_2d", seen, stride=stride, weight="b.weight")
    arrays = random(
        0, a__weight=(3, 2, kernel, kernel), a__bias=(3,), b__weight=(4, 3, kernel, kernel)
    )
    return model(writer.program("numbers", seen), arrays)


def listening(look_ahead: int = 3) -> Model:
    """A recogniser in small: it waits for steps, and joins them."""
    writer = Writer("numbers", 6)
    scaled = writer.add("standardise", writer.input, mean=[1.0] * 6, deviation=[2.0] * 6)
    names = {"weight": "a.weight", "bias": "a.bias"}
    seen = writer.add("convolution_2d", scaled, stride=2, **names)
    seen = writer.add("activation", seen, function="relu")
    hidden = writer.add("recurrent", seen, cell="gru", weights="r.", layers=1, units=5)
    if look_ahead:
        hidden = writer.add("look_ahead", hidden, weight="l.weight", bias="l.bias")
    head = writer.add("linear", hidden, weight="h.weight", bias="h.bias")
    arrays = random(
        0,
        a__weight=(4, 1, 3, 3),
        a__bias=(4,),
        l__weight=(5, 1, look_ahead + 1),
        l__bias=(5,),
        h__weight=(3, 5),
        h__bias=(3,),
        **gru(5, 12),
    )
    return model(writer.program("probabilities", writer.add("softmax", head)), arrays)


def by_torch(of: Model, x: np.ndarray, stride: int) -> np.ndarray:
    maps = torch.from_numpy(x.astype(np.float32)).T.reshape(1, 2, 5, -1)
    weights = {name: torch.from_numpy(array) for name, array in of._arrays.items()}
    side = weights["a.weight"].shape[-1] // 2
    maps = functional.conv2d(
        maps, weights["a.weight"], weights["a.bias"], stride=stride, padding=side
    )
    maps = functional.conv2d(maps.relu(), weights["b.weight"], stride=stride, padding=side)
    return maps[0].flatten(0, 1).T.numpy()


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 1), (1, 1), (5, 3), (3, 3)])
def test_convolutions_over_bands_are_those_of_torch(kernel: int, stride: int) -> None:
    of, draw = convolved(kernel, stride), np.random.default_rng(1)
    xs = [draw.normal(size=(steps, 10)) for steps in (1, 2, 3, 4, 7, 16, 17)]
    for x, found in zip(xs, of(xs), strict=True):
        expected = by_torch(of, x, stride)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "of", [convolved(), convolved(5, 1), convolved(5, 3), convolved(3, 3), listening()]
)
def test_a_finished_stream_in_any_parts_gives_the_bits_of_the_whole(of: Model) -> None:
    draw = np.random.default_rng(2)
    for steps in (1, 2, 5, 8, 16, 31):
        x = draw.normal(size=(steps, of.program.input.form.features))
        whole, stream = of(x), of.stream()
        pushed = [out for out in map(stream.push, x) if out is not None]
        kept = of.stream(state=stream.state())
        for ended in (stream, kept):
            rest = ended.finish()
            assert ended.steps == 0
            found = np.concatenate([np.reshape(pushed, (-1, whole.shape[1])), rest])
            np.testing.assert_array_equal(found, whole)
        parts = [stream.push_many(x[:3]), stream.push_many(x[3:]), stream.finish()]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    side_by_side = of.stream(sequences=2)
    twice = [side_by_side.push_many(np.stack([x, x], 1)), side_by_side.finish()]
    np.testing.assert_array_equal(np.concatenate(twice), np.stack([whole, whole], 1))


def test_streams_that_wait_for_other_steps_go_side_by_side() -> None:
    of, draw = listening(), np.random.default_rng(3)
    x = draw.normal(size=(3, 30, 6))
    streams, alone = [of.stream() for _ in x], [of.stream() for _ in x]
    for first, stream in enumerate(streams):
        stream.push_many(x[first, :first])
        alone[first].push_many(x[first, :first])
    for step in range(20):
        now = [x[at, at + step] for at in range(3)]
        for found, stream, mine in zip(of.push(streams, now), alone, now, strict=True):
            np.testing.assert_array_equal(found, stream.push(mine))


@needs_a_compiler
@pytest.mark.parametrize("stored_as", ["float32", "int8"])
@pytest.mark.parametrize("of", [convolved(), convolved(5, 1), convolved(3, 3), listening()])
def test_in_c_they_predict_what_the_runtime_does(of: Model, stored_as: str, tmp_path: Path) -> None:
    if stored_as == "int8":
        of = rounded_model(of.program.values, of._arrays)
    done = built(of, tmp_path, stored_as=stored_as)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split()[0]) >= 4


def test_what_waits_in_different_ways_is_not_joined() -> None:
    """In a stream their results would come at different steps."""
    for layer, arrays in (
        ("convolution_2d", {"w": (2, 1, 5, 5)}),
        ("look_ahead", {"w": (2, 1, 3)}),
    ):
        writer = Writer("numbers", 2)
        seen = writer.add(layer, writer.input, weight="w")
        both = writer.add("concatenate", writer.input, seen)
        with pytest.raises(ModelFileError, match="inputs of different steps"):
            model(writer.program("numbers", both), random(0, **arrays))


def joined_with_a_patch(kernel: int) -> Model:
    """A convolution over every third step, beside patches of three."""
    writer = Writer("numbers", 2)
    seen = writer.add("convolution_2d", writer.input, weight="w", stride=3)
    both = writer.add("concatenate", writer.add("patch", writer.input, steps=3), seen)
    return model(writer.program("numbers", both), random(0, w=(2, 1, kernel, kernel)))


def test_what_waits_in_the_same_way_is_joined() -> None:
    of, x = joined_with_a_patch(5), np.random.default_rng(4).normal(size=(14, 2))
    stream = of.stream()
    pushed = [out for out in map(stream.push, x) if out is not None]
    np.testing.assert_array_equal(np.concatenate([pushed, stream.finish()]), of(x))
    assert len(pushed) == 4
    with pytest.raises(ModelFileError, match="inputs of different steps"):
        joined_with_a_patch(3)


@pytest.mark.parametrize(
    ("options", "shape", "why"),
    [
        ({}, (2, 1, 3, 5), "windows are square"),
        ({}, (2, 1, 2, 2), "an odd number of steps"),
        ({"stride": 4}, (2, 1, 3, 3), "at least the stride"),
        ({}, (2, 3, 3, 3), "as many bands each"),
        ({"stride": 0}, (2, 1, 3, 3), "from 1 to"),
        ({"before": 1}, (2, 1, 3, 3), "before"),
    ],
)
def test_convolutions_that_do_not_fit_are_refused(options: dict, shape: tuple, why: str) -> None:
    writer = Writer("numbers", 4)
    seen = writer.add("convolution_2d", writer.input, weight="w", **options)
    with pytest.raises(ModelFileError, match=why):
        model(writer.program("numbers", seen), random(0, w=shape))


def test_rounded_weights_are_those_of_the_convolutions_too() -> None:
    of = convolved()
    after = rounded_model(of.program.values, of._arrays)
    np.testing.assert_array_equal(after._arrays["a.weight"], rounded(of._arrays["a.weight"]))
    assert np.abs(after._arrays["b.weight"] - of._arrays["b.weight"]).max() > 0


@pytest.mark.parametrize("of", [convolved(), convolved(1, 1), listening(0)])
def test_in_onnx_they_stream_as_in_the_runtime(of: Model) -> None:
    pytest.importorskip("onnxruntime")
    from gated.live.emit_onnx import source

    found = source(of)  # compares with the runtime
    assert found.streams
    assert bool(found.states) == (of.program.layers[0].form.rate != (1,))


def test_what_answers_later_is_not_streamed_in_onnx() -> None:
    pytest.importorskip("onnxruntime")
    from gated.live.emit_onnx import source

    with pytest.raises(ProgramError, match="--look-ahead 0"):
        source(listening())
    with pytest.raises(ProgramError, match="waits for more steps than it joins"):
        source(convolved(5, 1))


def test_both_ways_they_are_written_in_onnx_with_lengths() -> None:
    pytest.importorskip("onnxruntime")
    from gated.live.emit_onnx import source

    writer = Writer("numbers", 6)
    seen = writer.add("convolution_2d", writer.input, stride=2, weight="a.weight")
    seen = writer.add("look_ahead", seen, weight="l.weight", bias="l.bias")
    seen = writer.add("convolution", seen, weight="c.weight", before=1)  # reads a later step
    arrays = random(
        0, a__weight=(4, 1, 3, 3), l__weight=(12, 1, 3), l__bias=(12,), c__weight=(2, 12, 3)
    )
    found = source(model(writer.program("numbers", seen), arrays))  # compares with the runtime
    assert not found.streams
