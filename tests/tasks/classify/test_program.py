"""What a classifier or regressor predicts without torch is what it predicts with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from tests.tasks.classify.conftest import bumps

import gated
from gated.errors import ConfigurationError, ProgramError
from gated.live.emit_c import source
from gated.tasks.classify.config import SequenceConfig, SequenceTraining
from gated.tasks.classify.learner import ClassLearner, NumberLearner
from gated.tasks.classify.sequences import Sequences

OPTIONS = [
    {"patch": 1, "filters": 8},
    {"patch": 2, "filters": 5, "filter_pool": 3},
    {"patch": 3, "filters": 6, "cell": "rnn", "pooling": "attention", "layers": 2},
    {"patch": 2, "filters": 0, "cell": "gru", "pooling": "last"},
    {"patch": 1, "filters": 0, "pooling": "mean", "one_way": True},
    {"patch": 3, "filters": 0, "cell": "gru", "pooling": "max", "one_way": True},
    {"patch": 1, "filters": 0, "pooling": "attention", "one_way": True, "layers": 2},
    {"patch": 1, "filters": 4, "cell": "lem", "pooling": "mean", "layers": 2},
    {"patch": 1, "filters": 0, "cell": "scrn", "pooling": "last", "one_way": True},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("missing", [False, True])
def test_the_program_predicts_what_the_network_does(
    options: dict, missing: bool, tmp_path: Path
) -> None:
    arrays, labels = bumps(24, 0)
    if missing:
        for array in arrays[::2]:
            array[3, 1] = array[0, 0] = np.nan
    names = [str(number) for number in range(24)]
    for kind, values in ((ClassLearner, labels), (NumberLearner, np.arange(24.0) * 3 + 7)):
        config = SequenceConfig(hidden=7, kernel_features=0, **options)
        learner = kind(config, SequenceTraining(steps=3, threads=1))
        learner.fit(Sequences(arrays, values, names)).network.eval()
        learner.save(tmp_path / kind.task)
        model = gated.load(tmp_path / kind.task)
        found = model(arrays)
        if isinstance(learner, ClassLearner):
            assert_agree(found, learner.probabilities(arrays), "probabilities", absolute=1e-6)
            assert model.labels == ("early", "late")
        else:
            wanted = learner.numbers(arrays)
            assert_agree(found, wanted, "numbers", relative=1e-6, absolute=1e-5)
        assert model.streams == bool(options.get("one_way"))
        for array, out in zip(arrays, found, strict=True):
            np.testing.assert_array_equal(model(array), out)
            if model.streams and len(array) % options["patch"] == 0:
                np.testing.assert_array_equal(model.stream().push_many(array)[-1], out)
        with torch.no_grad():
            head = learner.network.first.head.weight
            head[0, 0] += 0.5
        learner.save(tmp_path / kind.task)
        assert np.abs(gated.load(tmp_path / kind.task)(arrays) - found).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "trust"),
    [({}, None), ({"members": 2, "patch": 3}, 0.25), ({"members": 3, "one_way": True}, 1.0)],
)
def test_a_default_run_has_a_program(options: dict, trust: float | None, tmp_path: Path) -> None:
    arrays, labels = bumps(24, 0)
    arrays[3][2, 1] = np.nan
    names = [str(number) for number in range(24)]
    for kind, values in ((ClassLearner, labels), (NumberLearner, np.arange(24.0) * 3 + 7)):
        learner = kind(SequenceConfig(**options), SequenceTraining(steps=3, threads=1))
        learner.fit(Sequences(arrays, values, names)).network.eval()
        if trust is not None:
            learner.network.trust.fill_(trust)
            learner.network.sharpness.fill_(1.7)
        learner.save(tmp_path / kind.task)
        model = gated.load(tmp_path / kind.task)
        found = model(arrays)
        if isinstance(learner, ClassLearner):
            assert_agree(found, learner.probabilities(arrays), "probabilities", absolute=1e-5)
        else:
            wanted = learner.numbers(arrays)
            assert_agree(found, wanted, "numbers", relative=1e-5, absolute=1e-4)
        for array, out in zip(arrays, found, strict=True):
            np.testing.assert_array_equal(model(array), out)
        with pytest.raises(ConfigurationError, match=STANDS[trust]):
            model.stream()
        with pytest.raises(ProgramError, match="which a step in C cannot"):
            source(model, "whole")
        fixed = learner.network.fixed
        if learner.network.trust < 1:
            fixed.bias[0] += 5
            learner.save(tmp_path / kind.task)
            assert np.abs(gated.load(tmp_path / kind.task)(arrays) - found).max() > 1e-3


STANDS = {
    None: "kernel_features, summaries.* --kernel-features 0",
    0.25: "kernel_features, summaries, recurrent",
    1.0: "step by step: convolution",
}
"""What stands in the way of streams, by the share of the networks."""
