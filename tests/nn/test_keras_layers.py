"""Keras' layers on the native core: what they give, and their gradients, stay."""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import pytest
import torch
from tests.comparison import assert_agree

import gated
from gated.nn import keras_layers

LAYERS = {"SimpleRNN": keras.layers.SimpleRNN, "GRU": keras.layers.GRU, "LSTM": keras.layers.LSTM}
X = torch.randn(3, 6, 4)
TO_THE_RIGHT = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6, [1, 0, 0, 0, 0, 0]]).bool()
IN_THE_MIDDLE = torch.tensor([[1, 0, 1, 1, 0, 0], [1] * 6, [1, 0, 0, 1, 0, 0]]).bool()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that the core was asked to run."""
    cells: list[str] = []
    run_layer = keras_layers.run_layer

    def counted(call: Any) -> Any:
        cells.append(call.cell)
        return run_layer(call)

    monkeypatch.setattr(keras_layers, "run_layer", counted)
    return cells


def results(layer: Any, **options: Any) -> list[torch.Tensor]:
    """Outputs, states, and the gradients of all variables and of the input."""
    x = X.clone().requires_grad_()
    found = layer(x, **options)
    parts = list(found) if isinstance(found, (list, tuple)) else [found]
    loss = sum((part * torch.cos(part.detach() + 1)).sum() for part in parts)
    used = [x, *(variable.value for variable in layer.trainable_variables)]
    return [*(part.detach() for part in parts), *torch.autograd.grad(loss, used)]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_bias": False, "return_sequences": True},
        {"go_backwards": True, "return_sequences": True, "return_state": True},
        {"return_state": True, "zero_output_for_mask": True, "return_sequences": True},
        {"unroll": True},
    ],
)
@pytest.mark.parametrize("mask", [None, TO_THE_RIGHT])
def test_results_and_gradients_stay(
    name: str, options: dict[str, Any], mask: torch.Tensor | None, runs: list[str]
) -> None:
    layer = LAYERS[name](5, bias_initializer="ones", **options)
    given = {} if mask is None else {"mask": mask}
    expected = results(layer, **given)
    assert runs == []
    assert gated.accelerate(layer).replaced == (layer.name,)
    assert_agree(results(layer, **given), expected, name)
    cell = {"SimpleRNN": "rnn_tanh", "GRU": "gru", "LSTM": "lstm"}[name]
    assert runs == [cell]
    assert gated.restore(layer).replaced == (layer.name,)
    assert_agree(results(layer, **given), expected, "restored")
    assert runs == [cell]


@pytest.mark.parametrize(
    ("layer", "cell"),
    [
        (keras.layers.GRU(5, reset_after=False), "gru_reset_before"),
        (keras.layers.SimpleRNN(5, activation="relu"), "rnn_relu"),
    ],
)
def test_variants_of_cells(layer: Any, cell: str, runs: list[str]) -> None:
    expected = results(layer)
    gated.accelerate(layer)
    assert_agree(results(layer), expected, cell)
    assert runs == [cell]


def test_biases_are_read_in_their_places() -> None:
    layer = keras.layers.GRU(5)
    layer.build((None, 6, 4))
    random = np.random.default_rng(0)
    for variable in layer.weights:
        variable.assign(random.normal(size=variable.shape))
    expected = results(layer)
    gated.accelerate(layer)
    assert_agree(results(layer), expected, "GRU")


def test_states_are_taken_and_handed_on(runs: list[str]) -> None:
    layer = keras.layers.LSTM(5, return_state=True)
    states = [torch.randn(3, 5), torch.randn(3, 5)]
    expected = results(layer, initial_state=states)
    gated.accelerate(layer)
    assert_agree(results(layer, initial_state=states), expected, "initial_state")
    stateful = keras.layers.GRU(5, stateful=True)
    with torch.no_grad():
        first = [stateful(X).clone(), stateful(X).clone()]
        stateful.reset_state()
        gated.accelerate(stateful)
        assert_agree([stateful(X).clone(), stateful(X).clone()], first, "stateful")
    assert runs == ["lstm", "gru", "gru"]


def test_masks_with_gaps_are_left_to_keras(runs: list[str]) -> None:
    layer = keras.layers.LSTM(5)
    expected = results(layer, mask=IN_THE_MIDDLE)
    gated.accelerate(layer)
    assert_agree(results(layer, mask=IN_THE_MIDDLE), expected, "gaps", relative=0)
    assert runs == []


def test_a_model_trains_the_same_way(runs: list[str]) -> None:
    words = np.random.default_rng(0).integers(1, 11, (8, 6))
    words[2, 4:] = words[5, 2:] = 0
    histories = []
    for fast in (False, True):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((6,), dtype="int32"),
                keras.layers.Embedding(11, 4, mask_zero=True),
                keras.layers.Bidirectional(keras.layers.LSTM(5, return_sequences=True)),
                keras.layers.GRU(4),
                keras.layers.Dense(1),
            ]
        )
        model.compile("adam", "mse")
        if fast:
            done = gated.accelerate(model)
            assert len(done.replaced) == 3
            assert done.left == {}
        fitted = model.fit(words, words.sum(1), epochs=3, batch_size=4, verbose=0, shuffle=False)
        histories.append(torch.tensor(fitted.history["loss"]))
        assert bool(runs) == fast
    assert_agree(histories[1], histories[0], "losses")


def test_what_is_left_says_why() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.LSTM(3, activation="relu", return_sequences=True, name="relu"),
            layers.GRU(3, recurrent_activation="tanh", return_sequences=True, name="gates"),
            layers.LSTM(3, dropout=0.5, return_sequences=True, name="dropped"),
            layers.RNN(layers.LSTMCell(3), return_sequences=True, name="own"),
            layers.GRU(3, dtype="bfloat16", return_sequences=True, name="half"),
            layers.SimpleRNN(3, name="run"),
        ]
    )
    done = gated.accelerate(model)
    assert done.left == {
        "relu": "its activation is relu, not tanh",
        "gates": "its recurrent_activation is tanh, not sigmoid",
        "dropped": "it has dropout, which Keras computes",
        "own": "a layer of Keras of another class, RNN",
        "half": "it computes in bfloat16",
    }
    assert done.replaced == ("run",)
    assert gated.accelerate(model).left["run"] == "accelerated already"
