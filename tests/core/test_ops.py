"""The door to the native core: every cell, instruction set and dtype against the equations."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from gated.core import ops
from gated.errors import ConfigurationError, DataError, MissingNativeError

CELLS: tuple[ops.Cell, ...] = ("lstm", "gru", "rnn_tanh", "rnn_relu")
DTYPES = (np.float32, np.float64)
TOLERANCE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-13}


@pytest.fixture(params=ops.instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this processor has, in turn."""
    fastest = ops.instruction_set()
    ops.set_instruction_set(request.param)
    yield request.param
    ops.set_instruction_set(fastest)


@pytest.fixture
def set_threads() -> Iterator[Any]:
    yield ops.set_threads
    ops.set_threads(None)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def one_step(
    cell: str, x: np.ndarray, states: tuple[np.ndarray, ...], weights: ops.Weights
) -> tuple[tuple[np.ndarray, ...], list[np.ndarray]]:
    """The states after a step of one sequence, and its gates, by the equations."""
    hidden = states[0]
    gates = len(ops.GATES[cell])
    from_input = weights.weight_ih @ x + (0 if weights.bias_ih is None else weights.bias_ih)
    from_hidden = weights.weight_hh @ hidden + (0 if weights.bias_hh is None else weights.bias_hh)
    a, b = np.split(from_input, gates), np.split(from_hidden, gates)
    if cell == "lstm":
        i, f, g, o = (
            gate(a[k] + b[k]) for k, gate in enumerate((sigmoid, sigmoid, np.tanh, sigmoid))
        )
        c = f * states[1] + i * g
        return (o * np.tanh(c), c), [i, f, g, o]
    if cell == "gru":
        r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
        n = np.tanh(a[2] + r * b[2])
        return ((1 - z) * n + z * hidden,), [r, z, n]
    h = np.tanh(a[0] + b[0]) if cell == "rnn_tanh" else np.maximum(a[0] + b[0], 0)
    return (h,), [h]


def by_the_equations(
    cell: str,
    x: np.ndarray,
    weights: ops.Weights,
    lengths: np.ndarray | None = None,
    initial: tuple[np.ndarray, ...] | None = None,
    reverse: bool = False,
) -> tuple[np.ndarray, tuple[np.ndarray, ...], np.ndarray]:
    """Output, final states and gates (T, B, G, H), sequence by sequence in float64."""
    steps, sequences, _ = x.shape
    units = weights.weight_hh.shape[1]
    exact = ops.Weights(*(None if w is None else w.astype(np.float64) for w in weights))
    states = 2 if cell == "lstm" else 1
    start = initial or tuple(np.zeros((sequences, units)) for _ in range(states))
    output = np.zeros((steps, sequences, units))
    gates = np.zeros((steps, sequences, len(ops.GATES[cell]), units))
    final = tuple(state.astype(np.float64) for state in start)
    for b in range(sequences):
        times = range(steps if lengths is None else lengths[b])
        now = tuple(state[b] for state in final)
        for t in reversed(times) if reverse else times:
            now, gates[t, b] = one_step(cell, x[t, b].astype(np.float64), now, exact)
            output[t, b] = now[0]
        for state, last in zip(final, now, strict=True):
            state[b] = last
    return output, final, gates


def random_layer(
    cell: str, inputs: int, units: int, dtype: type, bias: bool = True, seed: int = 0
) -> ops.Weights:
    random = np.random.default_rng(seed)
    rows = len(ops.GATES[cell]) * units
    scale = 1 / np.sqrt(units)
    shapes = [(rows, inputs), (rows, units)] + [(rows,), (rows,)] * bias
    return ops.Weights(*(random.uniform(-scale, scale, shape).astype(dtype) for shape in shapes))


def random_input(*shape: int, dtype: type = np.float32, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_agrees(result: ops.Forward, expected: tuple[Any, ...]) -> None:
    """Output, final states, and gates where they were kept."""
    output, final, gates = expected
    tolerance = TOLERANCE[result.output.dtype]
    np.testing.assert_allclose(result.output, output, rtol=0, atol=tolerance)
    for ours, theirs in zip(result.final, final, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    if result.kept:
        for place, name in enumerate(ops.GATES[result.kept.cell]):
            np.testing.assert_allclose(
                result.kept.gate(name), gates[:, :, place], rtol=0, atol=tolerance
            )


def test_the_comparison_fails_on_a_perturbed_weight() -> None:
    layer = random_layer("lstm", 3, 5, np.float64)
    x = random_input(4, 2, 3, dtype=np.float64)
    expected = by_the_equations("lstm", x, layer)
    layer.weight_hh[7, 2] += 1e-6
    with pytest.raises(AssertionError):
        assert_agrees(ops.forward("lstm", x, layer), expected)


@pytest.mark.parametrize("units", [1, 7, 16, 17, 129])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
def test_agrees_with_the_equations(
    instruction_set: str, cell: ops.Cell, dtype: type, units: int
) -> None:
    """Plain, and with everything at once: ragged, reversed, given states, no bias."""
    inputs, sequences = {1: (1, 1), 7: (3, 17), 16: (16, 7), 17: (129, 5), 129: (5, 16)}[units]
    x = random_input(6, sequences, inputs, dtype=dtype)
    layer = random_layer(cell, inputs, units, dtype)
    assert_agrees(ops.forward(cell, x, layer, keep=True), by_the_equations(cell, x, layer))

    lengths = np.random.default_rng(2).integers(0, 7, sequences)
    states = 2 if cell == "lstm" else 1
    start = tuple(random_input(sequences, units, dtype=dtype, seed=s) for s in range(states))
    layer = random_layer(cell, inputs, units, dtype, bias=False)
    assert_agrees(
        ops.forward(cell, x, layer, lengths=lengths, initial=start, reverse=True, keep=True),
        by_the_equations(cell, x, layer, lengths, start, reverse=True),
    )
    assert_agrees(
        ops.forward(cell, x, layer, lengths=lengths), by_the_equations(cell, x, layer, lengths)
    )


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("steps", "sequences"), [(0, 3), (4, 0), (5, 3)])
def test_nothing_to_do_leaves_the_initial_states(
    cell: ops.Cell, steps: int, sequences: int
) -> None:
    layer = random_layer(cell, 2, 9, np.float32)
    states = 2 if cell == "lstm" else 1
    start = tuple(random_input(sequences, 9, seed=s) for s in range(states))
    lengths = np.zeros(sequences, np.int64)
    result = ops.forward(
        cell, random_input(steps, sequences, 2), layer, lengths=lengths, initial=start, keep=True
    )
    assert result.output.shape == (steps, sequences, 9)
    assert not result.output.any()
    assert result.kept is not None
    assert result.kept.gates.shape[0] == 0
    for ours, theirs in zip(result.final, start, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("sequences", "units"), [(13, 70), (2, 600), (1, 600)])
def test_results_do_not_depend_on_the_number_of_threads(
    instruction_set: str, set_threads: Any, cell: ops.Cell, sequences: int, units: int
) -> None:
    """Few sequences share the units of a step, many are shared out: to the last bit the same."""
    x = random_input(9, sequences, 40)
    layer = random_layer(cell, 40, units, np.float32)
    lengths = np.arange(sequences) % 4 + 6
    results = []
    for threads in (1, 2, 3, 5):
        set_threads(threads)
        results.append(ops.forward(cell, x, layer, lengths=lengths, reverse=True, keep=True))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].output, other.output)
        np.testing.assert_array_equal(results[0].final, other.final)
        np.testing.assert_array_equal(results[0].kept.gates, other.kept.gates)


@pytest.mark.parametrize("cell", CELLS)
def test_nan_stays_in_its_sequence_and_padding_is_not_read(
    instruction_set: str, cell: ops.Cell
) -> None:
    x = random_input(5, 7, 3)
    layer = random_layer(cell, 3, 20, np.float32)
    lengths = np.array([5, 0, 3, 5, 1, 4, 2])
    clean = ops.forward(cell, x, layer, lengths=lengths)
    x[np.arange(5)[:, None] >= lengths] = np.nan
    x[2, 3] = np.nan
    result = ops.forward(cell, x, layer, lengths=lengths)
    others = np.arange(7) != 3
    np.testing.assert_array_equal(result.output[:, others], clean.output[:, others])
    np.testing.assert_array_equal(result.output[:2, 3], clean.output[:2, 3])
    assert np.isnan(result.output[2:, 3]).all()


def ulps(ours: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The distance to the exact values in units of their last place; below normal it is none."""
    distance = np.abs(ours - exact)
    distance[distance <= np.finfo(ours.dtype).smallest_normal] = 0
    return distance / np.spacing(np.abs(exact).astype(ours.dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_keep_their_bounds_over_the_whole_range(
    instruction_set: str, dtype: type
) -> None:
    """One step of unit weights from zero states shows the activation itself."""
    if dtype is np.float32:
        patterns = np.arange(0, 2**32, 6151, dtype=np.uint32)  # a prime: no bit stays fixed
        everywhere = patterns.view(np.float32)
        everywhere = everywhere[np.isfinite(everywhere)]
    else:
        random = np.random.default_rng(3)
        everywhere = random.choice([-1.0, 1.0], 200_000) * 2 ** random.uniform(-1074, 1023, 200_000)
    busy = (
        np.linspace(-110, 110, 300_001) if dtype is np.float32 else np.linspace(-760, 760, 99_991)
    )
    near_zero = np.linspace(-1, 1, 100_003)
    x = np.concatenate([everywhere, busy, near_zero]).astype(dtype)
    wider = np.float64 if dtype is np.float32 else np.longdouble

    one, none = np.ones((4, 1), dtype), np.zeros((4, 1), dtype)
    lstm = ops.forward("lstm", x[None, :, None], ops.Weights(one, none), keep=True)
    assert lstm.kept is not None
    with np.errstate(over="ignore", under="ignore"):
        exact_sigmoid = 1 / (1 + np.exp(-x.astype(wider)))
        exact_tanh = np.tanh(x.astype(wider))
    assert ulps(lstm.kept.gates[:, 0, 0], exact_sigmoid).max() < 3
    assert ulps(lstm.kept.gates[:, 2, 0], exact_tanh).max() < 3

    x = np.array([np.inf, -np.inf, np.nan], dtype)
    lstm = ops.forward("lstm", x[None, :, None], ops.Weights(one, none), keep=True)
    assert lstm.kept is not None
    np.testing.assert_array_equal(lstm.kept.gates[:, 0, 0], [1, 0, np.nan])
    np.testing.assert_array_equal(lstm.kept.gates[:, 2, 0], [1, -1, np.nan])


def test_input_may_lie_anywhere_as_long_as_features_are_side_by_side() -> None:
    layer = random_layer("lstm", 3, 8, np.float32)
    x = random_input(5, 6, 3)
    expected = ops.forward("lstm", x, layer).output
    batch_first = np.ascontiguousarray(x.swapaxes(0, 1))
    part_of_more = np.zeros((10, 6, 7), np.float32)
    part_of_more[::-2, :, 2:5] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for same in (batch_first.swapaxes(0, 1), part_of_more[::-2, :, 2:5], read_only):
        np.testing.assert_array_equal(ops.forward("lstm", same, layer).output, expected)
    one = np.broadcast_to(x[:, :1], x.shape)
    np.testing.assert_array_equal(
        ops.forward("lstm", one, layer).output, ops.forward("lstm", one.copy(), layer).output
    )


X = random_input(5, 2, 3)
LAYER = random_layer("lstm", 3, 4, np.float32)
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
        ({"weights": LAYER._replace(weight_hh=np.float32(1))}, "weight_hh must have the shape"),
        (
            {"weights": LAYER._replace(weight_hh=np.zeros((0, 0), np.float32))},
            r"weight_hh must have the shape \(4·H, H\) with H of at least 1, got \(0, 0\)",
        ),
        ({"weights": random_layer("gru", 3, 4, np.float32)}, r"\(16, 3\), got \(12, 3\)"),
        (
            {"weights": LAYER._replace(weight_hh=LAYER.weight_hh.astype(np.float64))},
            "weight_hh must have the dtype of x, float32, got float64",
        ),
        (
            {"weights": LAYER._replace(weight_ih=np.asfortranarray(LAYER.weight_ih))},
            "weight_ih must be contiguous in memory",
        ),
        ({"weights": LAYER._replace(bias_hh=np.zeros(4, np.float32))}, r"bias_hh .*\(16,\), got"),
        ({"weights": LAYER._replace(weight_ih=None)}, "weight_ih must be a NumPy array, got None"),
        ({"lengths": [5, 2, 1]}, r"lengths must be 2 integers, .* got int64 of the shape \(3,\)"),
        ({"lengths": [5.0, 2.0]}, "lengths must be 2 integers, .* got float64"),
        ({"lengths": [5, -1]}, "lengths must lie between 0 and 5, .* got -1 for sequence 1"),
        ({"lengths": [6, 1]}, "lengths must lie between 0 and 5, .* got 6 for sequence 0"),
        ({"initial": STATE}, r"initial must be the tuple \(hidden, cell\), got ndarray"),
        ({"initial": (STATE, STATE[:1])}, r"initial cell must have the shape \(2, 4\), got"),
    ],
)
def test_bad_input_is_told_apart(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, ConfigurationError), match=message):
        ops.forward(**({"cell": "lstm", "x": X, "weights": LAYER} | arguments))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="threads must be at least 1, got 0"):
        ops.set_threads(0)
    with pytest.raises(ConfigurationError, match=r"one that this processor has .*, got 'mmx'"):
        ops.set_instruction_set("mmx")
    kept = ops.forward("lstm", X, LAYER, keep=True).kept
    assert kept is not None
    with pytest.raises(ConfigurationError, match=r"gate must be one of input_gate, .* for the cell"):
        kept.gate("reset_gate")


def test_callers_side_by_side_get_their_own_results(set_threads: Any) -> None:
    set_threads(2)
    layer = random_layer("lstm", 30, 64, np.float32)
    xs = [random_input(30, 8, 30, seed=seed) for seed in range(12)]
    alone = [ops.forward("lstm", x, layer).output for x in xs]
    with ThreadPoolExecutor(4) as callers:
        together = list(callers.map(lambda x: ops.forward("lstm", x, layer).output, xs))
    for ours, theirs in zip(alone, together, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_forked_child_builds_its_own_threads() -> None:
    """The parent's threads do not follow into the child; a pool that waits for them would hang."""
    done = run_python("""
import os, sys, warnings
import numpy as np
from gated.core import ops
ops.set_threads(2)
random = np.random.default_rng(0)
x = random.standard_normal((20, 16, 32), np.float32)
layer = ops.Weights(random.random((256, 32), np.float32), random.random((256, 64), np.float32))
before = ops.forward("lstm", x, layer).output
warnings.simplefilter("ignore")
child = os.fork()
same = np.array_equal(before, ops.forward("lstm", x, layer).output)
if child == 0:
    os._exit(0 if same else 3)
print(same, os.waitpid(child, 0)[1])
""")
    assert done.stdout.split() == ["True", "0"], done.stderr


def test_the_environment_chooses_the_instruction_set() -> None:
    code = "from gated.core import ops; print(ops.instruction_set())"
    for name in ops.instruction_sets():
        assert run_python(code, GATED_ISA=name).stdout.strip() == name
    refused = run_python(code, GATED_ISA="mmx")
    assert refused.returncode != 0
    assert "ConfigurationError: GATED_ISA=mmx" in refused.stderr


def test_a_missing_extension_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gated._native", None)
    ops._native.cache_clear()
    with pytest.raises(MissingNativeError, match="pip install gated"):
        ops.instruction_sets()
    monkeypatch.undo()
    assert "baseline" in ops.instruction_sets()
