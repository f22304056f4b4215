"""The network of sequence learners: what padding and patches must not change."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gated.tasks.classify import SequenceClassifier, SequenceTraining
from gated.tasks.classify.config import ClassifyConfig
from gated.tasks.classify.convolutions import ConvolutionalBranch
from gated.tasks.classify.network import SequenceNetwork, single_steps

CONFIG = ClassifyConfig(hidden=4, filters=8, patch=2)


def network(config=CONFIG, channels=3):
    torch.manual_seed(0)
    return SequenceNetwork(config, channels * (config.patch or 1), 3)


@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing(training):
    """Neither what it holds nor how much of it there is; also in statistics of the batch."""
    of = network(replace(CONFIG, dropout=0.0)).train(training)
    lengths = torch.tensor([10, 4, 7])
    steps = torch.randn(10, 3, 6)
    other = torch.cat([steps, torch.randn(5, 3, 6)])
    for row, length in enumerate(lengths):
        other[length:, row] = 99.0
    torch.testing.assert_close(of(other, lengths), of(steps, lengths))


def test_a_sequence_is_answered_alone_as_among_others():
    of = network().eval()
    steps, lengths = torch.randn(10, 3, 6), torch.tensor([10, 4, 7])
    together = of(steps, lengths)
    for row, length in enumerate(lengths):
        alone = of(steps[:length, row : row + 1], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-6)


def test_the_branch_reads_single_steps_in_their_order():
    steps = torch.randn(5, 2, 6)  # patches of two steps with three channels
    single, there = single_steps(steps, torch.tensor([5, 3]), 2)
    assert there.sum(1).tolist() == [10, 6]
    for step in range(10):
        channels = slice(3 * (step % 2), 3 * (step % 2) + 3)
        torch.testing.assert_close(single[0, :, step], steps[step // 2, 0, channels])
    assert not single[1, :, 6:].any()


def test_the_branch_is_convolutions_normalised_and_excited():
    """Against torch's modules, on sequences of one length."""
    torch.manual_seed(1)
    of = ConvolutionalBranch(2, 8)
    x = torch.randn(4, 2, 50)
    expected = x
    for place in range(3):
        kernel = of.convolutions[place]
        expected = torch.nn.functional.conv1d(expected, kernel.weight, padding="same")
        norm = torch.nn.BatchNorm1d(expected.shape[1])
        expected = norm(expected).relu()
        if place < 2:
            weighed = of.excitations[place].weigh(expected.mean(-1))
            expected = expected * weighed[..., None]
    torch.testing.assert_close(of(x, torch.ones(4, 50, dtype=torch.bool)), expected.mean(-1))


def test_one_sequence_of_one_step_can_be_learned_from():
    of = network(replace(CONFIG, patch=1)).train()
    of(torch.randn(1, 1, 3), torch.tensor([1])).sum().backward()
    assert torch.isfinite(of.branch.convolutions[0].weight.grad).all()


def test_defaults_are_filled_in_by_the_longest_sequence(tmp_path):
    random = np.random.default_rng(0)
    sequences = [random.normal(size=n) for n in (70, 33, 50, 64)]
    training = SequenceTraining(steps=2, threads=1)
    learner = SequenceClassifier(hidden=4, training=training).fit(sequences, [0, 1, 0, 1])
    config = learner.learner_.config
    assert (config.patch, config.filters, config.kernel_features) == (3, 24, 9996)
    learner.save(tmp_path)
    again = SequenceClassifier.load(tmp_path)
    np.testing.assert_array_equal(again.predict_proba(sequences), learner.predict_proba(sequences))
    longer = [random.normal(size=n) for n in (1025, 40, 900, 1000)]
    learner = SequenceClassifier(hidden=4, training=training).fit(longer, [0, 1, 0, 1])
    assert (learner.learner_.config.filter_pool, config.filter_pool) == (3, 1)
    plain = SequenceClassifier(
        hidden=4, filters=0, patch=1, kernel_features=0, members=2, training=training
    )
    network_of = plain.fit(sequences, [0, 1, 0, 1]).network_
    assert (network_of.first.branch, network_of.fixed, len(network_of.members)) == (None, None, 2)


def test_the_branch_reads_means_of_the_steps_that_are_there():
    of = network(replace(CONFIG, patch=1, filter_pool=3))
    plain = network(replace(CONFIG, patch=1))
    plain.load_state_dict(of.state_dict())
    steps = torch.randn(7, 2, 3)
    pooled = torch.stack([steps[:3].mean(0), steps[3:6].mean(0), steps[6]])
    lengths = torch.tensor([7, 4])
    pooled[1, 1] = steps[3, 1]  # its last step fills the place of two more
    found = of.branch(*single_steps(steps, lengths, 1))
    wanted = plain.branch(*single_steps(pooled, torch.tensor([3, 2]), 1))
    torch.testing.assert_close(found, wanted)
