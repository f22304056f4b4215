import numpy as np
import polars as pl
import pytest
import torch

from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.distributions import pinball
from gated.tasks.forecast.network import Batch, Ensemble, ForecastNetwork
from gated.tasks.forecast.preparation import prepare
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.windows import gather, training_origins

HORIZON, HISTORY, SEASON = 8, 12, 6


def network_and_batch(**changes) -> tuple[ForecastNetwork, Batch]:
    """A network of random weights, and windows for it."""
    fitted, batch = prepared_and_batch(**changes)
    torch.manual_seed(0)
    return ForecastNetwork(fitted).eval(), batch


def prepared_and_batch(**changes) -> tuple[Preprocessing, Batch]:
    """Windows of two series with covariates of each kind."""
    rng = np.random.default_rng(0)
    rows = 120
    frame = pl.DataFrame(
        {
            "t": [*range(rows // 2)] * 2,
            "name": ["a"] * (rows // 2) + ["b"] * (rows // 2),
            "y": rng.normal(size=rows),
            "price": rng.uniform(size=rows),
            "kind": rng.choice(["x", "y", "z"], rows),
            "sky": rng.choice(["sun", "rain"], rows),
        }
    )
    fields = {
        "time": "t",
        "target": "y",
        "series": "name",
        "known": ("price", "kind"),
        "horizon": HORIZON,
        "history": HISTORY,
        "season": SEASON,
        "hidden": 5,
    }
    prepared = prepare(frame, ForecastConfig(**fields | changes))
    return prepared.preprocessing, Batch.of(gather(prepared, training_origins(prepared)[:7]))


def changed_at(before: torch.Tensor, after: torch.Tensor) -> list[bool]:
    """Which steps of two forecasts `(horizon, B, Q)` differ."""
    return (before != after).flatten(1).any(1).tolist()


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("quantiles", [(0.05, 0.3, 0.5, 0.7, 0.95), (0.5,), (0.1, 0.5)])
def test_quantiles_ascend_whatever_the_weights(cell, quantiles):
    network, batch = network_and_batch(cell=cell, quantiles=quantiles, layers=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=3)
        forecast = network(batch)
    assert forecast.shape == (HORIZON, 7, len(quantiles))
    assert (forecast.diff(dim=-1) >= 0).all()
    assert (forecast / batch.remainder[:, None]).std() > 0.5


def test_a_window_is_forecast_the_same_alone():
    network, batch = network_and_batch()
    together = network(batch)
    for b in range(7):
        alone = network(batch.take(torch.tensor([b])))
        torch.testing.assert_close(alone[:, 0], together[:, b])


def test_forecasts_follow_the_level_beyond_what_was_seen():
    network, batch = network_and_batch()

    def at(level: float) -> torch.Tensor:
        inputs, higher = batch.inputs.clone(), level - batch.last
        inputs[..., 0] += higher
        lags = {name: getattr(batch, name) + higher[:, None] for name in ("lags", "future_lags")}
        last = torch.full_like(batch.last, level)
        smooth = batch.smooth + higher
        return network(batch._replace(inputs=inputs, last=last, smooth=smooth, **lags))

    torch.testing.assert_close(at(9.0), at(4.0) + 5.0)
    torch.testing.assert_close(at(-9.0), at(-4.0) - 5.0)
    assert not torch.allclose(at(1.0), at(0.0) + 1.0)


def test_what_is_known_of_a_step_changes_it_and_later_ones():
    network, batch = network_and_batch()
    for name, change in (("future", 1.5), ("future_categories", 1)):
        future = getattr(batch, name).clone()
        future[3] = (future[3] + change) if name == "future" else (future[3] + change) % 4
        after = network(batch._replace(**{name: future}))
        assert changed_at(network(batch), after) == [False] * 3 + [True] * (HORIZON - 3)


def test_the_lags_of_a_step_change_it_and_later_ones():
    network, batch = network_and_batch(season=(SEASON, 3))
    assert batch.lags.shape == (HISTORY, 7, 2)
    assert batch.future_lags.shape == (HORIZON, 7, 2)
    lags = batch.future_lags.clone()
    lags[2, :, 1] += 1
    after = network(batch._replace(future_lags=lags))
    assert changed_at(network(batch), after) == [False] * 2 + [True] * (HORIZON - 2)


def test_the_median_begins_as_smoothing_goes_on_and_leaves_it_as_far_as_it_is_trusted():
    network, batch = network_and_batch()
    torch.testing.assert_close(network(batch)[..., 1], batch.smooth)
    with torch.no_grad():
        network.head.weight.fill_(1.0)
    moved = (network(batch)[..., 1] - batch.smooth).abs() / batch.remainder
    assert moved.max() > 0.1
    network.trust.fill_(0.25)
    less = (network(batch)[..., 1] - batch.smooth).abs() / batch.remainder
    torch.testing.assert_close(less, moved / 4)


def test_an_ensemble_is_the_mean_of_its_members_or_the_one_that_a_window_names():
    fitted, batch = prepared_and_batch(members=3)
    ensemble = Ensemble(fitted).eval()
    each = [member(batch) for member in ensemble.members]
    assert not torch.equal(each[0], each[1])
    torch.testing.assert_close(ensemble(batch), torch.stack(each).mean(0))
    named = torch.tensor([2, 0, 0, 1, 2, 2, 0])
    expected = torch.stack([each[m][:, b] for b, m in enumerate(named.tolist())], dim=1)
    torch.testing.assert_close(ensemble(batch._replace(member=named)), expected)
    held = [id(parameter) for _, group in ensemble.depth_groups() for parameter in group]
    assert sorted(held) == sorted(map(id, ensemble.parameters()))


def test_every_input_is_used():
    network, batch = network_and_batch()
    floats = {name: getattr(batch, name).requires_grad_() for name in ("inputs", "future", "last")}
    network(batch).sum().backward()
    for name, tensor in floats.items():
        used = (tensor.grad != 0).flatten(0, -2).any(0) if tensor.ndim > 1 else tensor.grad != 0
        assert used.all(), name
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name


def test_depth_groups_hold_every_parameter_once():
    network, _ = network_and_batch(layers=2)
    groups = network.depth_groups()
    assert [name for name, _ in groups] == ["encoder", "decoder", "head"]
    held = [id(parameter) for _, group in groups for parameter in group]
    assert sorted(held) == sorted(map(id, network.parameters()))


def test_dropout_acts_in_training_alone():
    network, batch = network_and_batch(layers=2, dropout=0.5, variational_dropout=0.2)
    assert torch.equal(network(batch), network(batch))
    network.train()
    assert not torch.equal(network(batch), network(batch))


def test_pinball_by_hand():
    quantiles = torch.tensor([0.1, 0.5, 0.9])
    forecast = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
    # Truth 3: 0.1 · 2, 0.5 · 1, 0.1 · 1. Truth 0: 0.9 · 1, 0.5 · 2, 0.1 · 4.
    expected = torch.tensor([0.8 / 3, 2.3 / 3])
    torch.testing.assert_close(pinball(quantiles, forecast, torch.tensor([3.0, 0.0])), expected)


def test_pinball_is_least_at_the_quantile():
    truth = torch.arange(101.0)
    levels = torch.arange(101.0)
    losses = pinball(torch.tensor([0.9]), levels[:, None, None], truth[None]).mean(-1)
    assert levels[losses.argmin()] == 90
