"""Layers by the name of a cell."""

import pytest
import torch

from gated.cells import library
from gated.cells.named import HELD, cell_named, cells
from gated.errors import ConfigurationError
from gated.nn import LSTM, Recurrent
from gated.nn.named import LAYERS, layers_named
from gated.tasks.classify.config import ClassifyConfig
from gated.tasks.language.config import LanguageConfig
from gated.tasks.speech.config import SpeechConfig
from gated.tasks.video.config import VideoConfig


def test_the_usual_names_are_the_usual_layers() -> None:
    assert all(type(layers_named(name, 2, 3)) is LAYERS[name] for name in LAYERS)
    torch.manual_seed(0)
    layer = layers_named("lstm", 2, 3, 2, open_gates=True)
    torch.manual_seed(0)
    same = LSTM(2, 3, 2, forget_bias=1.0).state_dict()
    assert all(torch.equal(of, same[name]) for name, of in layer.state_dict().items())


@pytest.mark.parametrize("name", cells())
def test_every_cell_of_the_library_has_a_name(name: str) -> None:
    layer = layers_named(name, 2, 8, bidirectional=True)
    out = layer(torch.zeros(3, 2, 2), lengths=[3, 1])[0]
    assert out.shape == (3, 2, 16)
    assert isinstance(layer, Recurrent) == (name not in LAYERS)


def test_gates_that_keep_a_state_begin_open() -> None:
    layer = layers_named("lstm_peephole", 2, 3)
    sums = (layer.bias_ih_l0 + layer.bias_hh_l0).view(4, 3)
    gates = layer.cell.matrices[0].gates
    assert torch.equal(sums[gates.index("f")], torch.ones(3))


@pytest.mark.parametrize("name", HELD)
def test_weights_that_are_held_antisymmetric_are(name: str) -> None:
    weight = layers_named(name, 2, 4).weight_hh_l0
    assert weight.any()
    assert torch.equal(weight, -weight.T)


@pytest.mark.parametrize("name", ["lstmm", "Any", "_LSTM", ""])
def test_what_is_no_cell_of_that_kind_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}' is no cell of the library; did you"):
        cell_named(name)


@pytest.mark.parametrize("name", ["gru_d", "gru-d"])
def test_a_cell_that_reads_more_than_its_input_is_refused_for_that(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cell: {name} reads m, delta, last of each step"):
        cell_named(name)


@pytest.mark.parametrize("config", [LanguageConfig, ClassifyConfig, SpeechConfig, VideoConfig])
def test_tasks_say_which_cells_they_have(config: type) -> None:
    assert config(cell="mogrifier").cell == "mogrifier"
    with pytest.raises(
        ConfigurationError, match=r"'mogrifer' is no cell .* did you mean mogrifier"
    ):
        config(cell="mogrifer")
    with pytest.raises(ConfigurationError) as refused:
        config(cell="antisymmetric")
    offered = str(refused.value).partition("There are ")[2].rstrip(".").split(", ")
    assert {config(cell=name).cell for name in offered} == {*offered}  # all that is offered
    assert len(offered) == len(cells()) - 3
    with pytest.raises(ConfigurationError, match="antisymmetric_rnn is held antisymmetric"):
        config(cell="antisymmetric_rnn")
    with pytest.raises(ConfigurationError, match="holt-winters smooths a series of numbers"):
        config(cell="holt-winters")


def test_hyphens_and_underscores() -> None:
    assert cell_named("gru-reset-before") is cell_named("gru_reset_before")
    assert cell_named("rnn").name == library.rnn_tanh.name
