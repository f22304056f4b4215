"""Recurrent layers, and products with weights, which are cells without memory.

Both run on the native core, which gives a sequence the same bits alone and in a batch, on any
number of threads, as a whole, in parts and step by step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gated.cells import Cell, library, options
from gated.cells.activated import Activation, activated
from gated.cells.language import cell_when_asked
from gated.core import ops
from gated.core.arguments import StoredAs
from gated.core.layout import LAYOUTS, Weights
from gated.core.plans import named_cell, parameter_shapes
from gated.core.stream import Stream
from gated.core.variants import Regularisation, Zoneout
from gated.errors import CellError, ConfigurationError
from gated.live.entry import Entry, Singles
from gated.live.layer import Array, Form, Layer, Pointwise, State, Steps

LIBRARY = "library."
"""What the names of cells of `gated.cells.library` begin with."""
MOST_LAYERS = 64
MOST_DELAY = 1024
"""Largest constant of a cell: some are numbers of steps, of which each is a state."""
MOST_BATCHES = 4
"""Numbers of sequences for which packed weights are kept."""


@cell_when_asked
def product(x: Any, h: Any) -> Any:
    """W x + b, and nothing remembered."""
    return x.n


class Stack:
    """Layers of a cell in one direction.

    Args:
        cell: of all layers.
        layers: the weights of each by name.
        zoneout: the probability of each state, as in training.
        stored_as: how packed weights are stored.
    """

    def __init__(
        self,
        cell: Cell,
        layers: Sequence[Mapping[str, Singles]],
        zoneout: tuple[float, ...] = (),
        stored_as: StoredAs = "float32",
    ) -> None:
        self.cell, self.layers, self.stored_as = cell, layers, stored_as
        self.zoneout = Zoneout(zoneout) if any(zoneout) else None
        self._streams: dict[int, list[Stream]] = {}

    def run(
        self,
        x: Singles,
        lengths: Any,
        state: State,
        *,
        reverse: bool = False,
        threads: int | None = None,
    ) -> tuple[Singles, State]:
        """Run all layers over x (T, B, I) from a state: for each layer, each state (B, ·).

        By default on as many threads as there are, on one for a single sequence.
        """
        if len(x) == 1 and lengths is None:
            return self._step(x, state)
        count = len(self.cell.states)
        after: list[Array] = []
        for depth, weights in enumerate(self.layers):
            found = ops.forward(
                self.cell,
                np.ascontiguousarray(x),
                weights,
                lengths=lengths,
                initial=state[depth * count : (depth + 1) * count] or None,
                reverse=reverse,
                regularisation=Regularisation(zoneout=self.zoneout) if self.zoneout else None,
                stored_as=self.stored_as,
                # Waking one may take milliseconds.
                threads=threads or (1 if x.shape[1] == 1 else None),
            )
            x = found.output
            after += found.final
        return x, tuple(after)

    def _step(self, x: Singles, state: State) -> tuple[Singles, State]:
        """One step, with weights that stay packed; two threads have a stream each."""
        B, count = x.shape[1], len(self.cell.states)
        free = self._streams.setdefault(B, [])
        if len(self._streams) > MOST_BATCHES:
            oldest, *_ = list(self._streams)  # a copy: other threads may add to it meanwhile
            self._streams.pop(oldest, None)
        try:
            stream = free.pop()
        except IndexError:
            stream = Stream(
                self.cell,
                self.layers,
                sequences=B,
                zoneout=self.zoneout,
                stored_as=self.stored_as,
            )
        if state:
            rows = range(0, len(state), count)
            stream.states = [state[row : row + count] for row in rows]
        out = stream.step(np.ascontiguousarray(x[0])).copy()[None]
        after = tuple(of for layer in stream.states for of in layer) if state else ()
        free.append(stream)
        return out, after


class Product:
    """W x + b for each of many rows.

    Args:
        weight: (outputs, inputs)
        bias: (outputs,), or None.
        stored_as: how the packed weights are stored.
    """

    def __init__(
        self, weight: Singles, bias: Singles | None, stored_as: StoredAs = "float32"
    ) -> None:
        arrays = {"weight_ih": weight} | ({} if bias is None else {"bias_ih": bias})
        self._stack = Stack(product, [arrays], stored_as=stored_as)

    def __call__(self, x: Array) -> Singles:
        """Map (T, B, inputs) to (T, B, outputs)."""
        return self._stack.run(np.asarray(x, np.float32), None, ())[0]


class Linear(Pointwise):
    """`weight` (outputs, F) and `bias` (outputs): W x + b."""

    def __init__(self, entry: Entry, *given: Form) -> None:
        weight = entry.array("weight", None, given[0].features)
        bias = entry.optional("bias", len(weight))
        self.form = given[0]._replace(features=len(weight))
        self.weight, self.bias = weight, bias
        self._product = Product(weight, bias, entry.stored_as)

    def apply(self, *values: Array) -> Array:
        """Multiply."""
        return self._product(values[0])


class Recurrent(Layer):
    """`layers` of a `cell` in one or two `directions`; weights are named as in `torch.nn`.

    `weights` is what their names begin with: `weights + "weight_ih_l0"`. The cell is one of
    `gated.core.layout.LAYOUTS`, whose options follow from which weights there are, perhaps with
    other `activations` (with their numbers `alpha` and `beta`) and a `clip`; or one of
    `gated.cells.library`, as `library.mgu`, with `constants`, `bias`, `layer_norm`, `projects` and
    `heads`.
    """

    takes = ("steps",)
    without = "--one-way"

    def __init__(self, entry: Entry, *given: Form) -> None:
        features = given[0].features
        depth = entry.whole("layers", 1, MOST_LAYERS)
        directions = entry.whole("directions", 1, 2, 1)
        prefix, name = entry.text("weights"), entry.text("cell")
        zoneout = tuple(entry.numbers("zoneout", None, default=[]).tolist())
        units = entry.whole("units", 1, 1 << 20)
        make = _listed if name in LAYOUTS else _of_library
        self.cell, has = make(entry, name, prefix)
        projected = entry.whole("projected", 0, 1 << 20, 0) or units
        if projected != units and "weight_hr" not in {of.name for of in self.cell.matrices}:
            raise entry.wrong("is projected, but its cell is not")
        widths = {"H": units, "P": projected, "1": 1}
        if len(zoneout) > len(self.cell.states) or not all(0 <= of <= 1 for of in zoneout):
            raise entry.wrong("has a zoneout that is not a probability for each state")
        given_layers: list[list[dict[str, Singles]]] = [[] for _ in range(directions)]
        for layer in range(depth):
            inputs = features if layer == 0 else projected * directions
            shapes = parameter_shapes(self.cell, {**widths, "I": inputs})
            for direction in range(directions):
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                given_layers[direction].append(
                    {
                        of: entry.weights(prefix + of + suffix, *shape)
                        for of, shape in shapes.items()
                        if has(of)
                    }
                )
        self.streams = directions == 1
        self.depth, self.features, self.widths = depth, features, widths
        self.form = given[0]._replace(features=projected * directions)
        self._widths = [widths[state.width] for state in self.cell.states]
        if directions == 1:
            self._ways = [[Stack(self.cell, given_layers[0], zoneout, entry.stored_as)]]
        else:
            self._ways = [
                [Stack(self.cell, [of[layer]], zoneout, entry.stored_as) for of in given_layers]
                for layer in range(depth)
            ]
        self.weights_of = given_layers
        self.zoneout = zoneout

    def begin(self, sequences: int) -> State:
        """Zeros: for each layer, each of the cell's states."""
        if not self.streams:
            return ()
        widths = self._widths * self.depth
        return tuple(np.zeros((sequences, width), np.float32) for width in widths)

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Run all layers; of two directions, the second from the end of each sequence."""
        x, lengths = given[0]
        x = np.asarray(x, np.float32)
        for ways in self._ways:
            if len(ways) == 1:
                x, state = ways[0].run(x, lengths, state)
            else:
                found = [
                    way.run(x, given[0].ends, (), reverse=bool(direction))[0]
                    for direction, way in enumerate(ways)
                ]
                x = np.concatenate(found, axis=-1)
        return Steps(x, lengths), state


def _listed(entry: Entry, name: str, prefix: str) -> tuple[Cell, Any]:
    """A cell of `LAYOUTS`, and which of its weights there are: those of the first layer."""
    there = [of for of in Weights._fields if entry.has_weights(f"{prefix}{of}_l0")]
    functions, clip = _activations(entry), entry.numbers("clip", None, above=0, default=[])
    try:
        if functions or clip.size:
            kind = "rnn" if name.startswith("rnn_") else name
            if set(there) & {"weight_hr", "gain_ih", "gain_hh", "gain_cell"}:
                raise ConfigurationError("activations do not go with projections and gains")
            peepholes = "peepholes" in there
            given = functions or ([Activation("relu")] if name == "rnn_relu" else [])
            limit = float(clip[0]) if clip.size else None
            made = activated(kind, given, clip=limit, peepholes=peepholes)
            return made, lambda of: of in there or of not in ("bias_ih", "bias_hh")
        made = named_cell(name, dict.fromkeys(there))
    except CellError as error:
        raise entry.wrong(f"has activations that the cell {name} cannot have: {error}") from error
    except (ConfigurationError, AttributeError) as error:
        raise entry.wrong(f"has weights that the cell {name} does not: {error}") from error
    biases = {"bias_ih", "bias_hh", "bias_cell"}
    return made, lambda of: of in there or of not in biases


def _activations(entry: Entry) -> list[Activation]:
    """The activations of a cell; none where it has its own."""
    names = entry.texts("activations", ())
    numbers = [entry.numbers(of, None, default=[]).tolist() for of in ("alpha", "beta")]
    if any(of and len(of) != len(names) for of in numbers):
        raise entry.wrong("must have as many numbers as alpha and as beta as it has activations")
    alpha, beta = (of or [None] * len(names) for of in numbers)
    return [Activation(*of) for of in zip(names, alpha, beta, strict=True)]


def _of_library(entry: Entry, name: str, prefix: str) -> tuple[Cell, Any]:
    """A cell of the library with its options."""
    made = getattr(library, name.removeprefix(LIBRARY), None)
    if not name.startswith(LIBRARY) or not isinstance(made, Cell):
        raise entry.wrong(f"has the cell {name!r}, which is not in the library")
    constants = entry.named_numbers("constants")
    if any(abs(of) > MOST_DELAY for of in constants.values()):
        raise entry.wrong(f"has a constant beyond ±{MOST_DELAY:,}")
    try:
        made = made.with_constants(**constants) if constants else made
        if entry.flag("layer_norm", False):
            made = options.layer_norm(made)
        if entry.flag("projects", False):
            made = options.projected(made)
        heads = entry.whole("heads", 1, 1 << 16, 1)
        made = options.heads(made, heads) if heads > 1 else made
    except (CellError, ConfigurationError) as error:
        raise entry.wrong(f"has options that the cell {name} does not: {error}") from error
    if made.per_step or made.per_sequence:
        raise entry.wrong(f"has the cell {name}, which takes more than the input at each step")
    bias = entry.flag("bias", True)
    names = {matrix.bias for matrix in made.matrices}
    return made, lambda of: bias or of not in names
