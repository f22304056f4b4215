"""Layers against those of PyTorch, with the same weights."""

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from tests.live.programs import model, whole

import gated.nn
from gated.cells import library
from gated.core.sequence_features import Kernels, split_thresholds, summaries
from gated.errors import ProgramError
from gated.live.program import Writer
from gated.nn import programs
from gated.nn.pooling import attention_over_time, max_over_time, mean_over_time

LENGTHS = [9, 2, 5, 1]


def weights_of(module: torch.nn.Module, begin: str = "") -> dict[str, np.ndarray]:
    return {begin + name: of.numpy() for name, of in module.state_dict().items()}


def padded(features: int) -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray]]:
    torch.manual_seed(0)
    steps = torch.randn(9, 4, features)
    alone = [steps[:length, b].numpy() for b, length in enumerate(LENGTHS)]
    return steps, torch.tensor(LENGTHS), alone


@pytest.mark.parametrize(
    "make",
    [
        lambda: gated.nn.RNN(3, 5, nonlinearity="relu"),
        lambda: gated.nn.GRU(3, 5, 2, bidirectional=True),
        lambda: gated.nn.GRU(3, 5, reset_after=False, bias=False),
        lambda: gated.nn.LSTM(3, 5, 2, proj_size=2, bidirectional=True),
        lambda: gated.nn.LSTM(3, 5, 2, layer_norm=True, zoneout=(0.1, 0.2)),
        lambda: gated.nn.LSTM(3, 5, peepholes=True),
        lambda: gated.nn.LSTM(3, 5, coupled=True),
        lambda: gated.nn.Recurrent(library.mgu, 3, 6, 2, heads=2),
        lambda: gated.nn.Recurrent(library.lstm, 3, 6, layer_norm=True, proj_size=4, bias=False),
        lambda: gated.nn.Recurrent(library.tau_gru, 3, 4, delay=3),
        lambda: gated.nn.Recurrent(library.indrnn, 3, 4),
    ],
)
def test_recurrent_layers_of_any_cell_and_option(make) -> None:
    torch.manual_seed(1)
    layer = make().eval()
    steps, lengths, alone = padded(3)
    writer = Writer("numbers", 3)
    found = writer.add("recurrent", writer.input, **programs.recurrent(layer, "r."))
    of = model(writer.program("numbers", found), weights_of(layer, "r."))
    with torch.no_grad():
        wanted = layer(steps, lengths=lengths)[0].numpy()
    for b, out in enumerate(of(alone)):
        assert_agree(out, wanted[: LENGTHS[b], b], f"sequence {b}")
    if of.streams:
        stream = of.stream()
        pushed = np.stack([stream.push(x) for x in alone[0]])
        np.testing.assert_array_equal(pushed, of(alone[0]))


def test_a_cell_of_ones_own_is_named_in_the_refusal() -> None:
    from gated.cells import cell, tanh

    @cell
    def leaky(x, h, *, rate=0.1):
        return (1 - rate) * h + rate * tanh(x.n + h.n)

    with pytest.raises(ProgramError, match="leaky is not one of"):
        programs.recurrent(gated.nn.Recurrent(leaky, 3, 4), "r.")


@pytest.mark.parametrize("kernel", [1, 2, 5, 20])
def test_convolutions_see_zeros_beyond_a_length(kernel: int) -> None:
    layer = torch.nn.Conv1d(3, 4, kernel, padding=kernel - 1)
    _, _, alone = padded(3)
    for before in sorted({0, kernel // 2, kernel - 1}):
        writer = Writer("numbers", 3)
        names = {"weight": "weight", "bias": "bias"}
        found = writer.add("convolution", writer.input, before=before, **names)
        of = model(writer.program("numbers", found), weights_of(layer))
        assert of.streams == (before == kernel - 1)
        for x, out in zip(alone, of(alone), strict=True):
            with torch.no_grad():
                wide = layer(torch.from_numpy(x.T.copy())[None])[0].numpy().T
            first = kernel - 1 - before
            assert_agree(out, wide[first : first + len(x)], f"{len(x)} steps, {before} before")


def test_pools_leave_padding_out() -> None:
    steps, lengths, alone = padded(3)
    energy = torch.nn.Linear(3, 1)
    writer = Writer("numbers", 3)
    names = {"weight": "weight", "bias": "bias"}
    weighed = writer.add("attention", writer.input, writer.add("linear", writer.input, **names))
    pools = [writer.add(name, writer.input) for name in ("mean", "max", "last")]
    program = writer.program("numbers", writer.add("concatenate", weighed, *pools))
    found = model(program, weights_of(energy))(alone)
    with torch.no_grad():
        wanted = torch.cat(
            [
                attention_over_time(steps, energy(steps), lengths),
                mean_over_time(steps, lengths),
                max_over_time(steps, lengths),
                steps[lengths - 1, torch.arange(4)],
            ],
            -1,
        )
    assert_agree(found.astype(np.float32), wanted, "pools")


def test_norms_and_activations() -> None:
    torch.manual_seed(2)
    batch, layer = torch.nn.BatchNorm1d(6), torch.nn.LayerNorm(6)
    for of in (batch, layer):
        torch.nn.init.normal_(of.weight)
        torch.nn.init.normal_(of.bias)
    batch.running_mean.normal_()
    batch.running_var.uniform_(0.1, 2)
    x = torch.randn(7, 6)
    for function in ("relu", "sigmoid", "tanh"):
        writer = Writer("numbers", 6)
        found = writer.add(
            "batch_norm",
            writer.input,
            weight="b.weight",
            bias="b.bias",
            mean="b.running_mean",
            variance="b.running_var",
            epsilon=batch.eps,
        )
        found = writer.add("activation", found, function=function)
        names = {"weight": "l.weight", "bias": "l.bias"}
        found = writer.add("layer_norm", found, epsilon=layer.eps, **names)
        arrays = weights_of(batch, "b.") | weights_of(layer, "l.")
        out = model(writer.program("numbers", found), arrays)(x.numpy())
        with torch.no_grad():
            wanted = layer(getattr(torch, function)(batch.eval()(x)))
        assert_agree(out, wanted, function)


def test_a_sum_has_factors_and_fixed_features_are_those_of_each_sequence_alone() -> None:
    values, arrays = whole()
    of, alone = model(values, arrays), padded(2)[2]
    kernels = Kernels((1, 3), arrays["k.reads"])
    thresholds = split_thresholds(arrays["k.thresholds"], (2, 1))
    found = [np.append(kernels.shares(x, thresholds), summaries(x)) for x in alone]
    weight = 0.25 * arrays["h.weight"] + 3 * arrays["g.weight"]
    wanted = np.stack(found) @ weight.T + 0.25 * arrays["h.bias"]
    assert_agree(of(alone), wanted, "outputs", relative=1e-5, absolute=1e-4)
    for x, out in zip(alone, of(alone), strict=True):
        np.testing.assert_array_equal(of(x), out)
