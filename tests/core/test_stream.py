"""One step at a time against whole sequences."""

from __future__ import annotations

import array
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.comparison import assert_agree
from tests.core.layers import RandomLayer

from gated.core import native, reference
from gated.core.layout import LAYOUTS, Weights, layout_of
from gated.core.stream import Stream
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
