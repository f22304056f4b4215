"""The reference against torch.nn, against the note's form, and against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.comparison import assert_agree
from tests.core.layers import RandomLayer, by_torch, options_for, variants

from gated.core import layout, reference
from gated.core.layout import Weights
from gated.errors import ConfigurationError, DataError

CELLS = list(layout.LAYOUTS)
DTYPES = ["float64", "float32"]
TORCH = {
    "rnn_tanh": lambda *sizes, **options: torch.nn.RNN(*sizes, nonlinearity="tanh", **options),
    "rnn_relu": lambda *sizes, **options: torch.nn.RNN(*sizes, nonlinearity="relu", **options),
    "gru": torch.nn.GRU,
    "lstm": torch.nn.LSTM,
}


def random_layer(
    cell: str, sizes: tuple[int, int, int, int], **options: Any
) -> tuple[np.ndarray, Weights[Any], tuple[np.ndarray, ...]]:
    """Input (T, B, I), weights and initial states of a layer of sizes (T, B, I, H)."""
    layer = RandomLayer(cell, sizes, **options)
    return layer.x, layer.weights, tuple(layer.initial)


def random_gradients(result: reference.Forward) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(1)
    dtype = result.output.dtype
    grad_final = [rng.normal(size=state.shape).astype(dtype) for state in result.final]
    return rng.normal(size=result.output.shape).astype(dtype), grad_final


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("cell", "variant"), [*variants(CELLS), ("lstm", "peepholes")])
def test_variants_and_every_gradient_are_those_of_a_loop_by_torch(
    cell: str, variant: str, reverse: bool
) -> None:
    """Gates and states too, and the gradients of a loss that reads them."""
    everything = {"peepholes": True} | options_for(cell, "everything")
    options = everything if variant == "peepholes" else options_for(cell, variant)
    layer = RandomLayer(cell, (5, 4, 3, 6), **options)
    lengths = [3, 0, 5, 1]
    result = reference.forward(**layer.given(), lengths=lengths, reverse=reverse, keep=True)
    actual = reference.backward(result.kept, layer.grad_output, layer.grad_final, layer.grad_gates)
    expected = by_torch(layer, lengths, reverse)
    for name, values in expected["gates"].items():
        assert_agree(result.kept.gate(name), values, name)
    assert_agree(result.output, expected["gates"]["hidden"], "output")
    assert_agree(result.final, expected["final"], "final states")
    assert_agree(actual.x, expected["grad_x"], "gradient of x")
    assert_agree(actual.initial, expected["grad_initial"], "gradients of the initial states")
    for name, grad, wanted in zip(
        Weights._fields, actual.weights, expected["grad_weights"], strict=True
    ):
        assert_agree(grad, wanted, f"gradient of {name}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (7, 17, 1, 7), (17, 1, 7, 17), (5, 3, 4, 6)])
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        *((cell, {}) for cell in TORCH),
        *((cell, {"bias": False}) for cell in TORCH),
        ("lstm", {"projected": True}),
    ],
)
def test_outputs_states_and_gradients_are_those_of_torch(
    cell: str, options: dict, sizes: tuple[int, int, int, int], reverse: bool, dtype: str
) -> None:
    if sizes[3] == 1:
        options = {}  # nothing to project
    x, weights, initial = random_layer(cell, sizes, dtype=dtype, **options)
    result = reference.forward(cell, x, weights, initial=initial, reverse=reverse, keep=True)
    grad_output, grad_final = random_gradients(result)
    actual = reference.backward(result.kept, grad_output, grad_final)

    module = TORCH[cell](
        sizes[2],
        sizes[3],
        bias=weights.bias_ih is not None,
        **({} if weights.weight_hr is None else {"proj_size": len(weights.weight_hr)}),
        dtype=getattr(torch, dtype),
    )
    names = layout.parameter_names(0, reverse=False)
    module.load_state_dict(
        {
            name: torch.from_numpy(array)
            for name, array in zip(names, weights, strict=True)
            if array is not None
        }
    )
    x_torch = torch.from_numpy(x).requires_grad_()
    states = [torch.from_numpy(state)[None].requires_grad_() for state in initial]
    x_in_order = x_torch.flip(0) if reverse else x_torch
    output, final = module(x_in_order, tuple(states) if len(states) == 2 else states[0])
    output = output.flip(0) if reverse else output
    final = final if len(states) == 2 else (final,)
    torch.autograd.backward(
        [output, *final],
        [torch.from_numpy(grad_output), *(torch.from_numpy(g)[None] for g in grad_final)],
    )
    assert_agree(result.output, output, "output")
    assert_agree([state[None] for state in result.final], final, "final states")
    assert_agree(actual.x, x_torch.grad, "gradient of x")
    for name, grad, state in zip(("hidden", "cell"), actual.initial, states, strict=False):
        assert_agree(grad[None], state.grad, f"gradient of the initial {name}")
    for name, grad in zip(names, actual.weights, strict=True):
        parameter = getattr(module, name, None)
        wanted = None if parameter is None else parameter.grad
        assert_agree(grad, wanted, f"gradient of {name}")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        *((cell, {}) for cell in CELLS),
        ("gru_reset_before", {"bias": False}),
        ("lstm", {"peepholes": True}),
        ("lstm", {"peepholes": True, "projected": True}),
        ("lstm", {"layer_norm": True, "projected": True}),
        ("gru", {"layer_norm": True}),
    ],
)
def test_gradients_are_those_of_central_differences(
    cell: str, options: dict, reverse: bool
) -> None:
    x, weights, initial = random_layer(cell, (4, 3, 2, 3), **options)
    lengths = [2, 0, 4]
    result = reference.forward(
        cell, x, weights, lengths=lengths, initial=initial, reverse=reverse, keep=True
    )
    grad_output, grad_final = random_gradients(result)
    actual = reference.backward(result.kept, grad_output, grad_final)

    def loss() -> float:
        output, final, _ = reference.forward(
            cell, x, weights, lengths=lengths, initial=initial, reverse=reverse
        )
        sums = [(output * grad_output).sum()]
        sums += [(state * grad).sum() for state, grad in zip(final, grad_final, strict=True)]
        return float(sum(sums))

    def differences(array: np.ndarray) -> np.ndarray:
        slopes = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            value = array[place]
            array[place] = value + 1e-6
            above = loss()
            array[place] = value - 1e-6
            slopes[place] = (above - loss()) / 2e-6
            array[place] = value
        return slopes

    expected = (
        differences(x),
        [None if w is None else differences(w) for w in weights],
        [differences(state) for state in initial],
    )
    assert_agree(actual[:3], expected, "gradients", relative=1e-6, absolute=1e-8)


def test_the_note_concatenates_what_others_split() -> None:
    """W·[h, x] + b for each gate, as the note writes the LSTM, step by step."""
    x, weights, (h, c) = random_layer("lstm", (6, 3, 4, 5))
    expected = reference.forward("lstm", x, weights, initial=(h, c), keep=True)

    W = dict(
        zip("ifCo", np.split(np.hstack([weights.weight_hh, weights.weight_ih]), 4), strict=True)
    )
    b = dict(zip("ifCo", np.split(weights.bias_ih + weights.bias_hh, 4), strict=True))

    def sigma(a: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-a))

    for t in range(len(x)):
        h_x = np.hstack([h, x[t]])
        f_t = sigma(h_x @ W["f"].T + b["f"])
        i_t = sigma(h_x @ W["i"].T + b["i"])
        candidate = np.tanh(h_x @ W["C"].T + b["C"])
        c = f_t * c + i_t * candidate
        o_t = sigma(h_x @ W["o"].T + b["o"])
        h = o_t * np.tanh(c)
        for name, value in {
            "forget_gate": f_t,
            "input_gate": i_t,
            "candidate": candidate,
            "cell": c,
            "output_gate": o_t,
            "hidden": h,
        }.items():
            assert_agree(expected.kept.gate(name)[t], value, f"{name} at step {t}")
    assert_agree(expected.final, (h, c), "final states")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_padded_batch_is_its_sequences_one_by_one(
    cell: str, reverse: bool, data: st.DataObject
) -> None:
    sizes = tuple(data.draw(st.integers(1, 6)) for _ in range(4))
    T, B = sizes[:2]
    lengths = data.draw(st.lists(st.integers(0, T), min_size=B, max_size=B))
    x, weights, initial = random_layer(cell, sizes)
    for b, length in enumerate(lengths):
        x[length:, b] = np.nan  # padding is never read
    result = reference.forward(
        cell, x, weights, lengths=lengths, initial=initial, reverse=reverse, keep=True
    )
    grad_output, grad_final = random_gradients(result)
    for b, length in enumerate(lengths):
        grad_output[length:, b] = np.nan
    grads = reference.backward(result.kept, grad_output, grad_final)

    of_weights = [None if w is None else np.zeros_like(w) for w in weights]
    for b, length in enumerate(lengths):
        one = slice(b, b + 1)
        alone = reference.forward(
            cell,
            x[:length, one],
            weights,
            initial=[s[one] for s in initial],
            reverse=reverse,
            keep=True,
        )
        assert_agree(result.output[:length, one], alone.output, "output")
        assert not result.output[length:, b].any()
        assert_agree([state[one] for state in result.final], alone.final, "final states")
        of_one = reference.backward(
            alone.kept, grad_output[:length, one], [g[one] for g in grad_final]
        )
        assert_agree(grads.x[:length, one], of_one.x, "gradient of x")
        assert not grads.x[length:, b].any()
        assert_agree([g[one] for g in grads.initial], of_one.initial, "of initial states")
        for total, part in zip(of_weights, of_one.weights, strict=True):
            if total is not None:
                total += part
    assert_agree(grads.weights, of_weights, "gradients of weights")


def test_every_gate_has_its_name_and_place() -> None:
    x, weights, _ = random_layer("lstm", (5, 2, 3, 4), projected=True)
    kept = reference.forward("lstm", x, weights, lengths=[5, 3], keep=True).kept
    gate = {name: kept.gate(name) for name in layout.LAYOUTS["lstm"].gates}
    cell = kept.gate("cell")
    before = np.concatenate([np.zeros_like(cell[:1]), cell[:-1]])
    remembered = gate["forget_gate"] * before + gate["input_gate"] * gate["candidate"]
    assert_agree(cell, remembered, "cell")
    unprojected = gate["output_gate"] * np.tanh(cell)
    assert_agree(kept.gate("hidden"), unprojected @ weights.weight_hr.T, "hidden")
    assert not cell[3:, 1].any()
    with pytest.raises(ConfigurationError, match=r"forget_gate.*got 'reset_gate'"):
        kept.gate("reset_gate")


def test_sigmoid_is_right_at_the_ends() -> None:
    ends = np.array([-1000.0, -80.0, 0.0, 80.0, 1000.0, np.nan, -np.inf, np.inf])
    expected = np.array([0.0, np.exp(-80.0), 0.5, 1.0, 1.0, np.nan, 0.0, 1.0])
    assert_agree(reference.sigmoid(ends), expected, "sigmoid", relative=1e-14, absolute=0)


def test_nothing_given_is_written_to() -> None:
    x, weights, initial = random_layer("lstm", (3, 2, 2, 2), peepholes=True)
    copies = [array.copy() for array in (x, *filter(lambda w: w is not None, weights), *initial)]
    result = reference.forward("lstm", x, weights, initial=initial, keep=True)
    grad_output, grad_final = random_gradients(result)
    copies += [grad_output.copy(), *(g.copy() for g in grad_final)]
    reference.backward(result.kept, grad_output, grad_final)
    given_arrays = [x, *filter(lambda w: w is not None, weights), *initial]
    for array, copy in zip([*given_arrays, grad_output, *grad_final], copies, strict=True):
        assert_agree(array, copy, "argument", relative=0, absolute=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "elman"}, "cell must be one of .*elman"),
        ({"x": np.zeros((3, 2))}, r"x must have the shape \(T, B, I\), got \(3, 2\)"),
        ({"x": np.zeros((3, 2, 4), np.int64)}, "x must be float32 or float64, got int64"),
        ({"x": np.zeros((3, 2, 5))}, r"weight_ih must have the shape \(12, 5\), got \(12, 4\)"),
        ({"x": np.zeros((3, 2, 4), "f")}, "weight_ih must have the dtype of x, float32"),
        ({"lengths": [1]}, "lengths must be 2 integers"),
        ({"lengths": [1.0, 2.0]}, "lengths must be 2 integers.*float64"),
        ({"lengths": [4, 1]}, "from 0 to 3, .*got 4 for sequence 0"),
        ({"lengths": [1, -1]}, "from 0 to 3, .*got -1 for sequence 1"),
        ({"initial": [np.zeros((2, 3))]}, "initial must be the states"),
        ({"initial": [np.zeros((2, 3)), np.zeros((1, 3))]}, "initial cell.*got"),
    ],
)
def test_what_does_not_fit_is_named(change: dict, message: str) -> None:
    x, weights, initial = random_layer("lstm", (3, 2, 4, 3))
    arguments = {"cell": "lstm", "x": x, "weights": weights, "initial": initial} | change
    with pytest.raises((DataError, ConfigurationError), match=message):
        reference.forward(**arguments)


def test_a_weight_that_the_cell_has_no_use_for_is_named() -> None:
    x, weights, _ = random_layer("gru", (3, 2, 4, 3), peepholes=True)
    with pytest.raises(ConfigurationError, match="not for gru"):
        reference.forward("gru", x, weights)
