"""Cells of the library by the names that options have."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from functools import cache

from gated.cells import library
from gated.cells.cell import Cell
from gated.errors import ConfigurationError, option

HELD = ("antisymmetric_rnn", "gated_antisymmetric_rnn")
"""Cells whose recurrent weight is held W - Wᵀ while it is trained, by `gated.nn.init`."""
USUAL = ("rnn", "gru", "lstm")
"""The names of the cells that have a layer of their own; `rnn` is `rnn_tanh`."""


@cache
def cells() -> dict[str, Cell]:
    """Return the cells that read nothing but their input, by name with hyphens between words."""
    found = {
        name.replace("_", "-"): of for name, of in vars(library).items() if isinstance(of, Cell)
    }
    return {name: of for name, of in found.items() if not of.per_step} | {"rnn": library.rnn_tanh}


def cell_named(name: str, said: str = "cell", besides: Collection[str] = ()) -> Cell:
    """Return the cell of this name.

    Args:
        name: with hyphens or underscores.
        said: the option that names it, for the error.
        besides: names of cells that the error does not offer.

    Raises:
        ConfigurationError: there is no such cell.

    >>> cell_named("mogrifier").paper
    'Mogrifier LSTM of two rounds (Melis, Kočiský and Blunsom 2020).'
    """
    plain = "rnn_tanh" if name == "rnn" else name.replace("-", "_")
    found = getattr(library, plain, None)
    if isinstance(found, Cell) and found.per_step:
        raise ConfigurationError(
            f"{option(said)}: {name} reads {', '.join(found.per_step)} of each step beside its "
            f"input, which no task gives. In Python: gated.nn.Recurrent(library.{found.name}, ...)."
        )
    if not isinstance(found, Cell):
        offered = [known for known, of in cells().items() if of.name not in besides]
        (near,) = difflib.get_close_matches(name.lower().replace("_", "-"), offered, 1, 0.0)
        raise ConfigurationError(
            f"{option(said)}: {name!r} is no cell of the library; did you mean {near}? "
            f"There are {', '.join(offered)}."
        )
    return found


def check_cell(name: str) -> None:
    """Refuse a name of which a task can make no layers.

    Raises:
        ConfigurationError: no cell has this name, or its weights are held in a form.
    """
    found = cell_named(name, besides=(*HELD, library.holt_winters.name))
    if found is library.holt_winters:
        raise ConfigurationError(
            f"{option('cell')}: {name} smooths a series of numbers, and learns no memory. In "
            "Python: gated.nn.Recurrent(library.holt_winters, ...)."
        )
    if found.name in HELD:
        raise ConfigurationError(
            f"{option('cell')}: the recurrent weight of {name} is held antisymmetric while it is "
            "trained, which models of tasks do not store. In Python: "
            "gated.nn.init.stay_antisymmetric_(gated.nn.Recurrent(...))."
        )
