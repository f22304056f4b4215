"""Layers of `torch.nn` in place of gated's for TorchScript, which can only compile these."""

from __future__ import annotations

from typing import Any

from torch import nn

from gated.errors import ConfigurationError


def refusal(what: str, tool: str) -> ConfigurationError:
    """Return the error for options that no layer of torch has.

    Args:
        what: the layer or its options, in words.
        tool: the function of TorchScript that was called.
    """
    return ConfigurationError(
        f"{tool} knows the layers of torch alone, and none of them has {what}: leave it out, or "
        "use torch.export"
    )


def layer_of_torch(layer: Any) -> nn.Module:
    """Return the layer of `torch.nn` with the same parameters, for `torch.jit.script`.

    Scripting also puts it into the original model in place of the layer; it is marked as by
    `accelerate`, so that it still runs on the native core there.

    Args:
        layer: a `gated.nn.RNN`, `GRU` or `LSTM`.

    Raises:
        ConfigurationError: no layer of torch computes the same.
    """
    from gated.nn.accelerate import accelerate
    from gated.nn.backends import native_is_there

    beyond = [name for name in ("layer_norm", "coupled", "peepholes") if getattr(layer, name, None)]
    beyond += [name for name, value in layer.variant.changing.items() if value]
    beyond += [f"stored_as={layer.stored_as!r}"] if layer.variant.stored_as else []
    if not getattr(layer, "reset_after", True):
        beyond.append("reset_after=False")
    if beyond:
        raise refusal(", ".join(beyond), "torch.jit.script")
    kind: type[nn.RNNBase] = getattr(nn, layer.mode.partition("_")[0])
    options: dict[str, Any] = {"nonlinearity": layer.nonlinearity} if kind is nn.RNN else {}
    if layer.proj_size:
        options["proj_size"] = layer.proj_size
    made = kind(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        batch_first=layer.batch_first,
        dropout=layer.dropout,
        bidirectional=layer.bidirectional,
        device="meta",
        **options,
    )
    for name in list(made._parameters):
        parameter = layer._parameters.get(name)
        if parameter is None:
            raise refusal(
                f"a {name} that is computed from others (parametrised or pruned)",
                "torch.jit.script",
            )
        setattr(made, name, parameter)
    made.train(layer.training)
    if native_is_there():
        accelerate(made)
    return made


def cell_of_torch(cell: Any) -> nn.Module:
    """Return the cell of `torch.nn` for a `gated.nn.RNNCell`, `GRUCell` or `LSTMCell`."""
    kind: Any = getattr(nn, type(cell).__name__)
    options = {"nonlinearity": cell.nonlinearity} if kind is nn.RNNCell else {}
    made: nn.Module = kind(cell.input_size, cell.hidden_size, cell.bias, device="meta", **options)
    made._parameters.update(cell._parameters)
    made.train(cell.training)
    return made
