"""Options of cells, such as layer normalisation and zoneout: each returns a new cell.

Options combine freely: each one only rewrites the tape, and the loop over time knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gated.cells.cell import Cell, Matrix, Parameter, State
from gated.cells.language import normalised
from gated.cells.tape import ACTIVATIONS, Block, Node, Place, Tape
from gated.errors import ConfigurationError

Change = Callable[[Tape, Place, Node, tuple[Place, ...]], Place | None]
"""From the new tape, a place, its node and the new arguments: the new node, or None for a copy."""


def _changed(cell: Cell, change: Change) -> Cell:
    """Return the cell with each node replaced by `change`."""
    tape = Tape()
    moved: dict[Place, Place] = {}
    for place, node in enumerate(cell.tape.nodes):
        arguments = tuple(moved[argument] for argument in node.arguments)
        new = change(tape, place, node, arguments)
        moved[place] = tape.copied(node, arguments) if new is None else new
    states = tuple(state._replace(after=moved[state.after]) for state in cell.states)
    return replace(cell, tape=tape, states=states, output=moved[cell.output])


def layer_norm(cell: Cell) -> Cell:
    """Normalise the products of the gates, and the cell state where an activation reads it.

    Ba, Kiros and Hinton 2016: gain · norm(W x) + b, over all gates together whose products with the
    input and the hidden state are only added to each other, over every other gate alone; and
    gain · norm(c) + b in place of c in the output's activation.

    Raises:
        ConfigurationError: a product takes a vector that the step has computed.
    """
    nodes = cell.tape.nodes
    products = [place for place, node in enumerate(nodes) if node.operation == "product"]
    if any(nodes[nodes[p].arguments[0]].operation not in ("input", "state") for p in products):
        raise ConfigurationError(f"there is no layer normalisation for the cell {cell.name}")
    together: dict[str, list[list[Place]]] = {}
    for matrix in cell.matrices:
        of = {nodes[p].about.gate: p for p in products if nodes[p].about.matrix == matrix.name}
        joint = [of[gate] for gate in matrix.gates if _is_added(nodes, of[gate], products)]
        alone = [[of[gate]] for gate in matrix.gates if of[gate] not in joint]
        together[matrix.name] = ([joint] if joint else []) + alone
    spans = {place: span for spans in together.values() for span in spans for place in span}
    shown = {state.after for state in cell.states[1:]}
    made: dict[Place, Place] = {}

    def gained(tape: Tape, value: Place, gain: Block, bias: Block) -> Place:
        scaled = tape.apply("mul", tape.leaf("parameter", "H", gain), value)
        return tape.apply("add", scaled, tape.leaf("parameter", "H", bias))

    def change(tape: Tape, place: Place, node: Node, arguments: tuple[Place, ...]) -> Place | None:
        if place in spans:
            span = spans[place]
            if place not in made:
                # Sources are leaves, which come first: all are there.
                sums = tuple(
                    tape.product(_source(tape, nodes[nodes[of].arguments[0]]), nodes[of].about, "H")
                    for of in span
                )
                for of, value in zip(span, normalised(tape, sums), strict=True):
                    about = nodes[of].about
                    made[of] = gained(
                        tape,
                        value,
                        Block(about.matrix.replace("weight", "gain"), about.gate),
                        Block(about.matrix.replace("weight", "bias"), about.gate),
                    )
            return made[place]
        if node.operation in ACTIVATIONS and node.arguments[0] in shown:
            (value,) = normalised(tape, arguments)
            return tape.apply(
                node.operation,
                gained(tape, value, Block("gain_cell", ""), Block("bias_cell", "")),
            )
        return None

    changed = _changed(cell, change)
    parameters = [*cell.parameters]
    for matrix in cell.matrices:
        parameters.append(Parameter(matrix.name.replace("weight", "gain"), matrix.gates))
        parameters.append(Parameter(matrix.name.replace("weight", "bias"), matrix.gates))
    if any(n.about == Block("gain_cell", "") for n in changed.tape.nodes):
        parameters += [Parameter("gain_cell", ()), Parameter("bias_cell", ())]
    return replace(
        changed,
        matrices=tuple(matrix._replace(has_bias=False) for matrix in cell.matrices),
        parameters=tuple(parameters),
    )


def _source(tape: Tape, leaf: Node) -> Place:
    return tape.leaf(leaf.operation, leaf.width, leaf.about)


def _is_added(nodes: list[Node], product: Place, products: list[Place]) -> bool:
    """Whether a product is added to another and to nothing else."""
    users = [node for node in nodes if product in node.arguments]
    return (
        len(users) == 1 and users[0].operation == "add" and set(users[0].arguments) <= set(products)
    )


def zoneout(cell: Cell, states: tuple[bool, ...]) -> Cell:
    """Let units of some states keep their old value: s = k · s_before + (1 - k) · s.

    Krueger et al. 2017; in training k, 0 or 1, is drawn for each unit, step and sequence; in
    evaluation it is the probability of 1.
    """
    tape = Tape(cell.tape.nodes)
    after = []
    for k, state in enumerate(cell.states):
        if not states[k]:
            after.append(state.after)
            continue
        kept = tape.leaf("draw", state.width, k)
        before = tape.leaf("state", state.width, k)
        new = tape.apply("mul", tape.apply("sub", tape.constant(1), kept), state.after)
        after.append(tape.apply("add", tape.apply("mul", kept, before), new))
    return replace(
        cell,
        tape=tape,
        states=tuple(s._replace(after=a) for s, a in zip(cell.states, after, strict=True)),
        output=after[0] if cell.output_is_hidden else cell.output,
    )


def heads(cell: Cell, count: int) -> Cell:
    """Make each gate's block of `weight_hh` block-diagonal, with `count` squares.

    Raises:
        ConfigurationError: the cell has no such matrix.
    """
    if all(of.name != "weight_hh" for of in cell.matrices):
        raise ConfigurationError(f"the cell {cell.name} has no weight_hh for heads to cut")
    matrices = (of._replace(heads=count) if of.name == "weight_hh" else of for of in cell.matrices)
    return replace(cell, matrices=tuple(matrices))


def recurrent_dropout(cell: Cell) -> Cell:
    """Multiply the hidden state that products read by one dropout mask for all steps.

    Gal and Ghahramani 2016; the mask is the per-sequence input `hidden_mask`.
    """
    nodes = cell.tape.nodes
    read = {node.arguments[0] for node in nodes if node.operation == "product"}
    for place in reversed(range(len(nodes))):
        if place in read and nodes[place].operation != "product":
            read |= set(nodes[place].arguments)
    hidden = Node("state", (), cell.states[0].width, 0)

    def masked(tape: Tape) -> Place:
        mask = tape.leaf("per_sequence", hidden.width, "hidden_mask")
        return tape.apply("mul", mask, tape.copied(hidden, ()))

    def change(tape: Tape, place: Place, node: Node, arguments: tuple[Place, ...]) -> Place | None:
        takes = node.operation == "product" or place in read
        if not takes or not any(nodes[argument] == hidden for argument in node.arguments):
            return None
        given = tuple(
            masked(tape) if nodes[argument] == hidden else new
            for argument, new in zip(node.arguments, arguments, strict=True)
        )
        return tape.copied(node, given)

    return replace(_changed(cell, change), per_sequence=(*cell.per_sequence, "hidden_mask"))


def projected(cell: Cell) -> Cell:
    """Project the hidden state to P units: it becomes `weight_hr` (P, H) times what it was.

    Sak, Senior and Beaufays 2014.

    Raises:
        ConfigurationError: the hidden state is used elementwise, or becomes another state, and so
            must keep its H units.
    """
    hidden = Node("state", (), "H", 0)
    nodes = cell.tape.nodes
    if (
        any(
            hidden in (nodes[a] for a in node.arguments) and node.operation != "product"
            for node in nodes
        )
        or any(nodes[state.after] == hidden for state in cell.states)
        or not cell.output_is_hidden
    ):
        raise ConfigurationError(f"the hidden state of the cell {cell.name} cannot be projected")

    def change(tape: Tape, place: Place, node: Node, arguments: tuple[Place, ...]) -> Place | None:
        return tape.leaf("state", "P", 0) if node == hidden else None

    changed = _changed(cell, change)
    tape = Tape(changed.tape.nodes)
    after = tape.product(changed.output, Block("weight_hr", "_"), "P")
    matrices = tuple(
        matrix._replace(columns="P") if matrix.name == "weight_hh" else matrix
        for matrix in cell.matrices
    )
    return replace(
        changed,
        tape=tape,
        states=(State(cell.states[0].name, "P", after), *changed.states[1:]),
        output=after,
        matrices=(*matrices, Matrix("weight_hr", ("_",), "P", "H", has_bias=False)),
    )


def resets(cell: Cell) -> Cell:
    """Set states to zeros before each step at which the input `resets` is 1."""

    def change(tape: Tape, place: Place, node: Node, arguments: tuple[Place, ...]) -> Place | None:
        if node.operation != "state":
            return None
        goes_on = tape.apply("sub", tape.constant(1), tape.leaf("per_step", "1", "resets"))
        return tape.apply("mul", tape.copied(node, ()), goes_on)

    return replace(_changed(cell, change), per_step=(*cell.per_step, "resets"))
