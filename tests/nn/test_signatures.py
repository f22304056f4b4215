"""What a reader, an editor and `inspect` see of the public classes of gated.nn."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from torch import nn

import gated.nn

CLASSES = {name: of for name in gated.nn.__all__ if inspect.isclass(of := getattr(gated.nn, name))}
BY_NAME = {
    ("Recurrent", "constants"): "values of a cell's constants, which have names of its own",
    ("Recurrent.forward", "per_step"): "a cell's inputs for a step, likewise",
}
"""What may take any keyword, and why."""


def parameters(of: Any) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(of).parameters)
    found.pop("self", None)
    return found


@pytest.mark.parametrize("name", CLASSES)
def test_every_argument_is_written_out(name: str) -> None:
    kind = CLASSES[name]
    written = {name: kind}
    if issubclass(kind, nn.Module):
        written[f"{name}.forward"] = kind.forward
    for called, of in written.items():
        for argument, parameter in parameters(of).items():
            assert parameter.annotation is not inspect.Parameter.empty, (called, argument)
            if (called, argument) not in BY_NAME:
                assert parameter.kind not in (
                    inspect.Parameter.VAR_POSITIONAL,
                    inspect.Parameter.VAR_KEYWORD,
                ), (called, argument)


def of_torch(name: str) -> list[tuple[str, Any]]:
    """The arguments and defaults of torch's class; its layers say only `(*args, **kwargs)`."""
    if name.endswith("Cell"):
        return [(n, p.default) for n, p in parameters(getattr(nn, name)).items()]
    found = [(n, p.default) for n, p in parameters(nn.RNNBase).items() if n != "mode"]
    if name != "LSTM":
        found.remove(("proj_size", 0))
    if name == "RNN":
        found.insert(3, ("nonlinearity", "tanh"))
    return found


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"])
def test_torchs_arguments_come_first_and_ours_by_keyword(name: str) -> None:
    ours = parameters(CLASSES[name])
    positional = [p for p in ours.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [(of.name, of.default) for of in positional] == of_torch(name)
    # torch's own class takes them in this order, too.
    values = {"input_size": 3, "hidden_size": 4, "dropout": 0.0, "nonlinearity": "relu"}
    values |= {"num_layers": 2, "bias": False, "batch_first": True, "bidirectional": True}
    given = []
    for argument, _ in of_torch(name):
        if argument in ("proj_size", "device"):
            break
        given.append(values[argument])
    expected, found = getattr(nn, name)(*given), CLASSES[name](*given)
    assert repr(found) == repr(expected)
    assert {n: p.shape for n, p in found.state_dict().items()} == {
        n: p.shape for n, p in expected.state_dict().items()
    }
