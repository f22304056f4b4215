"""Truncated backpropagation: states go on from stretch to stretch, and through a restart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gated.tasks.language.config import LanguageConfig, LanguageTraining
from gated.tasks.language.network import LanguageNetwork, nats
from gated.tasks.language.task import LanguageTask
from gated.training.loop import train
from gated.training.task import Shard

CONFIG = LanguageConfig(hidden=12, embedding=6, window=16, layers=2, dropout=0.0)


def task_of(config: LanguageConfig = CONFIG, length: int = 701) -> LanguageTask:
    codes = np.random.default_rng(0).integers(0, 9, length).astype(np.uint16)
    torch.manual_seed(3)
    return LanguageTask(LanguageNetwork(config, 9), config, codes, codes[:90], seed=5)


def test_the_stretches_of_an_epoch_are_the_streams_in_order() -> None:
    task, step, read = task_of(), 0, []
    while not (read and task.training_batch(step, 7, Shard(0, 1)).anew):
        batch = task.training_batch(step, 7, Shard(0, 1))
        assert 1 <= len(batch.codes) <= 60
        read.append(batch)
        step += 1
    codes = torch.cat([batch.codes for batch in read])
    following = torch.cat([batch.following for batch in read])
    assert torch.equal(codes.T.flatten(), torch.from_numpy(task.training[:700].astype(np.int64)))
    assert torch.equal(following[:-1], codes[1:])
    assert step > 4
    assert task.training_batch(step, 7, Shard(0, 1)).anew


def test_a_stretch_is_its_step_whatever_was_asked_before() -> None:
    fresh, used = task_of(), task_of()
    for step in (3, 0, 11):
        used.training_batch(step, 7, Shard(0, 1))
    ours, theirs = (of.training_batch(6, 7, Shard(1, 3)) for of in (fresh, used))
    assert torch.equal(ours.codes, theirs.codes)
    whole = fresh.training_batch(6, 7, Shard(0, 1))
    assert torch.equal(whole.codes[:, 1::3], ours.codes)


def test_the_loss_of_all_stretches_is_that_of_the_whole_text() -> None:
    task = task_of()
    total, carried, step = 0.0, {}, 0
    batch = task.training_batch(0, 1, Shard(0, 1))
    while step == 0 or not batch.anew:
        loss, carried = task.loss_from(task.network, batch, carried)
        total, step = total + loss.total.item(), step + 1
        batch = task.training_batch(step, 1, Shard(0, 1))
    whole = nats(task.network, torch.from_numpy(task.training.astype(np.int64)), 0, 1, 1000)
    np.testing.assert_allclose(total, whole.double().sum(), rtol=1e-5)


def test_streams_with_a_context_say_nearly_the_same_as_one() -> None:
    task = task_of()
    codes = torch.from_numpy(task.training.astype(np.int64))
    with torch.no_grad():
        one, several = nats(task.network, codes, 0, 1, 64), nats(task.network, codes, 80, 5, 64)
    assert len(one) == len(several) == 700
    np.testing.assert_allclose(one, several, atol=1e-3)


class Interrupted(Exception):
    """Stands for a kill."""


class Until:
    """Stops a training after a step."""

    def __init__(self, last: int) -> None:
        self.last = last

    def step(self, *, step: int, **_: Any) -> None:
        if step == self.last:
            raise Interrupted

    def validation(self, **_: Any) -> None:
        pass


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_killed_training_goes_on_with_its_states(tmp_path: Path, accumulate: int) -> None:
    options = LanguageTraining(
        steps=12, batch_size=4, checkpoint_every=4, validate_every=6, threads=1,
        accumulate=accumulate,
    )  # fmt: skip
    config = LanguageConfig(**{**CONFIG.to_dict(), "dropout": 0.2, "weight_drop": 0.3})
    whole = task_of(config)
    train(whole, options)
    with pytest.raises(Interrupted):
        train(task_of(config), options, directory=tmp_path, progress=Until(6))
    again = task_of(config)
    train(again, options, directory=tmp_path, resume=True)
    for name, ours in again.network.state_dict().items():
        assert torch.equal(ours, whole.network.state_dict()[name]), name


def test_without_its_states_a_training_is_another() -> None:
    options = LanguageTraining(steps=4, batch_size=4, validate_every=10, threads=1)
    carried, forgetful = task_of(), task_of()
    forgetful.loss_from = lambda network, batch, _: (  # type: ignore[method-assign]
        LanguageTask.loss_from(forgetful, network, batch, {})[0],
        {},
    )
    losses = [train(task, options).loss for task in (carried, forgetful)]
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]
