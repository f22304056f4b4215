"""Truncated backpropagation: states go on from stretch to stretch, and through a restart."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gated.configuration import json_values
from gated.tasks.language.config import LanguageConfig, LanguageTraining
from gated.tasks.language.network import LanguageNetwork, nats
from gated.tasks.language.task import LanguageTask
from gated.texts.text import Coded
from gated.training.loop import train
from gated.training.streams import Streams
from gated.training.task import Shard

CONFIG = LanguageConfig(hidden=12, embedding=6, window=16, layers=2, dropout=0.0)


def task_of(
    config: LanguageConfig = CONFIG, length: int = 701, ends: Sequence[int] = ()
) -> LanguageTask:
    codes = np.random.default_rng(0).integers(0, 9, length).astype(np.uint16)
    torch.manual_seed(3)
    coded = Coded(codes, np.array(ends, np.int64))
    return LanguageTask(LanguageNetwork(config, 9), config, coded, coded.part(0, 90), seed=5)


def test_the_stretches_of_an_epoch_are_the_streams_in_order() -> None:
    task, step, read = task_of(), 0, []
    while not (read and task.training_batch(step, 7, Shard(0, 1)).anew.any()):
        batch = task.training_batch(step, 7, Shard(0, 1))
        assert 1 <= len(batch.codes) <= 60
        read.append(batch)
        step += 1
    codes = torch.cat([batch.codes for batch in read])
    following = torch.cat([batch.following for batch in read])
    assert torch.equal(
        codes.T.flatten(), torch.from_numpy(task.training.codes[:700].astype(np.int64))
    )
    assert torch.equal(following[:-1], codes[1:])
    assert step > 4
    assert task.training_batch(step, 7, Shard(0, 1)).anew.all()


def test_a_stretch_is_its_step_whatever_was_asked_before() -> None:
    fresh, used = task_of(), task_of()
    for step in (3, 0, 11):
        used.training_batch(step, 7, Shard(0, 1))
    ours, theirs = (of.training_batch(6, 7, Shard(1, 3)) for of in (fresh, used))
    assert torch.equal(ours.codes, theirs.codes)
    whole = fresh.training_batch(6, 7, Shard(0, 1))
    assert torch.equal(whole.codes[:, 1::3], ours.codes)


ENDS = (0, 3, 60, 61, 200, 650)
"""Last places of documents: of one code, of a few, of many stretches, across streams."""


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("overlap", [0, 1, 9, 15])
@pytest.mark.parametrize("ends", [(), ENDS])
def test_the_loss_of_all_stretches_is_that_of_the_whole_text(
    ends: Sequence[int], overlap: int, cell: str
) -> None:
    task = task_of(
        LanguageConfig(**json_values(CONFIG) | {"overlap": overlap, "cell": cell}), ends=ends
    )
    total, carried, step = 0.0, {}, 0
    batch = task.training_batch(0, 1, Shard(0, 1))
    read = 0
    while read < 700:
        loss, carried = task.loss_from(task.network, batch, carried)
        total, step, read = total + loss.total.item(), step + 1, read + int(loss.weight)
        batch = task.training_batch(step, 1, Shard(0, 1))
    assert batch.anew.all()
    whole = nats(task.network, task.training, 0, 1, 1000)
    np.testing.assert_allclose(total, whole.double().sum(), rtol=1e-5)


def test_an_overlap_takes_gradients_back_so_many_steps_at_least() -> None:
    config = LanguageConfig(
        hidden=12, embedding=9, window=8, overlap=3, fixed_window=True, dropout=0.0
    )
    task = task_of(config, length=22)
    # Every code its own row of the embedding: whose gradient is that of the place.
    codes = torch.arange(22)
    task.network.embedding = torch.nn.Embedding(22, 9)
    carried: dict[str, torch.Tensor] = {}
    reached = []
    for step in range(3):
        batch = task.training_batch(step, 1, Shard(0, 1))
        at = int(task.plan.at(step, 1).at[0])
        batch = batch._replace(codes=codes[at : at + len(batch.codes), None])
        loss, carried = task.loss_from(task.network, batch, carried)
        carried = {name: state.detach() for name, state in carried.items()}
        (found,) = torch.autograd.grad(loss.total, task.network.embedding.weight)
        counted = at + torch.nonzero(batch.there[:, 0]).flatten()
        reached.append((found.any(1).nonzero().flatten().tolist(), counted.tolist()))
    assert reached == [
        ([*range(8)], [*range(8)]),
        ([*range(5, 13)], [*range(8, 13)]),
        ([*range(10, 21)], [*range(13, 21)]),  # what is left is read at once
    ]


def test_a_document_is_read_as_if_it_were_alone() -> None:
    task = task_of(ends=ENDS)
    together = nats(task.network, task.training, 700, 3, 32)
    for begin, end in pairwise((*ENDS, 700)):
        alone = Coded(task.training.codes[begin : end + 1], np.array([], np.int64))
        said = nats(task.network, alone, 0, 1, 1000)
        np.testing.assert_allclose(together[begin:end], said, rtol=1e-4, atol=1e-5)


def test_ragged_stretches_penalise_what_is_there_alone() -> None:
    config = LanguageConfig(**{**json_values(CONFIG), "activation": 2.0, "change": 1.0})
    task = task_of(config, ends=ENDS)
    batch = task.training_batch(0, 3, Shard(0, 1))
    assert batch.lengths is not None
    together = task.loss(task.network, batch).total
    written = task.network(batch.codes, {}, batch.lengths)
    columns = [written.output[:steps, b] for b, steps in enumerate(batch.lengths)]
    squares = torch.cat([of.square().flatten() for of in columns]).mean()
    changes = torch.cat([of.diff(dim=0).square().flatten() for of in columns]).mean()
    plain = task_of(CONFIG, ends=ENDS)
    without = plain.loss(task.network, batch)
    expected = without.total + without.weight * (2 * squares + changes)
    torch.testing.assert_close(together, expected)


@pytest.mark.parametrize("overlap", [0, 4, 10])
def test_streams_count_every_place_once_in_a_round(overlap: int) -> None:
    random = np.random.default_rng(2)
    starts = np.array([0, 100, 230])
    stops = np.array([100, 230, 300])
    streams = Streams(starts, stops, np.unique(random.integers(0, 300, 20)))
    read: list[list[int]] = [[], [], []]
    while not streams.rounds.all():
        fresh = streams.rounds == 0
        at, steps, anew, known, again = streams.advance(11, overlap)
        assert (known < steps).all()
        assert (again < steps).all()
        for stream in np.flatnonzero(fresh):
            first = int(at[stream])
            inside = range(first, first + int(steps[stream]))
            assert anew[stream] == (first in starts or first in streams.ends)
            assert not set(inside[1:]) & set(streams.ends.tolist())
            read[stream] += inside[int(known[stream]) :]
    assert [list(range(*of)) for of in zip(starts, stops, strict=True)] == read


def test_streams_with_a_context_say_nearly_the_same_as_one() -> None:
    task = task_of()
    one, several = (nats(task.network, task.training, *of, 64) for of in ((0, 1), (80, 5)))
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
    config = LanguageConfig(
        **{**json_values(CONFIG), "dropout": 0.2, "weight_drop": 0.3, "overlap": 4 * accumulate - 4}
    )
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
