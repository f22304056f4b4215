from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adding import Adding
from torch import Tensor, nn

from gated.errors import ConfigurationError, ModelFileError
from gated.training.loop import train
from gated.training.model_files import save_model
from gated.training.options import TrainingOptions
from gated.training.transfer import load_matching, trained_groups


@pytest.fixture
def source(tmp_path: Path) -> Path:
    save_model(tmp_path, Adding(seed=7).network, {})
    return tmp_path


def weights(task: Adding) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in task.network.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Depth groups in which some weight differs."""
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_matching_weights_are_loaded_and_the_rest_reported(source: Path) -> None:
    network = Adding(seed=1).network
    network.head = nn.Linear(8, 2)
    network.extra = nn.Linear(1, 1, bias=False)
    del network.middle
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    transfer = load_matching(network, source)
    assert transfer.source == str(source)
    assert transfer.loaded == tuple(sorted(n for n in before if n.startswith("encoder")))
    assert transfer.other_shape == ("head.bias", "head.weight")
    assert transfer.absent == ("extra.weight",)
    assert transfer.unused == ("middle.bias", "middle.weight")
    theirs = Adding(seed=7).network.state_dict()
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, theirs[name] if name in transfer.loaded else before[name])


def test_nothing_in_common_is_refused(source: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no weight of .* has the name and shape"):
        load_matching(nn.LSTM(5, 5), source)


def test_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="nowhere"):
        train(Adding(), TrainingOptions(steps=1, init_from=tmp_path / "nowhere"))


def test_training_starts_from_the_source_and_says_so(source: Path) -> None:
    started = train(Adding(seed=1), TrainingOptions(steps=1, init_from=source))
    own = train(Adding(seed=7), TrainingOptions(steps=1))
    assert started.loss == own.loss
    assert started.transfer is not None
    assert len(started.transfer.loaded) == len(Adding().network.state_dict())
    assert own.transfer is None


def test_frozen_groups_keep_their_weights() -> None:
    task = Adding()
    before = weights(task)
    train(task, TrainingOptions(steps=3, freeze=("encoder", "head")))
    assert changed(before, weights(task)) == {"middle"}
    assert all(parameter.requires_grad for parameter in task.network.parameters())


def test_a_parameter_that_the_task_holds_fixed_stays_so(source: Path) -> None:
    task = Adding(seed=7)
    task.network.head.bias.requires_grad_(False)
    before = task.network.head.bias.clone()
    train(task, TrainingOptions(steps=3, init_from=source, thaw_every=1))
    assert torch.equal(task.network.head.bias, before)
    fixed = [name for name, weight in task.network.named_parameters() if not weight.requires_grad]
    assert fixed == ["head.bias"]


def test_training_that_stops_before_the_last_thaw_leaves_nothing_frozen(source: Path) -> None:
    class Worsening(Adding):
        score = 0.0

        def validate(self, network: nn.Module) -> dict[str, float]:
            self.score += 1
            return {"loss": self.score}

    task = Worsening()
    options = TrainingOptions(
        steps=30, init_from=source, thaw_every=10, validate_every=1, patience=1
    )
    assert train(task, options).steps == 2
    assert all(parameter.requires_grad for parameter in task.network.parameters())


def test_groups_thaw_from_the_top(source: Path) -> None:
    task = Adding(held_out=0)
    moved = []

    class Watcher:
        before = Adding(seed=7).network.state_dict()

        def step(self, **_: Any) -> None:
            after = weights(task)
            moved.append(changed(self.before, after))
            self.before = after

        def validation(self, **_: Any) -> None: ...

    options = TrainingOptions(steps=6, init_from=source, thaw_every=2, schedule="constant")
    train(task, options, progress=Watcher())
    all_groups = {"encoder", "middle", "head"}
    assert moved == [{"head"}] * 2 + [{"head", "middle"}] * 2 + [all_groups] * 2


def test_rates_and_first_steps_count_from_the_top(source: Path) -> None:
    options = TrainingOptions(
        layer_rate_decay=0.5, thaw_every=7, init_from=source, freeze=("middle",)
    )
    encoder, head = trained_groups(Adding(), options, options.steps)
    assert (encoder.rate, encoder.first_step) == (0.25, 7)
    assert (head.rate, head.first_step) == (1.0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": ("lower",)}, r"no depth group lower\. It has: encoder, middle, head"),
        ({"freeze": ("encoder", "middle", "head")}, "nothing would train"),
        ({"thaw_every": 5, "steps": 10, "init_from": Path("x")}, "encoder would not thaw in 10"),
        ({"thaw_every": 5}, "give init_from too"),
    ],
)
def test_settings_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        trained_groups(Adding(), TrainingOptions(**options), options.get("steps"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["encoder", "head"], r"leaves out middle\.bias"),
        (["encoder", "middle", "head"] * 2, "16 parameters, the network has 8"),
    ],
)
def test_depth_groups_name_each_parameter_once(names: list[str], message: str) -> None:
    class Wrong(Adding):
        def depth_groups(self) -> Any:
            groups = dict(super().depth_groups())
            return [(name, groups[name]) for name in names]

    with pytest.raises(ConfigurationError, match=message):
        trained_groups(Wrong(), TrainingOptions(), steps=300)
