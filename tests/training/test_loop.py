from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from adding import Adding, same_course
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn

from gated.errors import DataError, TrainingDivergedError
from gated.training.checkpoint import FILE_NAME, read_checkpoint
from gated.training.loop import train
from gated.training.options import TrainingOptions
from gated.training.task import Loss, Shard, Task


class Recorder:
    """Keeps what the loop tells."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.validations: list[dict[str, Any]] = []

    def step(self, **facts: Any) -> None:
        self.steps.append(facts)

    def validation(self, **facts: Any) -> None:
        self.validations.append(facts)


class Scripted(Adding):
    """Validates to given scores."""

    def __init__(self, *losses: float) -> None:
        super().__init__()
        self.losses = iter(losses)
        self.weights: list[dict[str, Tensor]] = []

    def validate(self, network: nn.Module) -> dict[str, float]:
        assert not network.training
        assert not torch.is_grad_enabled()
        self.weights.append({n: w.clone() for n, w in self.network.state_dict().items()})
        return {"loss": next(self.losses)}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns() -> None:
    task = Adding()
    history = train(task, TrainingOptions(steps=120, validate_every=20, learning_rate=1e-2))
    assert history.steps == 120
    assert history.stopped == "steps"
    assert history.loss[-1] < history.loss[0] / 5
    assert [validation.step for validation in history.validations] == [20, 40, 60, 80, 100, 120]
    assert not task.network.training


def test_the_best_weights_are_restored() -> None:
    task = Scripted(5.0, 2.0, 3.0, 2.0)
    history = train(task, TrainingOptions(steps=8, validate_every=2))
    assert history.best is not None
    assert history.best.step == 4
    assert equal(task.network.state_dict(), task.weights[1])
    assert not equal(task.network.state_dict(), task.weights[3])


def test_patience_stops() -> None:
    task = Scripted(5.0, 6.0, 4.0, 4.5, 4.2, 1.0)
    history = train(task, TrainingOptions(steps=100, validate_every=3, patience=2))
    assert (history.stopped, history.steps) == ("patience", 15)
    assert equal(task.network.state_dict(), task.weights[2])


def test_processor_time_is_that_of_this_process() -> None:
    history = train(Adding(), TrainingOptions(steps=10**9, processor_minutes=0.002))
    assert history.stopped == "time"
    assert history.processor_seconds >= 0.12
    assert history.learning_rate[-1] < history.learning_rate[history.steps // 2]


def test_without_validation_the_last_weights_are_the_result(tmp_path: Path) -> None:
    task = Adding(held_out=0)
    history = train(
        task, TrainingOptions(steps=5, validate_every=1, patience=1), directory=tmp_path
    )
    assert (history.stopped, history.validations, history.best) == ("steps", [], None)
    assert equal(task.network.state_dict(), read_checkpoint(tmp_path / FILE_NAME).network)


def test_progress_is_told_what_the_history_holds() -> None:
    recorder = Recorder()
    options = TrainingOptions(steps=9, validate_every=4, clip_norm=3.0)
    history = train(Adding(), options, progress=recorder)
    assert [facts["step"] for facts in recorder.steps] == list(range(1, 10))
    assert [facts["share"] for facts in recorder.steps] == [step / 9 for step in range(1, 10)]
    assert {facts["unit"] for facts in recorder.steps} == {"loss"}
    for name in ("loss", "gradient_norm", "learning_rate"):
        assert [facts[name] for facts in recorder.steps] == getattr(history, name)
    assert [facts["clipped"] for facts in recorder.steps] == history.clipped_by_norm
    assert set(history.clipped_by_norm) == {True, False}
    assert [facts["step"] for facts in recorder.validations] == [4, 8, 9]
    assert [facts["scores"] for facts in recorder.validations] == [
        validation.scores for validation in history.validations
    ]


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(Adding(dropout=0.5), TrainingOptions(steps=2))
    assert torch.equal(torch.rand(3), expected)


def test_dropout_differs_between_steps_and_parts() -> None:
    class Noisy(Adding):
        seen: list[float]

        def loss(self, network: nn.Module, batch: Any) -> Loss:
            if network.training:
                self.seen.append(torch.rand(()).item())
            return super().loss(network, batch)

    first, second = Noisy(), Noisy()
    for task in (first, second):
        task.seen = []
        train(task, TrainingOptions(steps=4, accumulate=3, batch_size=6))
    assert len(set(first.seen)) == 12
    assert first.seen == second.seen


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions(precision: Any) -> None:
    options = {"steps": 30, "learning_rate": 1e-2}
    history = train(Adding(), TrainingOptions(**options, precision=precision))
    expected = train(Adding(), TrainingOptions(**options))
    assert history.loss == pytest.approx(expected.loss, rel=0.05)
    assert not same_course(history, expected)


class Failing(Adding):
    """Goes wrong from step `at` on."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__()
        self.at, self.what, self.step = at, what, 0

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Any:
        self.step = step
        return super().training_batch(step, batch_size, shard)

    def loss(self, network: nn.Module, batch: Any) -> Loss:
        total, weight = super().loss(network, batch)
        if self.step + 1 < self.at or not network.training:
            return Loss(total, weight)
        match self.what:
            case "loss":
                return Loss(total * math.nan, weight)
            case "gradient":  # the root's slope at 0 is infinite
                return Loss(total + (total - total).sqrt(), weight)
            case "target":
                return Loss(total * 0, weight * 0)
        raise AssertionError(self.what)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("loss", "at step 8 of 20: the loss is nan"),
        ("gradient", "at step 8 of 20: the loss is .* and the gradient norm (nan|inf)"),
    ],
)
def test_divergence_stops_and_keeps_the_last_good_checkpoint(
    what: str, message: str, tmp_path: Path
) -> None:
    task = Failing(8, what)
    options = TrainingOptions(steps=20, checkpoint_every=3)
    with pytest.raises(TrainingDivergedError, match=message) as raised:
        train(task, options, directory=tmp_path)
    path = tmp_path / FILE_NAME
    assert str(path) in str(raised.value)
    kept = read_checkpoint(path)
    assert kept.history.steps == 6
    assert all(
        tensor.isfinite().all() for tensor in (*kept.network.values(), *kept.optimizer.values())
    )
    assert all(parameter.isfinite().all() for parameter in task.network.parameters())


def test_divergence_before_the_first_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingDivergedError, match="No checkpoint"):
        train(Failing(2, "loss"), TrainingOptions(), directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_overflowed_are_not_kept(tmp_path: Path) -> None:
    """The loss was finite, but the step made the weights infinite."""
    options = TrainingOptions(
        steps=3, learning_rate=1e38, weight_decay=10.0, checkpoint_every=1, schedule="constant"
    )
    with pytest.raises(TrainingDivergedError, match="a weight is NaN or infinite"):
        train(Adding(held_out=0), options, directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_validation_loss_that_is_no_number_stops(tmp_path: Path) -> None:
    options = TrainingOptions(steps=20, validate_every=5, checkpoint_every=5)
    with pytest.raises(TrainingDivergedError, match="at step 10 of 20: the validation loss is nan"):
        train(Scripted(1.0, math.nan), options, directory=tmp_path)
    assert read_checkpoint(tmp_path / FILE_NAME).history.steps == 5


def test_a_batch_without_targets_is_refused() -> None:
    with pytest.raises(DataError, match="step 3 holds no target"):
        train(Failing(3, "target"), TrainingOptions(steps=5))


class Line(Task[Tensor]):
    """A linear network whose gradients overflow in half precision at one step."""

    def __init__(self) -> None:
        self.network = nn.Linear(2, 1, bias=False)
        nn.init.ones_(self.network.weight)

    def steps_per_epoch(self, batch_size: int) -> int:
        return 1

    def training_batch(self, step: int, batch_size: int, shard: Shard) -> Tensor:
        return torch.full((batch_size, 2), 20.0 if step == 2 else 0.01)

    def loss(self, network: nn.Module, batch: Tensor) -> Loss:
        return Loss(network(batch).sum(), torch.tensor(float(len(batch))))

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {}


def test_half_precision_skips_a_step_that_overflows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a CPU Fabric has no half precision, so its plug-in is given to it by hand."""

    def launch(_: TrainingOptions) -> Fabric:
        fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu"))
        fabric.launch()
        return fabric

    monkeypatch.setattr("gated.training.loop.launch", launch)
    options = TrainingOptions(
        steps=4, batch_size=8, precision="16-mixed", validate_every=1, schedule="constant"
    )
    recorded = []

    class Watcher(Recorder):
        def step(self, **_: Any) -> None:
            recorded.append(task.network.weight.detach().clone())

    task = Line()
    history = train(task, options, directory=tmp_path, progress=Watcher())
    assert [math.isinf(norm) for norm in history.gradient_norm] == [False, False, True, False]
    assert torch.equal(recorded[2], recorded[1])
    assert not torch.equal(recorded[3], recorded[2])
    scaler = read_checkpoint(tmp_path / FILE_NAME).scaler
    assert scaler["scale"] == 2**15
    resumed = Line()
    assert same_course(train(resumed, options, directory=tmp_path, resume=True), history)
    assert torch.equal(resumed.network.weight, task.network.weight)
