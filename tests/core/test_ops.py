"""Every cell, instruction set and dtype of the native core against the equations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.comparison import assert_agree
from tests.core.layers import RandomLayer, options_for, variants

from gated.core import native, ops, reference
from gated.core.layout import LAYOUTS, Weights
from gated.core.variants import Regularisation
from gated.errors import ConfigurationError, DataError

CELLS = list(LAYOUTS)
DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}


@pytest.fixture(params=native.instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this processor has, in turn."""
    fastest = native.instruction_set()
    native.set_instruction_set(request.param)
    yield request.param
    native.set_instruction_set(fastest)


def assert_as_the_reference(
    layer: RandomLayer, *, threads: int | None = None, **given: Any
) -> None:
    """Output, final states, every gate, and every gradient; with and without recomputation."""
    close = {"relative": TOLERANCE[layer.dtype], "absolute": TOLERANCE[layer.dtype]}
    arguments = layer.given() | given
    theirs = reference.forward(**arguments, keep=True)
    ours = ops.forward(**arguments, keep=True, threads=threads)
    assert_agree(ours.output, theirs.output, "output", **close)
    assert_agree(ours.final, theirs.final, "final", **close)
    assert ours.kept is not None
    for name in layer.grad_gates:
        assert_agree(ours.kept.gate(name), theirs.kept.gate(name), name, **close)
    for options in ({}, {"keep": True, "recompute": True}):
        lean = ops.forward(**arguments, **options, threads=threads)
        np.testing.assert_array_equal(lean.output, ours.output)
        for state, same in zip(lean.final, ours.final, strict=True):
            np.testing.assert_array_equal(state, same)

    wide = 30 * TOLERANCE[layer.dtype]  # sums over all steps
    for grad_gates in ({}, layer.grad_gates):
        grads = (layer.grad_output, layer.grad_final, grad_gates)
        expected = reference.backward(theirs.kept, *grads)
        gradients = ops.backward(ours.kept, *grads, threads=threads)
        for part, wanted in zip(flat(gradients), flat(expected), strict=True):
            largest = np.abs(wanted).max(initial=1)  # of which the others are differences
            assert_agree(part, wanted, "gradient", relative=wide, absolute=wide * largest)
        again = ops.backward(lean.kept, *grads, threads=threads)
        for one, other in zip(flat(again), flat(gradients), strict=True):
            np.testing.assert_array_equal(one, other)


def flat(gradients: ops.Backward | reference.Backward) -> list[np.ndarray]:
    arrays = [gradients.x, *gradients.weights, *gradients.initial]
    return [array for array in arrays if array is not None]


@pytest.mark.parametrize("units", [1, 7, 16, 17, 129])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("cell", "variant"), variants(CELLS))
def test_agrees_with_the_reference(
    instruction_set: str, cell: str, variant: str, dtype: str, units: int
) -> None:
    """Plain, and ragged and reversed, with every variant."""
    inputs, sequences = {1: (1, 1), 7: (3, 17), 16: (16, 7), 17: (129, 5), 129: (5, 16)}[units]
    options = options_for(cell, variant)
    layer = RandomLayer(cell, (6, sequences, inputs, units), dtype=dtype, **options)
    if variant in ("plain", "everything"):
        assert_as_the_reference(layer)
    lengths = np.random.default_rng(2).integers(0, 7, sequences)
    assert_as_the_reference(layer, lengths=lengths, reverse=True)


@given(
    of=st.sampled_from(variants(CELLS)),
    sizes=st.tuples(*(st.integers(low, 40) for low in (0, 0, 1, 1))),
    seed=st.integers(0, 2**32),
    reverse=st.booleans(),
    ragged=st.booleans(),
    threads=st.integers(1, 4),
)
def test_agrees_at_any_size(
    of: tuple[str, str],
    sizes: tuple[int, int, int, int],
    seed: int,
    reverse: bool,
    ragged: bool,
    threads: int,
) -> None:
    layer = RandomLayer(of[0], sizes, seed=seed, **options_for(*of))
    lengths = np.random.default_rng(seed).integers(0, sizes[0] + 1, sizes[1]) if ragged else None
    assert_as_the_reference(layer, lengths=lengths, reverse=reverse, threads=threads)


@pytest.mark.parametrize(("cell", "variant"), variants(CELLS))
def test_long_sequences_go_back_in_several_runs(
    instruction_set: str, cell: str, variant: str
) -> None:
    """More rows than the way back takes at a time, and more than the way forward does."""
    layer = RandomLayer(cell, (150, 7, 5, 11), **options_for(cell, variant))
    assert_as_the_reference(layer, lengths=np.array([150, 2, 149, 80, 0, 150, 33]))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("sequences", [3, 7, 11, 20])
@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "lstm"])
def test_weights_that_are_used_once_or_lie_far(
    instruction_set: str, cell: str, sequences: int, steps: int
) -> None:
    """Read where they are, packed a part at a time, or packed; by one thread, and shared by two."""
    layer = RandomLayer(cell, (steps, sequences, 603, 301))
    for threads in (1, 2):
        assert_as_the_reference(layer, threads=threads)


@pytest.mark.parametrize(("cell", "variant"), variants(CELLS))
@pytest.mark.parametrize(("sequences", "units"), [(13, 70), (13, 300), (2, 300), (1, 300)])
def test_results_do_not_depend_on_the_number_of_threads(
    instruction_set: str, cell: str, variant: str, sequences: int, units: int
) -> None:
    """Few sequences share the units of a step, many are shared out: to the last bit the same."""
    layer = RandomLayer(
        cell, (9, sequences, 40, units), dtype="float32", **options_for(cell, variant)
    )
    lengths = np.arange(sequences) % 4 + 6
    results = []
    for threads in (1, 2, 3, 5):
        result = ops.forward(
            **layer.given(), lengths=lengths, reverse=True, keep=True, threads=threads
        )
        gradients = ops.backward(result.kept, layer.grad_output, threads=threads)
        gates = [result.kept.gate(name) for name in layer.grad_gates]
        results.append([result.output, *result.final, *gates, *flat(gradients)])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("cell", "variant"), variants(CELLS))
def test_nan_stays_in_its_sequence_and_padding_is_not_read(
    instruction_set: str, cell: str, variant: str
) -> None:
    options = options_for(cell, variant)
    layer = RandomLayer(cell, (5, 7, 3, 20), dtype="float32", **options)
    lengths = np.array([5, 0, 3, 5, 1, 4, 2])

    def run() -> tuple[np.ndarray, ops.Backward]:
        result = ops.forward(**layer.given(), lengths=lengths, keep=True)
        gradients = ops.backward(result.kept, layer.grad_output, None, layer.grad_gates)
        return result.output, gradients

    clean, clean_gradients = run()
    padding = np.arange(5)[:, None] >= lengths
    for padded in (layer.x, layer.grad_output, *layer.grad_gates.values()):
        padded[padding] = np.nan
    output, gradients = run()
    np.testing.assert_array_equal(output, clean)
    for one, other in zip(flat(gradients), flat(clean_gradients), strict=True):
        np.testing.assert_array_equal(one, other)

    layer.x[2, 3] = np.nan
    output, gradients = run()
    others = np.arange(7) != 3
    np.testing.assert_array_equal(output[:, others], clean[:, others])
    np.testing.assert_array_equal(output[:2, 3], clean[:2, 3])
    assert np.isnan(output[2:, 3]).all()
    np.testing.assert_array_equal(gradients.x[:, others], clean_gradients.x[:, others])
    assert np.isnan(gradients.weights.weight_hh).any()


def ulps(ours: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The distance to the exact values in units of their last place; below normal it is none."""
    distance = np.abs(ours - exact)
    distance[distance <= np.finfo(ours.dtype).smallest_normal] = 0
    return distance / np.spacing(np.abs(exact).astype(ours.dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_keep_their_bounds_over_the_whole_range(
    instruction_set: str, dtype: str
) -> None:
    """One step of unit weights from zero states shows the activation itself."""
    if dtype == "float32":
        patterns = np.arange(0, 2**32, 6151, dtype=np.uint32)  # a prime: no bit stays fixed
        everywhere = patterns.view(np.float32)
        everywhere = everywhere[np.isfinite(everywhere)]
    else:
        random = np.random.default_rng(3)
        everywhere = random.choice([-1.0, 1.0], 200_000) * 2 ** random.uniform(-1074, 1023, 200_000)
    busy = np.linspace(-110, 110, 300_001) if dtype == "float32" else np.linspace(-760, 760, 99_991)
    near_zero = np.linspace(-1, 1, 100_003)
    x = np.concatenate([everywhere, busy, near_zero]).astype(dtype)
    wider = np.float64 if dtype == "float32" else np.longdouble

    one, none = np.ones((4, 1), dtype), np.zeros((4, 1), dtype)
    lstm = ops.forward("lstm", x[None, :, None], Weights(one, none), keep=True)
    assert lstm.kept is not None
    with np.errstate(over="ignore", under="ignore"):
        exact_sigmoid = 1 / (1 + np.exp(-x.astype(wider)))
        exact_tanh = np.tanh(x.astype(wider))
    assert ulps(lstm.kept.gate("input_gate").ravel(), exact_sigmoid).max() < 3
    assert ulps(lstm.kept.gate("candidate").ravel(), exact_tanh).max() < 3

    x = np.array([np.inf, -np.inf, np.nan], dtype)
    lstm = ops.forward("lstm", x[None, :, None], Weights(one, none), keep=True)
    assert lstm.kept is not None
    np.testing.assert_array_equal(lstm.kept.gate("input_gate").ravel(), [1, 0, np.nan])
    np.testing.assert_array_equal(lstm.kept.gate("candidate").ravel(), [1, -1, np.nan])


def test_input_may_lie_anywhere_as_long_as_features_are_side_by_side() -> None:
    layer = RandomLayer("lstm", (5, 6, 3, 8), dtype="float32")
    x, weights = layer.x, layer.weights
    expected = ops.forward("lstm", x, weights).output
    batch_first = np.ascontiguousarray(x.swapaxes(0, 1))
    part_of_more = np.zeros((10, 6, 7), np.float32)
    part_of_more[::-2, :, 2:5] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for same in (batch_first.swapaxes(0, 1), part_of_more[::-2, :, 2:5], read_only):
        np.testing.assert_array_equal(ops.forward("lstm", same, weights).output, expected)
    one = np.broadcast_to(x[:, :1], x.shape)
    np.testing.assert_array_equal(
        ops.forward("lstm", one, weights).output, ops.forward("lstm", one.copy(), weights).output
    )


def misaligned(array: np.ndarray) -> np.ndarray:
    """The same values, a byte off where the processor would have them."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    there = memory[1:].view(array.dtype).reshape(array.shape)
    there[:] = array
    return there


LAYER = RandomLayer("lstm", (5, 2, 3, 4), dtype="float32")
X, WEIGHTS = LAYER.x, LAYER.weights
STATE = np.zeros((2, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "lstmp"}, "cell must be one of .*, got 'lstmp'"),
        ({"x": X[0]}, r"x must have the shape \(T, B, I\), got \(2, 3\)"),
        ({"x": X.tolist()}, "x must be a NumPy array, got list"),
        ({"x": X.astype(np.float16)}, "x must be float32 or float64, got float16"),
        ({"x": X.astype(">f4")}, "x must be float32 or float64, got >f4"),
        ({"x": misaligned(X)}, r"features of x .* adjacent in memory"),
        ({"x": X.T}, r"features of x .* adjacent in memory, got strides"),
        ({"x": X[:, :, :2]}, r"weight_ih must have the shape \(16, 2\), got \(16, 3\)"),
        ({"weights": WEIGHTS._replace(weight_hh=np.float32(1))}, "weight_hh must have the shape"),
        (
            {"weights": WEIGHTS._replace(weight_hh=np.zeros((0, 0)))},
            r"weight_hh must have the shape \(4·H, H\) with H of at least 1, got \(0, 0\)",
        ),
        (
            {"weights": RandomLayer("gru", (5, 2, 3, 4), dtype="float32").weights},
            r"weight_hh must have the shape \(12, 3\), got \(12, 4\)",
        ),
        (
            {"weights": WEIGHTS._replace(weight_hh=WEIGHTS.weight_hh.astype(np.float64))},
            "weight_hh must have the dtype of x, float32, got float64",
        ),
        (
            {"weights": WEIGHTS._replace(bias_ih=WEIGHTS.bias_ih.astype(">f4"))},
            "bias_ih must have the dtype of x, float32, got >f4",
        ),
        (
            {"weights": WEIGHTS._replace(weight_hh=misaligned(WEIGHTS.weight_hh))},
            "weight_hh must be contiguous in memory",
        ),
        (
            {"weights": WEIGHTS._replace(bias_hh=WEIGHTS.bias_hh.tolist())},
            "bias_hh must be a NumPy array, got list",
        ),
        (
            {"weights": WEIGHTS._replace(peepholes=np.zeros((3, 4)))},
            "peepholes must have the dtype",
        ),
        ({"weights": WEIGHTS._replace(weight_hr=STATE.T)}, r"weight_hr must have .* \(4, 4\)"),
        ({"weights": WEIGHTS._replace(gain_ih=np.zeros(16))}, "layer normalisation needs gain_ih"),
        (
            {"regularisation": Regularisation(hidden_mask=np.ones((4, 2), "f").T)},
            "hidden_mask must be contiguous in memory",
        ),
        (
            {"weights": WEIGHTS._replace(weight_ih=np.asfortranarray(WEIGHTS.weight_ih))},
            "weight_ih must be contiguous in memory",
        ),
        ({"weights": WEIGHTS._replace(bias_hh=np.zeros(4))}, r"bias_hh .*\(16,\), got"),
        (
            {"weights": WEIGHTS._replace(weight_ih=None)},
            "the cell lstm needs weight_ih, got weight_hh, bias_ih",
        ),
        ({"lengths": [5, 2, 1]}, r"lengths must be 2 integers, .* got int64 of the shape \(3,\)"),
        ({"lengths": [5.0, 2.0]}, "lengths must be 2 integers, .* got float64"),
        ({"lengths": [5, -1]}, "lengths must be from 0 to 5, .* got -1 for sequence 1"),
        ({"lengths": [6, 1]}, "lengths must be from 0 to 5, .* got 6 for sequence 0"),
        ({"initial": STATE}, r"initial must be the states \(hidden, cell\), got ndarray"),
        ({"initial": (STATE, STATE[:1])}, r"initial cell must have the shape \(2, 4\), got"),
    ],
)
def test_bad_input_is_told_apart(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, ConfigurationError), match=message):
        ops.forward(**({"cell": "lstm", "x": X, "weights": WEIGHTS} | arguments))


def test_a_gate_that_is_not_there_is_told() -> None:
    kept = ops.forward("lstm", X, WEIGHTS, keep=True).kept
    assert kept is not None
    with pytest.raises(ConfigurationError, match=r"gate must be one of input_gate, .* lstm, got"):
        kept.gate("reset_gate")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grad_output": X}, r"grad_output must have the shape \(T, B, P\) \(5, 2, 4\), got"),
        ({"grad_gates": {"reset_gate": X}}, "grad_gates must be one of input_gate, .* got 'reset"),
        ({"grad_gates": {"cell": X}}, r"grad_gates\['cell'\] must have the shape"),
        ({"grad_output": np.zeros((5, 2, 4))}, "grad_output must have the dtype of x, float32"),
        (
            {"grad_output": np.zeros((4, 2, 5), np.float32).T},
            "the features of grad_output .* adjacent in memory",
        ),
        (
            {"grad_final": (STATE,)},
            r"grad_final must be the states \(hidden, cell\), got tuple of 1",
        ),
        ({"grad_final": (STATE, STATE.T)}, r"grad_final cell must have the shape \(2, 4\)"),
    ],
)
def test_bad_gradients_are_told_apart(arguments: dict[str, Any], message: str) -> None:
    result = ops.forward("lstm", X, WEIGHTS, keep=True)
    with pytest.raises((DataError, ConfigurationError), match=message):
        ops.backward(**({"kept": result.kept, "grad_output": result.output} | arguments))
