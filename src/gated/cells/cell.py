"""A cell: the result of tracing a definition, with the names of its weights, states and gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from gated import notebooks
from gated.cells.tape import ACTIVATIONS, Place, Tape, Width
from gated.errors import CellError


class Matrix(NamedTuple):
    """A weight matrix of a cell, and its bias, which has one number for each row."""

    name: str
    """`weight_ih`, without the layer's suffix."""
    gates: tuple[str, ...]
    """The gates of its blocks of rows, from the top."""
    rows: Width
    """The width of a block: how many rows it has."""
    columns: Width
    has_bias: bool = True
    heads: int = 1
    """Squares on the diagonal of a block, 0 elsewhere; stored (blocks · rows, columns / heads)."""

    @property
    def bias(self) -> str:
        """The name of its bias, (blocks · rows)."""
        return self.name.replace("weight", "bias", 1)


class State(NamedTuple):
    """A state, which each step passes on to the next."""

    name: str
    """Its name in the definition."""
    width: Width
    after: Place
    """The node of its new value."""


class Parameter(NamedTuple):
    """Learned numbers that belong to no matrix: (gates, H); (H,) without gates."""

    name: str
    gates: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Cell:
    """One step of a recurrent network, written once; see `gated.cells`.

    A cell is made by the decorator `gated.cells.cell`, and changed by `gated.cells.options`.
    """

    name: str
    tape: Tape
    states: tuple[State, ...]
    """The first is the hidden state, which products read as `h`."""
    output: Place
    matrices: tuple[Matrix, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    per_step: tuple[str, ...] = ()
    """Inputs that differ from step to step, by name."""
    per_sequence: tuple[str, ...] = ()
    """Inputs that stay the same over all steps of a sequence."""
    gate_names: Mapping[str, str] = field(default_factory=dict)
    """Full names of the definition's gates, such as `input_gate`."""
    paper: str = ""
    """The definition's docstring."""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Values of the constants that may be changed, by name."""
    defined: Callable[[Mapping[str, float]], Cell] | None = None
    """Returns the cell for other values of its constants."""

    def with_constants(self, **constants: float) -> Cell:
        """Return the same definition with other values of its constants.

        Raises:
            CellError: there is no such constant.
        """
        for name in constants:
            if name not in self.constants or self.defined is None:
                known = ", ".join(self.constants) or "none"
                raise CellError(f"the cell {self.name} has no constant {name}: it has {known}")
        assert self.defined is not None or not constants  # noqa: S101 - refused above
        return self if self.defined is None else self.defined({**self.constants, **constants})

    @cached_property
    def per_step_widths(self) -> dict[str, Width]:
        """The width of each of `per_step`; `1` where nothing reads it."""
        leaves = {of.about: of.width for of in self.tape.nodes if of.operation == "per_step"}
        return {name: leaves.get(name, "1") for name in self.per_step}

    @property
    def output_is_hidden(self) -> bool:
        """Whether the output is the first state."""
        return self.output == self.states[0].after

    @cached_property
    def gates(self) -> dict[str, Place]:
        """The node of each gate's value, after its activation, by name."""
        return {
            self.gate_names.get(gate, gate): _gate_node(self.tape, gate)
            for gate in dict.fromkeys(gate for matrix in self.matrices for gate in matrix.gates)
            if not gate.startswith("_")
        }

    @cached_property
    def named(self) -> dict[str, Place]:
        """The node of each gate and state, by name; gates first."""
        after = (state.after for state in self.states)
        return self.gates | dict(zip(self.state_names, after, strict=True))

    @cached_property
    def one_name(self) -> dict[str, str]:
        """For each name in `named`, the one name under which its value is stored.

        A gate whose node is also a state's is stored under the state's name.
        """
        names = {place: name for name, place in reversed(self.named.items())}
        names |= {of.after: name for name, of in zip(self.state_names, self.states, strict=True)}
        return {name: names[place] for name, place in self.named.items()}

    @property
    def watched(self) -> tuple[Place, ...]:
        """Nodes other than the output that a loss may read: gates and states."""
        after = [state.after for state in self.states]
        gates = [gate for gate in self.gates.values() if gate not in after]
        return *gates, *(state for state in after if state != self.output)

    @cached_property
    def state_names(self) -> tuple[str, ...]:
        """Full names of the states, such as `hidden` and `cell`."""
        return tuple(_FIELD_NAMES.get(state.name, state.name) for state in self.states)

    @cached_property
    def digest(self) -> str:
        """A hash of everything that the cell computes, which identifies it."""
        import hashlib

        said = repr((self.tape.nodes, self.states, self.output, self.matrices, self.parameters))
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    @cached_property
    def equations(self) -> str:
        """The cell in LaTeX: a line for each gate, state and value that is used more than once."""
        from gated.cells import latex  # not what running a cell waits for

        return "\n".join(latex.equations(self))

    @cached_property
    def document(self) -> dict[str, Any]:
        """The cell for `json`, with all that another program needs to run it.

        As `"cell"` in the description of a model over characters, it is what `gated explore` shows.
        """
        from gated.cells import document  # not what running a cell waits for

        return document.document(self)

    def _repr_latex_(self) -> str:
        """Return the equations as one block, for notebooks."""
        aligned = (line.replace(" = ", " &= ", 1) for line in self.equations.split("\n"))
        lines = " \\\\\n".join(aligned)
        return f"$$\\begin{{aligned}}\n{lines}\n\\end{{aligned}}$$"

    def _repr_svg_(self) -> str | None:
        """The picture, where what draws it is installed."""
        try:
            return None if notebooks.cell_picture is None else notebooks.cell_picture(self)
        except ImportError:
            return None

    def _repr_html_(self) -> str:
        """The equations and the picture below them: notebooks show one form alone.

        The picture is an image, so that its styles stay in it.
        """
        import base64
        import html

        equations, svg = html.escape(self._repr_latex_(), quote=False), self._repr_svg_()
        if svg is None:
            return equations
        data = base64.b64encode(svg.encode()).decode()
        name = html.escape(self.name)
        return f'{equations}\n<img alt="{name}" src="data:image/svg+xml;base64,{data}">'

    @property
    def heads(self) -> int:
        """The squares on the diagonal of each block of `weight_hh`; 1 if the block is full."""
        return next((of.heads for of in self.matrices if of.name == "weight_hh"), 1)

    def matrix(self, name: str) -> Matrix:
        """Return the matrix of this name."""
        return next(matrix for matrix in self.matrices if matrix.name == name)

    def __repr__(self) -> str:
        states = ", ".join(state.name for state in self.states)
        return f"<cell {self.name}: states {states}; gates {', '.join(self.gates)}>"


_FIELD_NAMES = {"h": "hidden", "c": "cell"}


def _gate_node(tape: Tape, gate: str) -> Place:
    """Follow a gate's products through linear operations to the first activation of their sum."""
    products = {
        place
        for place, node in enumerate(tape.nodes)
        if node.operation == "product" and node.about.gate == gate
    }
    linear, last = set(products), min(products)
    for place, node in enumerate(tape.nodes):
        if linear.isdisjoint(node.arguments) or node.operation == "product":
            continue
        if node.operation in ACTIVATIONS:
            return place
        if node.operation in ("add", "sub", "neg", "mul", "normalise"):
            linear.add(place)
            if node.operation in ("add", "sub") and last in node.arguments:
                last = place
    return last
