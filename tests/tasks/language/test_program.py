"""What a language model predicts without torch is what it predicts with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree

import gated
from gated.nn.init import gate_roles
from gated.tasks.language.config import LanguageConfig, LanguageTraining
from gated.tasks.language.model import LanguageModel


@pytest.mark.parametrize(
    ("unit", "cell", "layers", "tied"),
    [
        ("character", "lstm", 1, False),
        ("byte", "gru", 2, True),
        ("subword", "rnn", 2, False),
        ("character", "mogrifier", 1, False),
        ("byte", "slstm", 2, True),
        ("character", "indrnn", 1, False),
    ],
)
def test_the_program_predicts_the_next_code(
    unit, cell: str, layers: int, tied: bool, text: Path, tmp_path: Path
) -> None:
    config = LanguageConfig(
        unit=unit,
        cell=cell,
        layers=layers,
        tied=tied,
        hidden=24,
        embedding=8,
        vocabulary=300,
        no_ngrams=True,
    )
    training = LanguageTraining(steps=3, batch_size=4, threads=1)
    learner = LanguageModel(config, training).fit(text)
    learner.network.eval()
    learner.save(tmp_path / "run")
    gate_roles.cache_clear()  # a new process knows none
    again = LanguageModel.load(tmp_path / "run").network
    for name, weight in learner.network.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name
    model = gated.load(tmp_path / "run")
    said = "3+4=7\n1é☃"
    codes = learner.codes_of(said)
    with torch.no_grad():
        logits = learner.network(codes[:, None]).logits.double()
    wanted = torch.softmax(logits, -1)[:, 0].numpy()
    found = model(codes.numpy())
    assert_agree(found, wanted, "probabilities", relative=1e-5, absolute=1e-7)
    stream = model.stream()
    np.testing.assert_array_equal([stream.push(code) for code in codes.numpy()], found)
    assert len(model.labels) == len(learner.vocabulary)
    np.testing.assert_array_equal(model(said), found)
    assert model.labels[int(codes[0])] == "3"
