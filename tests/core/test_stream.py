"""One step at a time against whole sequences."""

from __future__ import annotations

import array
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.comparison import assert_agree
from tests.core.layers import RandomLayer

from gated.core import native, reference
from gated.core.call import named_arrays
from gated.core.layout import LAYOUTS, Weights, layout_of
from gated.core.stream import StoredAs, Stream
from gated.core.variants import Regularisation, Zoneout
from gated.errors import ConfigurationError, DataError

CASES: list[tuple[str, dict[str, bool]]] = [
    *((cell, {}) for cell in LAYOUTS),
    ("gru", {"bias": False}),
    ("lstm", {"projected": True}),
    ("lstm", {"layer_norm": True}),
    ("gru", {"layer_norm": True}),
]


@pytest.fixture(params=native.instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    fastest = native.instruction_set()
    native.set_instruction_set(request.param)
    yield request.param
    native.set_instruction_set(fastest)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 7), (16, 17), (5, 129), (33, 64)])
@pytest.mark.parametrize(("cell", "options"), CASES)
def test_steps_are_the_sequence(
    instruction_set: str, cell: str, options: dict[str, bool], sizes: tuple[int, int]
) -> None:
    """Two layers, fifty steps, twice."""
    inputs, units = sizes
    first = RandomLayer(cell, (50, 1, inputs, units), dtype="float32", **options)
    outputs = first.weights.weight_hh.shape[1]
    second = RandomLayer(cell, (50, 1, outputs, units), dtype="float32", **options)
    zoneout = Zoneout((0.2, 0.1)[: len(layout_of(cell).states)])
    regularisation = Regularisation(zoneout=zoneout)
    below = reference.forward(cell, first.x, first.weights, regularisation=regularisation)
    above = reference.forward(cell, below.output, second.weights, regularisation=regularisation)

    stream = Stream(cell, [first.weights, second.weights], zoneout=zoneout)
    xs = first.x[:, 0]
    close = {"relative": 2e-5, "absolute": 2e-5}
    assert_agree(stream.steps(xs), above.output[:, 0], "hidden states", **close)
    finals = [[state[0] for state in result.final] for result in (below, above)]
    assert_agree(stream.states, [tuple(final) for final in finals], "states", **close)
    stream.reset()
    assert_agree(stream.steps(xs[:20]), above.output[:20, 0], "after a reset", **close)
    kept = stream.states
    rest = stream.steps(xs[20:])
    stream.states = kept
    np.testing.assert_array_equal(stream.steps(xs[20:]), rest)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("sequences", [1, 2, 3, 40])
@pytest.mark.parametrize(("cell", "options"), CASES)
def test_sequences_side_by_side(
    cell: str, options: dict[str, bool], sequences: int, threads: int
) -> None:
    """Two layers, large enough for threads; the same whatever their number."""
    first = RandomLayer(cell, (6, sequences, 130, 200), dtype="float32", **options)
    outputs = first.weights.weight_hh.shape[1]
    second = RandomLayer(cell, (6, sequences, outputs, 200), dtype="float32", **options)
    below = reference.forward(cell, first.x, first.weights)
    above = reference.forward(cell, below.output, second.weights)

    layers = [first.weights, second.weights]
    stream = Stream(cell, layers, sequences=sequences, threads=threads)
    xs = np.ascontiguousarray(first.x)
    close = {"relative": 5e-5, "absolute": 5e-5}
    hidden = stream.steps(xs)
    assert_agree(hidden, above.output, "hidden states", **close)
    finals = [tuple(result.final) for result in (below, above)]
    assert_agree(stream.states, finals, "states", **close)
    alone = Stream(cell, layers, sequences=sequences)
    np.testing.assert_array_equal(alone.steps(xs), hidden)
    stream.states = alone.states
    np.testing.assert_array_equal(stream.step(xs[0]), alone.step(xs[0]))


@pytest.mark.parametrize("sizes", [(1, 1), (3, 7), (16, 17), (5, 129), (70, 64), (9000, 5)])
@pytest.mark.parametrize(("cell", "options"), CASES)
def test_weights_in_sixteen_bits_are_the_rounded_ones(
    instruction_set: str, cell: str, options: dict[str, bool], sizes: tuple[int, int]
) -> None:
    layer = RandomLayer(cell, (20, 3, *sizes), dtype="float32", **options)
    weights = {name: rounded_to_16_bits(of) for name, of in named_arrays(layer.weights).items()}
    given = Stream(cell, layer.weights, sequences=3, stored_as="bfloat16").steps(layer.x)
    rounded = Stream(cell, weights, sequences=3).steps(layer.x)
    if native.multiplies_bfloat16():  # states and inputs are rounded too
        assert np.linalg.norm(given - rounded) < 1e-2 * np.linalg.norm(rounded)
    else:
        np.testing.assert_array_equal(given, rounded)


def rounded_to_16_bits(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of matrices: to the nearest float32 whose lower half is zero, and to the even one of two."""
    if array.ndim < 2:
        return array
    bits = array.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 7), (16, 17), (5, 129), (70, 64), (9000, 5)])
@pytest.mark.parametrize("cell", LAYOUTS)
def test_a_step_in_eight_bits_is_off_by_its_roundings(
    instruction_set: str, cell: str, sizes: tuple[int, int]
) -> None:
    """A first step: states are zeros, and of two roundings each is off by at most half a unit."""
    inputs, units = sizes
    layer = RandomLayer(cell, (1, 3, inputs, units), dtype="float32")
    exact = Stream(cell, layer.weights, sequences=3)
    rough = Stream(cell, layer.weights, sequences=3, stored_as="int8")
    x = np.ascontiguousarray(layer.x[0])
    difference = np.abs(exact.step(x) - rough.step(x))
    weight = np.abs(layer.weights.weight_ih)
    most = weight.max(1)
    off = np.outer(np.abs(x).sum(1), most) / 254
    off += np.outer(np.abs(x).max(1), weight.sum(1) + inputs * most / 254) / 4094
    # No gate changes by more than its sum does, nor does the state by more than its gates.
    bound = off.reshape(3, -1, units).sum(1)
    assert (difference <= bound + 1e-6).all()
    assert difference.any() or sizes == (1, 1)


@pytest.mark.parametrize("stored_as", get_args(StoredAs))
def test_weights_in_fewer_bits_give_the_same_bits_alone_and_in_a_batch(
    instruction_set: str, stored_as: StoredAs
) -> None:
    layer = RandomLayer("lstm", (30, 70, 35, 61), dtype="float32")
    side_by_side = Stream("lstm", layer.weights, sequences=70, stored_as=stored_as)
    together = side_by_side.steps(layer.x)
    for sequence in (0, 33, 69):
        alone = Stream("lstm", layer.weights, stored_as=stored_as)
        steps = alone.steps(np.ascontiguousarray(layer.x[:, sequence]))
        np.testing.assert_array_equal(steps, together[:, sequence])


def test_what_is_no_number_stays_none_in_fewer_bits() -> None:
    layer = RandomLayer("gru", (1, 2, 5, 9), dtype="float32")
    for stored_as in get_args(StoredAs):
        for value in (np.nan, np.inf):
            stream = Stream("gru", layer.weights, sequences=2, stored_as=stored_as)
            x = layer.x[0].copy()
            x[1, 3] = value
            output = stream.step(x)
            assert np.isfinite(output[0]).all()
            assert not np.isfinite(output[1]).all() or (value == np.inf and stored_as != "int8")
            weights = {name: of.copy() for name, of in named_arrays(layer.weights).items()}
            weights["weight_ih"][4, 2] = np.nan
            assert np.isnan(Stream("gru", weights, stored_as=stored_as).step(layer.x[0, 0])[4])
    with pytest.raises(ConfigurationError, match=r"one of float32, .*, got 'int4'"):
        Stream("gru", layer.weights, stored_as="int4")  # type: ignore[arg-type]


def test_what_a_step_gives_is_overwritten_and_what_it_took_may_change() -> None:
    layer = RandomLayer("lstm", (2, 1, 3, 5), dtype="float32")
    weights = Weights(*(None if w is None else w.copy() for w in layer.weights))
    stream = Stream("lstm", weights)
    x = layer.x[0, 0].copy()
    first = stream.step(x)
    kept = first.copy()
    x[:] = 99
    weights.weight_ih[:] = 99  # packed already
    again = stream.step(layer.x[1, 0])
    assert again is first
    assert not np.array_equal(first, kept)
    expected = reference.forward("lstm", layer.x, layer.weights).output[1, 0]
    assert_agree(again, expected, "second step")
    mine = np.empty(5, np.float32)
    assert stream.step(layer.x[0, 0], out=mine) is mine
    np.testing.assert_array_equal(mine, again)


def test_an_input_may_be_any_buffer_of_floats() -> None:
    layer = RandomLayer("gru", (1, 1, 3, 5), dtype="float32")
    expected = Stream("gru", layer.weights).step(layer.x[0, 0])
    given = Stream("gru", layer.weights).step(array.array("f", layer.x[0, 0]))
    np.testing.assert_array_equal(given, expected)


HERE = Path(__file__).parent


@pytest.mark.slow
def test_a_step_allocates_nothing_and_takes_no_lock(tmp_path: Path) -> None:
    if sys.platform != "linux" or (compiler := shutil.which("c++")) is None:
        pytest.skip("needs Linux and a C++ compiler")
    library = tmp_path / "real_time.so"
    source = HERE.parent / "native" / "real_time.cpp"
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
    said = subprocess.run(
        [sys.executable, "-m", "tests.core.real_time", library],
        env={**os.environ, "LD_PRELOAD": str(library)},
        cwd=HERE.parents[1],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    counts = {name: int(count) for name, _, count in (line.rpartition(": ") for line in said)}
    asking = counts.pop("count_of_calls")  # as much as asking itself takes
    assert (counts.pop("allocate") - asking, counts.pop("lock") - asking) == (2, 1)
    assert len(counts) > 12
    assert set(counts.values()) == {0}, counts


LAYER = RandomLayer("lstm", (1, 1, 3, 4), dtype="float32")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(4, np.float32), r"of the shape \(3,\), got float32 of the shape \(4,\)"),
        (np.zeros(3), r"got float64 of the shape \(3,\)"),
        (np.zeros((1, 3), np.float32), r"got float32 of the shape \(1, 3\)"),
        (np.zeros(6, np.float32)[::2], "not contiguous"),
        ([1.0, 2.0, 3.0], "got list"),
        (None, "got NoneType"),
    ],
)
def test_an_input_that_does_not_fit_is_told(x: Any, message: str) -> None:
    stream = Stream("lstm", LAYER.weights)
    with pytest.raises(DataError, match=message):
        stream.step(x)
    several = Stream("lstm", LAYER.weights, sequences=2)
    with pytest.raises(DataError, match=r"of the shape \(2, 3\), got"):
        several.step(x)


@pytest.mark.parametrize(
    "out", [np.zeros(3, np.float32), np.zeros((2, 4), np.float32), np.zeros(4)]
)
def test_an_out_that_does_not_fit_is_told_before_the_step(out: Any) -> None:
    stream = Stream("lstm", LAYER.weights)
    with pytest.raises(DataError, match=r"out must have the shape \(4,\)"):
        stream.step(LAYER.x[0, 0], out=out)
    np.testing.assert_array_equal(stream.states[0][0], np.zeros(4))


def test_layers_and_states_that_do_not_fit_are_told() -> None:
    with pytest.raises(ConfigurationError, match="at least one layer"):
        Stream("lstm", [])
    with pytest.raises(DataError, match=r"layer 1 must take the 4 outputs .* got the shape"):
        Stream("lstm", [LAYER.weights, LAYER.weights])
    with pytest.raises(ConfigurationError, match="sequences must be at least 1, got 0"):
        Stream("lstm", LAYER.weights, sequences=0)
    with pytest.raises(ConfigurationError, match="threads must be at least 1, got 0"):
        Stream("lstm", LAYER.weights, threads=0)
    with pytest.raises(ConfigurationError, match="its seed must be None, got "):
        Stream("lstm", LAYER.weights, zoneout=Zoneout((0.1, 0.1), 3))
    with pytest.raises(DataError, match="weight_ih must have the dtype of x, float32"):
        Stream("lstm", RandomLayer("lstm", (1, 1, 3, 4)).weights)
    stream = Stream("lstm", LAYER.weights)
    with pytest.raises(DataError, match="states must be of 1 layers, got 2"):
        stream.states = [(), ()]
    with pytest.raises(DataError, match=r"states of layer 0 must be hidden, cell of the shapes"):
        stream.states = [(np.zeros(4), np.zeros(3))]
