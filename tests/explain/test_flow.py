import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch import nn

import gated.nn
from gated.errors import ConfigurationError, DataError
from gated.explain import Flow, flow

T, B, INPUTS, H = 7, 3, 4, 5


def last_output(outputs, _):
    return outputs[-1].sum()


def test_a_linear_network_decays_by_its_factor_each_step() -> None:
    layer = nn.RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(0.5)
    measured = flow(layer, torch.ones(6, 1, 1), last_output)
    assert measured.cell is None
    assert_agree(measured.hidden, 0.5 ** np.arange(5, -1, -1.0), "hidden")
    assert measured.reach(share=0.1) == 4


def test_an_exploding_network_reaches_all_the_way() -> None:
    layer = nn.RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(2.0)
    measured = flow(layer, torch.ones(10, 1, 1), last_output)
    assert measured.hidden[0] == pytest.approx(2.0**9)
    assert measured.reach() == 10


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("module", [nn, gated.nn])
def test_it_is_the_gradient_of_a_loop_of_cells(module, kind: str, layers: int) -> None:
    layer = getattr(module, kind)(INPUTS, H, num_layers=layers)
    x = torch.randn(T, B, INPUTS)
    target = torch.randn(T, B, H)

    def loss(outputs, _):
        return ((outputs - target) ** 2).sum()

    cells = []
    for k in range(layers):
        cell = getattr(nn, f"{kind}Cell")(INPUTS if k == 0 else H, H)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        cell.load_state_dict({name: getattr(layer, f"{name}_l{k}").detach() for name in names})
        cells.append(cell)
    states: list = [None] * layers
    kept, outputs = [], []
    for t in range(T):
        below = x[t]
        for k, cell in enumerate(cells):
            after = cell(below, states[k])
            # Copies, so that what goes through c_t alone does not also count what goes by h_t.
            states[k] = tuple(s.clone() for s in after) if kind == "LSTM" else after.clone()
            below = states[k][0] if kind == "LSTM" else states[k]
        parts = states[-1] if kind == "LSTM" else (states[-1],)
        for part in parts:
            part.retain_grad()
        kept.append(parts)
        outputs.append(below)
    loss(torch.stack(outputs), None).backward()
    measured = flow(layer, x, loss)
    assert_agree(measured.hidden, [float(p[0].grad.norm()) for p in kept], "hidden", relative=1e-4)
    if kind == "LSTM":
        expected = [0.0 if p[1].grad is None else float(p[1].grad.norm()) for p in kept]
        assert_agree(measured.cell, expected, "cell", relative=1e-4)


def test_an_open_forget_gate_reaches_further_than_a_closed_one() -> None:
    reaches = []
    for bias in (-4.0, 4.0):
        torch.manual_seed(1)
        layer = gated.nn.LSTM(INPUTS, H, forget_bias=bias)
        reaches.append(flow(layer, torch.randn(60, B, INPUTS), last_output).reach())
    assert reaches[0] < 10
    assert reaches[1] == 60


def test_the_layer_is_left_as_it_was() -> None:
    layer = nn.LSTM(INPUTS, H).eval()
    flow(layer, torch.randn(T, B, INPUTS), last_output)
    assert not layer.training
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_batch_first_is_the_same_flow() -> None:
    layer, other = nn.GRU(INPUTS, H), nn.GRU(INPUTS, H, batch_first=True)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, INPUTS)
    one = flow(layer, x, lambda outputs, _: outputs.sum())
    two = flow(other, x.transpose(0, 1), lambda outputs, _: outputs.sum())
    assert_agree(one.hidden, two.hidden, "hidden", relative=1e-5)


def test_no_gradient_has_no_reach() -> None:
    assert Flow(np.zeros(4)).reach() == 0


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"proj_size": 2}])
def test_what_it_cannot_follow_is_refused(options) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        flow(nn.LSTM(INPUTS, H, **options), torch.randn(T, B, INPUTS), last_output)


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(DataError, match=r"\(T, B, I\)"):
        flow(nn.LSTM(INPUTS, H), torch.randn(T, INPUTS), last_output)
