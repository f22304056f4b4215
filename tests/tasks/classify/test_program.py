"""What a classifier or regressor predicts without torch is what it predicts with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from tests.tasks.classify.conftest import bumps

import gated
from gated.errors import ModelFileError
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
            wanted = learner.numbers(arrays)[:, None]
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
    ("options", "reason"),
    [({}, "kernel_features=0"), ({"kernel_features": 0, "members": 2}, "members=1")],
)
def test_fixed_features_and_averages_have_no_program_yet(
    options: dict, reason: str, tmp_path: Path
) -> None:
    arrays, labels = bumps(12, 0)
    learner = ClassLearner(
        SequenceConfig(hidden=4, **options), SequenceTraining(steps=1, threads=1)
    )
    learner.fit(Sequences(arrays, labels, [str(number) for number in range(12)])).save(tmp_path)
    with pytest.raises(ModelFileError, match=reason):
        gated.load(tmp_path)
