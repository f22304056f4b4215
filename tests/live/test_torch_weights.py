"""Recurrent layers of PyTorch with NumPy alone."""

import numpy as np
import pytest
import torch

import gated
import gated.nn
from gated.errors import ProgramError


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.LSTM(3, 5, 2, proj_size=2, bidirectional=True),
        torch.nn.LSTM(3, 5, batch_first=True),
        torch.nn.GRU(3, 5, 2, bias=False),
        torch.nn.RNN(3, 5, nonlinearity="relu", bidirectional=True),
        torch.nn.RNN(3, 5).double(),
        gated.nn.GRU(3, 5, reset_after=False),
        gated.nn.LSTM(3, 5, coupled=True),
        gated.nn.LSTM(3, 5, peepholes=True),
        gated.nn.LSTM(3, 5, layer_norm=True),
    ],
    ids=repr,
)
def test_a_layer_gives_its_steps(layer: torch.nn.Module) -> None:
    x = torch.randn(7, 3)
    with torch.no_grad():
        wanted = layer(x.to(next(layer.parameters()).dtype))[0]
    found = gated.from_torch(layer)(x.numpy())
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-6)


def test_weights_by_name_say_which_cell_they_are() -> None:
    for layer in (torch.nn.LSTM(3, 5), torch.nn.GRU(3, 5), torch.nn.RNN(3, 5)):
        x = torch.randn(4, 3)
        arrays = {name: of.detach().numpy() for name, of in layer.state_dict().items()}
        with torch.no_grad():
            wanted = layer(x)[0].numpy()
        np.testing.assert_allclose(gated.from_torch(arrays)(x.numpy()), wanted, atol=1e-6)
    named = {f"net.rnn.{name}": of for name, of in arrays.items()} | {"net.head": np.zeros(3)}
    found = gated.from_torch(named, prefix="net.rnn.")(x.numpy())
    np.testing.assert_array_equal(found, gated.from_torch(arrays)(x.numpy()))
    stream = gated.from_torch(arrays).stream()
    np.testing.assert_allclose([stream.push(row) for row in x.numpy()], wanted, atol=1e-6)


def test_what_is_no_recurrent_layer_is_refused() -> None:
    with pytest.raises(ProgramError, match="a Linear is no RNN, GRU or LSTM"):
        gated.from_torch(torch.nn.Linear(2, 3))
    with pytest.raises(ProgramError, match=r"'lstm.weight_ih_l0' is no weight of a layer"):
        gated.from_torch({"lstm.weight_ih_l0": np.zeros((4, 1))})
    with pytest.raises(ProgramError, match=r"weight_hh_l0 is .*: neither an RNN's"):
        gated.from_torch({"weight_ih_l0": np.zeros((10, 1)), "weight_hh_l0": np.zeros((10, 5))})
    with pytest.raises(
        ProgramError, match="must be a layer of PyTorch or weights by name, got int"
    ):
        gated.from_torch(3)
