"""Remembering is a task as every other: fitted, scored by the judge, saved and asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gated.errors import ConfigurationError, ModelFileError
from gated.tasks.comparison import compare
from gated.tasks.memory.config import MemoryConfig, MemoryTraining
from gated.tasks.memory.learner import NO_MEMORY, MemoryLearner
from gated.tasks.memory.longest import memory_test
from gated.tasks.memory.network import MemoryNetwork
from gated.tasks.memory.problems import problem_of
from gated.tasks.memory.score import MemoryScore

SHORT = MemoryTraining(steps=4, batch_size=8, validate_every=2, threads=1)
SOLVING = MemoryTraining(
    steps=400, batch_size=32, learning_rate=1e-2, validate_every=20, threads=1, seed=3
)


def test_a_trial_of_the_memory_test_is_a_fit() -> None:
    """The same weights, scores and steps, and the judge says what they are worth."""
    config = MemoryConfig(length=6, cell="gru", hidden=16)
    learner = MemoryLearner(config, SOLVING).fit(None)
    result = learner.score()
    tested = memory_test(
        "adding", cells=("gru",), lengths=(6,), seeds=(3,), units=16, training=SOLVING
    )
    (trial,) = tested.trials
    assert (trial.score, trial.solved) == (result.score, True)
    assert trial.history.loss == learner.history.loss
    assert learner.history.stopped == "goal"
    assert result.verdict.better
    assert result.figures["GRU"] == {"mean squared error": result.score}
    assert str(result.verdict).startswith("GRU beats the best baseline (no memory): mean squared ")
    assert str(result.verdict).endswith(
        "This solves adding at 6 steps, which takes less than 0.0167."
    )


@pytest.mark.parametrize("name", ["adding", "copy", "digits"])
def test_the_baseline_is_the_best_guess(name: str) -> None:
    learner = MemoryLearner(MemoryConfig(problem=name, length=64, hidden=4), SHORT).prepare(None)
    losses = learner.score().losses
    assert list(losses) == ["LSTM", NO_MEMORY]
    assert losses[NO_MEMORY].shape == (500,)
    assert losses[NO_MEMORY].mean() == pytest.approx(problem_of(name, 64).chance, rel=0.1)


def test_what_is_predicted_is_what_is_scored() -> None:
    learner = MemoryLearner(MemoryConfig(problem="copy", length=4, hidden=4), SHORT).fit(None)
    table = learner.predict()
    assert table.columns == ["sequence", "answer", "expected", "predicted"]
    assert len(table) == 500 * 10
    assert table["sequence"][9:11].to_list() == ["0", "1"]
    target = learner.problem.draw("test", 500, 0).target
    np.testing.assert_array_equal(table["expected"].to_numpy().reshape(500, 10).T, target)
    adding = MemoryLearner(MemoryConfig(length=4, hidden=4), SHORT).fit(None)
    table = adding.predict()
    gaps = (table["predicted"] - table["expected"]).to_numpy()
    np.testing.assert_allclose(gaps**2, adding.score().losses["LSTM"], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    "cell", ["rnn-modrelu-exp", "lstm-chrono-orthogonal", "indrnn", "gru-layer-norm", "mogrifier"]
)
def test_every_start_is_saved_and_read(cell: str, tmp_path: Path) -> None:
    """Also `-exp`, whose weights are an exponential that is to be built before they are read."""
    learner = MemoryLearner(MemoryConfig(cell=cell, length=8, hidden=6, layers=2), SHORT).fit(None)
    learner.save(tmp_path)
    read = MemoryLearner.load(tmp_path)
    assert read.config == learner.config
    saved, found = learner.network.state_dict(), read.network.state_dict()
    assert saved.keys() == found.keys()
    assert all(torch.equal(saved[name], found[name]) for name in saved)
    assert read.predict().equals(learner.predict())
    assert read.evaluate(None).score == learner.score().score


def test_longer_sequences_begin_with_what_was_learned_on_shorter(tmp_path: Path) -> None:
    short = MemoryLearner(MemoryConfig(length=6, cell="gru", hidden=8), SHORT).fit(None)
    short.save(tmp_path)
    training = MemoryTraining(steps=1, threads=1, init_from=tmp_path, learning_rate=1e-9)
    longer = MemoryLearner(MemoryConfig(length=12), training).fit(None)
    assert (longer.config.cell, longer.config.hidden, longer.config.length) == ("gru", 8, 12)
    torch.testing.assert_close(longer.network.state_dict(), short.network.state_dict())
    with pytest.raises(ConfigurationError, match="hidden is 9, and 8 in"):
        MemoryLearner(MemoryConfig(hidden=9), training).prepare(None)


def test_sizes_that_no_weights_have_are_refused_at_once(tmp_path: Path) -> None:
    learner = MemoryLearner(MemoryConfig(cell="rnn-exp", length=8, hidden=6), SHORT).prepare(None)
    learner.config = MemoryConfig(cell="rnn-exp", length=8, hidden=10**9)
    learner.save(tmp_path)
    with pytest.raises(ModelFileError, match=r"the shape of .* is .*, and the description asks"):
        MemoryLearner.load(tmp_path)


def test_any_cell_of_the_library_is_compared() -> None:
    config = MemoryConfig(length=6, hidden=4)
    found = compare(MemoryLearner, None, config, SHORT, cells=("lem", "gru"), seeds=(0,))
    assert [row.cell for row in found.rows] == ["lem", "gru"]
    assert found.baselines == {NO_MEMORY: {"mean squared error": pytest.approx(1 / 6, rel=0.1)}}
    with pytest.raises(ConfigurationError, match="'lemm' is no cell of the library; did you mean"):
        compare(MemoryLearner, None, config, SHORT, cells=("gru", "lemm"), seeds=(0,))


def test_what_is_worse_than_a_guess_is_called_so() -> None:
    losses = {"GRU": np.full(20, 0.5), NO_MEMORY: np.linspace(0.1, 0.2, 20)}
    result = MemoryScore(problem_of("adding", 50), losses)
    assert not result.solved
    assert result.verdict.outcome == "worse"
    assert str(result.verdict).endswith(
        "This does not solve adding at 50 steps, which takes less than 0.0167."
    )


def test_the_network_answers_the_last_steps() -> None:
    problem = problem_of("copy", 12)
    network = MemoryNetwork("gru", 4, problem, seed=0)
    x, target = problem.draw("training", 3, 0)
    assert network(x).shape == (*target.shape, problem.outputs)
