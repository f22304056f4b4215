"""How layers are written as those of a program, see `gated.live`."""

from __future__ import annotations

from typing import Any

from gated.cells import library, options
from gated.core.layout import LAYOUTS
from gated.errors import CellError, ProgramError
from gated.live.recurrence import LIBRARY
from gated.nn.layers import GRU, LSTM, RNN
from gated.nn.recurrent import Recurrent


def recurrent(layers: RNN | GRU | LSTM | Recurrent, weights: str) -> dict[str, Any]:
    """Return the options of the layer `recurrent` of a program.

    Args:
        layers: of a network.
        weights: what the names of their weights begin with in the network's state dict, such as
            `recurrent.`.

    Raises:
        ProgramError: the cell is not one of gated's own.
    """
    cell = layers._cell_for({})
    found: dict[str, Any] = {
        "cell": cell,
        "weights": weights,
        "layers": layers.num_layers,
        "directions": 2 if layers.bidirectional else 1,
        "units": layers.hidden_size,
    }
    if layers.proj_size:
        found["projected"] = layers.proj_size
    if any(layers.variant.zoneout):
        found["zoneout"] = list(layers.variant.zoneout)
    return found if cell in LAYOUTS else found | _of_library(layers)


def _of_library(layers: Any) -> dict[str, Any]:
    """The options of a cell of the library: those by which it is made anew."""
    mine = layers.cell
    name = mine.name
    plain: Any = getattr(library, name, None)
    normalised = any(of.name.startswith("gain_") for of in mine.parameters)
    found: dict[str, Any] = {"cell": f"{LIBRARY}{name}", "bias": layers.bias}
    try:
        again = plain.with_constants(**mine.constants) if mine.constants else plain
        again = options.layer_norm(again) if normalised else again
        again = options.projected(again) if layers.proj_size else again
        again = options.heads(again, layers.heads) if layers.heads > 1 else again
        same = again.digest == mine.digest
    except (AttributeError, CellError):
        same = False
    if not same:
        raise ProgramError(
            f"the cell {name} is not one of gated.cells.library, and a program names its cells"
        )
    found |= {"constants": dict(mine.constants)} if mine.constants else {}
    found |= {"layer_norm": True} if normalised else {}
    found |= {"projects": True} if layers.proj_size else {}
    return found | ({"heads": layers.heads} if layers.heads > 1 else {})
