"""Every cell, instruction set and dtype of the native core against the equations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.comparison import assert_agree

from gated.core import native, ops, reference
from gated.core.layout import Weights, layout_of, weight_shapes
from gated.errors import ConfigurationError, DataError

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}


@pytest.fixture(params=native.instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this processor has, in turn."""
    fastest = native.instruction_set()
    native.set_instruction_set(request.param)
    yield request.param
    native.set_instruction_set(fastest)


def random_array(*shape: int, dtype: str = "float32", seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def random_weights(
    cell: str, inputs: int, units: int, dtype: str = "float32", bias: bool = True
) -> Weights[Any]:
    random = np.random.default_rng(inputs + units)
    shapes = weight_shapes(cell, inputs, units)[: 4 if bias else 2]
    return Weights(*(random.normal(0, units**-0.5, shape).astype(dtype) for shape in shapes))


def random_states(cell: str, sequences: int, units: int, dtype: str) -> list[np.ndarray]:
    states = layout_of(cell).states
    return [random_array(sequences, units, dtype=dtype, seed=7 + n) for n in range(len(states))]


def assert_as_the_reference(
    cell: str, x: np.ndarray, weights: Weights[Any], **options: Any
) -> None:
    """Output, final states, every gate, and every gradient."""
    dtype = x.dtype.name
    ours = ops.forward(cell, x, weights, keep=True, **options)
    theirs = reference.forward(cell, x, weights, keep=True, **options)
    lean = ops.forward(cell, x, weights, **options)
    tolerance = TOLERANCE[dtype]
    close = {"relative": tolerance, "absolute": tolerance}
    assert_agree(ours.output, theirs.output, "output", **close)
    assert_agree(ours.final, theirs.final, "final", **close)
    assert lean.kept is None
    np.testing.assert_array_equal(lean.output, ours.output)
    np.testing.assert_array_equal(lean.final, ours.final)
    assert ours.kept is not None
    for name in {*layout_of(cell).gates, *layout_of(cell).states}:
        assert_agree(ours.kept.gate(name), theirs.kept.gate(name), name, **close)

    grad_output = random_array(*ours.output.shape, dtype=dtype, seed=2)
    grad_final = random_states(cell, *ours.final[0].shape, dtype)
    our_gradients = ops.backward(ours.kept, grad_output, grad_final)
    gradients = reference.backward(theirs.kept, grad_output, grad_final)
    for name, got, expected in zip(ops.Backward._fields, our_gradients, gradients, strict=True):
        wide = 30 * tolerance  # sums over all steps
        assert_agree(got, expected, f"gradient of {name}", relative=wide, absolute=wide)


@pytest.mark.parametrize("units", [1, 7, 16, 17, 129])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", ops.CELLS)
def test_agrees_with_the_reference(instruction_set: str, cell: str, dtype: str, units: int) -> None:
    """Plain, and with everything at once: ragged, reversed, given states, no bias."""
    inputs, sequences = {1: (1, 1), 7: (3, 17), 16: (16, 7), 17: (129, 5), 129: (5, 16)}[units]
    x = random_array(6, sequences, inputs, dtype=dtype)
    assert_as_the_reference(cell, x, random_weights(cell, inputs, units, dtype))
    lengths = np.random.default_rng(2).integers(0, 7, sequences)
    assert_as_the_reference(
        cell,
        x,
        random_weights(cell, inputs, units, dtype, bias=False),
        lengths=lengths,
        initial=random_states(cell, sequences, units, dtype),
        reverse=True,
    )


@given(
    cell=st.sampled_from(ops.CELLS),
    sizes=st.tuples(*(st.integers(low, 40) for low in (0, 0, 1, 1))),
    seed=st.integers(0, 2**32),
    reverse=st.booleans(),
    threads=st.integers(1, 4),
)
def test_agrees_at_any_size(
    cell: str, sizes: tuple[int, int, int, int], seed: int, reverse: bool, threads: int
) -> None:
    steps, sequences, inputs, units = sizes
    x = random_array(steps, sequences, inputs, dtype="float64", seed=seed)
    lengths = np.random.default_rng(seed).integers(0, steps + 1, sequences)
    weights = random_weights(cell, inputs, units, "float64")
    native.set_threads(threads)
    try:
        assert_as_the_reference(cell, x, weights, lengths=lengths, reverse=reverse)
    finally:
        native.set_threads(None)


@pytest.mark.parametrize("cell", ops.CELLS)
def test_long_sequences_go_back_in_several_runs(instruction_set: str, cell: str) -> None:
    """More rows than the way back takes at a time, and more than the way forward does."""
    x = random_array(150, 7, 5, dtype="float64")
    lengths = np.array([150, 2, 149, 80, 0, 150, 33])
    assert_as_the_reference(cell, x, random_weights(cell, 5, 11, "float64"), lengths=lengths)


@pytest.mark.parametrize("cell", ops.CELLS)
@pytest.mark.parametrize(("sequences", "units"), [(13, 70), (2, 300), (1, 300)])
def test_results_do_not_depend_on_the_number_of_threads(
    instruction_set: str, cell: str, sequences: int, units: int
) -> None:
    """Few sequences share the units of a step, many are shared out: to the last bit the same."""
    x = random_array(9, sequences, 40)
    weights = random_weights(cell, 40, units)
    lengths = np.arange(sequences) % 4 + 6
    grad_output = random_array(9, sequences, units, seed=3)
    results = []
    for threads in (1, 2, 3, 5):
        result = ops.forward(
            cell, x, weights, lengths=lengths, reverse=True, keep=True, threads=threads
        )
        assert result.kept is not None
        gradients = ops.backward(result.kept, grad_output, threads=threads)
        gates = result.kept.gates
        results.append([result.output, *result.final, gates, gradients.x])
        results[-1] += [w for w in gradients.weights if w is not None] + [*gradients.initial]
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("cell", ops.CELLS)
def test_nan_stays_in_its_sequence_and_padding_is_not_read(instruction_set: str, cell: str) -> None:
    x, grad_output = random_array(5, 7, 3), random_array(5, 7, 20, seed=2)
    weights = random_weights(cell, 3, 20)
    lengths = np.array([5, 0, 3, 5, 1, 4, 2])

    def run() -> tuple[np.ndarray, ops.Backward]:
        result = ops.forward(cell, x, weights, lengths=lengths, keep=True)
        assert result.kept is not None
        return result.output, ops.backward(result.kept, grad_output)

    clean, clean_gradients = run()
    padding = np.arange(5)[:, None] >= lengths
    x[padding], grad_output[padding] = np.nan, np.nan
    output, gradients = run()
    np.testing.assert_array_equal(output, clean)
    np.testing.assert_array_equal(gradients.x, clean_gradients.x)
    np.testing.assert_array_equal(gradients.weights.weight_hh, clean_gradients.weights.weight_hh)

    x[2, 3] = np.nan
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
    assert ulps(lstm.kept.gates[:, 0, 0], exact_sigmoid).max() < 3
    assert ulps(lstm.kept.gates[:, 2, 0], exact_tanh).max() < 3

    x = np.array([np.inf, -np.inf, np.nan], dtype)
    lstm = ops.forward("lstm", x[None, :, None], Weights(one, none), keep=True)
    assert lstm.kept is not None
    np.testing.assert_array_equal(lstm.kept.gates[:, 0, 0], [1, 0, np.nan])
    np.testing.assert_array_equal(lstm.kept.gates[:, 2, 0], [1, -1, np.nan])


def test_input_may_lie_anywhere_as_long_as_features_are_side_by_side() -> None:
    weights = random_weights("lstm", 3, 8)
    x = random_array(5, 6, 3)
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


X = random_array(5, 2, 3)
WEIGHTS = random_weights("lstm", 3, 4)
STATE = np.zeros((2, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "lstmp"}, "cell must be one of .*, got 'lstmp'"),
        ({"x": X[0]}, r"x must have the shape \(T, B, I\), got \(2, 3\)"),
        ({"x": X.tolist()}, "x must be a NumPy array, got list"),
        ({"x": X.astype(np.float16)}, "x must be float32 or float64, got float16"),
        ({"x": X.astype(">f4")}, "x must be float32 or float64, got >f4"),
        ({"x": X.T}, r"features of x .* side by side .* got the strides"),
        ({"x": X[:, :, :2]}, r"weight_ih must have the shape \(16, 2\), got \(16, 3\)"),
        ({"weights": WEIGHTS._replace(weight_hh=np.float32(1))}, "weight_hh must have the shape"),
        (
            {"weights": WEIGHTS._replace(weight_hh=np.zeros((0, 0)))},
            r"weight_hh must have the shape \(4·H, H\) with H of at least 1, got \(0, 0\)",
        ),
        ({"weights": random_weights("gru", 3, 4)}, r"\(16, 3\), got \(12, 3\)"),
        (
            {"weights": WEIGHTS._replace(weight_hh=WEIGHTS.weight_hh.astype(np.float64))},
            "weight_hh must have the dtype of x, float32, got float64",
        ),
        ({"cell": "gru_reset_before"}, "does not know the cell gru_reset_before yet"),
        ({"weights": WEIGHTS._replace(weight_hr=STATE)}, "does not know weight_hr yet"),
        (
            {"weights": WEIGHTS._replace(weight_ih=np.asfortranarray(WEIGHTS.weight_ih))},
            "weight_ih must be contiguous in memory",
        ),
        ({"weights": WEIGHTS._replace(bias_hh=np.zeros(4))}, r"bias_hh .*\(16,\), got"),
        (
            {"weights": WEIGHTS._replace(weight_ih=None)},
            "weight_ih must be a NumPy array, got None",
        ),
        ({"lengths": [5, 2, 1]}, r"lengths must be 2 integers, .* got int64 of the shape \(3,\)"),
        ({"lengths": [5.0, 2.0]}, "lengths must be 2 integers, .* got float64"),
        ({"lengths": [5, -1]}, "lengths must lie between 0 and 5, .* got -1 for sequence 1"),
        ({"lengths": [6, 1]}, "lengths must lie between 0 and 5, .* got 6 for sequence 0"),
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
        ({"grad_output": X}, r"grad_output must have the shape \(T, B, H\) \(5, 2, 4\), got"),
        ({"grad_output": np.zeros((5, 2, 4))}, "grad_output must have the dtype of x, float32"),
        (
            {"grad_output": np.zeros((4, 2, 5), np.float32).T},
            "the features of grad_output .* side by side",
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
    with pytest.raises(DataError, match=message):
        ops.backward(**({"kept": result.kept, "grad_output": result.output} | arguments))
