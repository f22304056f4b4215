"""A window of a series as `gated.explain` sees it: what the page is compared with.

Shapes: T steps (history and horizon), Q quantiles, H hidden units, D distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tests.comparison import assert_agree
from tests.serve.reading import MOMENTS, Clamp, Reading
from torch import nn

from gated.core.layout import Array
from gated.explain import Intervention, intervene, trace
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.network import Batch
from gated.tasks.forecast.windows import gather


def read(
    forecaster: Forecaster,
    prepared: Prepared,
    row: int,
    layer: int,
    clamp: Clamp | None = None,
    states: Sequence[Intervention] = (),
    around: Forecaster | None = None,
) -> Reading:
    """Run over the window whose history ends at a row of the panel, with states that are set.

    `around` is the forecaster as it was, by whose partners and intervals the forecast of a changed
    network is completed: intervals follow how a network forecast other windows.

    `outputs` are `observed` (T, 1) and `forecast` (T, Q), NaN in the history.
    """
    config, network = forecaster.config, forecaster.first_network
    history, origin = config.history or 1, np.array([row])
    batch = batch_at(prepared, row)
    changes = [*held(clamp, config.layers, layer, history, config.horizon), *states]
    with intervene(network, *changes):
        traced = trace(network, batch)
    forecast = (around or forecaster).in_unit(traced.output, prepared, origin)[0]
    encoder, decoder = (traced.layers[part + layer].values for part in (0, config.layers))
    values = {name: np.concatenate([encoder[name][:, 0], decoder[name][:, 0]]) for name in encoder}
    observed = prepared.panel.target[row + 1 + np.arange(-history, config.horizon)]
    before = np.full((history, len(config.quantiles)), np.nan)
    outputs = {"observed": observed[:, None], "forecast": np.concatenate([before, forecast])}
    errors = np.abs(forecast[:, config.quantiles.index(0.5)] - observed[history:])
    gradient = gradient_by_distance(network, batch)
    return Reading(values, gradient, outputs, float(np.nanmean(errors)))


def batch_at(prepared: Prepared, row: int) -> Batch:
    """The window whose history ends at a row of the panel."""
    return Batch.of(gather(prepared, np.array([row])))


def assert_read(arrays: dict[str, np.ndarray], expected: Reading) -> None:
    for name, values in expected.values.items():
        assert_agree(arrays[name].astype(np.float32), values, name)
    for name, values in expected.outputs.items():
        np.testing.assert_allclose(arrays[name], values, rtol=2e-5, err_msg=name)
    assert_agree(arrays["gradient"][:, 0].astype(np.float32), expected.gradient, "gradient")


def held(
    clamp: Clamp | None, layers: int, layer: int, history: int, horizon: int
) -> list[Intervention]:
    """The clamp as interventions on encoder and decoder, each at its own steps."""
    if clamp is None:
        return []
    within = clamp.within(history + horizon)
    steps = {
        layer: range(within.start, min(within.stop, history)),
        layers + layer: range(max(within.start - history, 0), within.stop - history),
    }
    return [
        Intervention(clamp.gate, value=clamp.value, layer=place, unit=clamp.unit, step=of_part)
        for place, of_part in steps.items()
        if len(of_part)
    ]


def gradient_by_distance(network: nn.Module, batch: Batch) -> Array:
    """The gradient of the scaled median with respect to the input d steps before, (D,).

    It is the mean of the gradient's norms over steps of the horizon.
    """
    horizon, history = len(batch.target), len(batch.inputs)
    moments = np.unique(np.linspace(0, horizon - 1, MOMENTS).astype(np.int64))
    wide = Batch(*(of.repeat_interleave(len(moments), min(of.dim() - 1, 1)) for of in batch))
    read: list[torch.Tensor] = []

    def follow(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        read.append(arguments[0].detach().requires_grad_())
        return (read[-1], *arguments[1:])

    layers: tuple[Any, ...] = (network.encoder, network.decoder)
    hooks = [layer.register_forward_pre_hook(follow) for layer in layers]
    try:
        with torch.enable_grad():
            median = network(wide)[..., network.middle]
            total = median[moments, np.arange(len(moments))].sum()
            gradients = torch.autograd.grad(total, read)
    finally:
        for hook in hooks:
            hook.remove()
    norms = np.concatenate([gradient.norm(dim=-1).numpy() for gradient in gradients])
    places = (history + moments)[:, None] - np.arange(history + 1)
    back: Array = norms[places, np.arange(len(moments))[:, None]].mean(axis=0)
    return back
