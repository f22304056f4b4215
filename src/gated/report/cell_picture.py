"""A diagram of any cell, derived from its tape and laid out by grandalf.

It has the style of the page "From the RNN to the LSTM, in pictures". States come in from the left
and leave to the right; the input comes from below. A box is a function of a sum of products, with
the name of its gate; circles are elementwise operations. Lines turn only in tracks between the
columns, so that no two overlap. Where the order of operands matters, as in a difference, the upper
line is the first operand.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from grandalf.graphs import Edge, Graph, Vertex
from grandalf.layouts import SugiyamaLayout, VertexViewer

from gated.cells import latex
from gated.cells.cell import Cell
from gated.cells.tape import ACTIVATIONS, Place
from gated.report.diagrams import notation
from gated.report.diagrams.lstm_cell import CANDIDATE, FORGET_GATE, INPUT_GATE, OUTPUT_GATE
from gated.report.diagrams.shapes import (
    LAYER_HEIGHT,
    OPERATION,
    Caption,
    Diagram,
    Language,
    Node,
    Path,
    Role,
    Wire,
    Words,
)
from gated.report.diagrams.svg import add_diagram, half_layer, new_picture, write

SIGNS = {"add": "+", "sub": "−", "mul": "⊙", "div": "/", "neg": "−"}
FUNCTIONS = {
    "sigmoid": "σ",
    "relu": "relu",
    "abs": "|·|",
    "sqrt": "√",
    "maximum": "max",
    "minimum": "min",
    "less": "<",
    "less_equal": "≤",
    "equal": "=",
    "normalise": "norm",
}
ROLES: dict[str, Role] = {
    "forget_gate": "keep",
    "update_gate": "keep",
    "input_gate": "write",
    "candidate": "candidate",
    "output_gate": "read",
    "reset_gate": "read",
    "hidden": "hidden",
}
NAMES = {words.en: words for words in (FORGET_GATE, INPUT_GATE, CANDIDATE, OUTPUT_GATE)} | {
    "reset gate": Words("reset gate", "重置门"),
    "update gate": Words("update gate", "更新门"),
}
TRACK, MARGIN, ROW = 13.0, 24.0, 30.0
"""Distance between two parallel lines, around the picture, and between two rows, in pixels."""
FUNCTION_HALF = 30.0


@dataclass
class _Box:
    """A shape of the picture, or an invisible point where a line passes through a column."""

    symbol: str = ""
    shape: str = "pass"
    sources: list[int] = field(default_factory=list)
    """Indices of the boxes whose values it takes."""
    role: Role = "plain"
    weights: str = ""
    caption: str = ""
    column: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def half(self) -> float:
        if self.shape == "layer":
            caption = notation.width(self.caption, 15.0) / 2
            return max(half_layer(Node("", (0, 0), "layer", weights=self.weights)), caption)
        if self.shape == "name":
            return max(24.0, notation.width(self.symbol, 20.0) / 2 + 6)
        sizes = {"operation": OPERATION, "function": FUNCTION_HALF}
        return sizes.get(self.shape, 0.0)

    @property
    def edge(self) -> float:
        """Horizontal distance from its middle to where lines end."""
        if self.shape == "layer":
            return half_layer(Node("", (0, 0), "layer", weights=self.weights))
        return self.half

    @property
    def height(self) -> float:
        if self.shape == "layer":
            return LAYER_HEIGHT + 40.0
        return {"operation": 2 * OPERATION, "function": 36.0, "name": 34.0}.get(self.shape, 8.0)


def cell_picture(cell: Cell, language: Language = "en") -> str:
    """Return the diagram of a cell as the text of an SVG file, for light and dark pages."""
    boxes = _Reader(cell).boxes
    _into_columns(boxes)
    _laid_out(boxes)
    diagram = _diagram(cell, boxes)
    svg = new_picture(diagram, language)
    add_diagram(svg, diagram, language)
    return write(svg)


class _Reader:
    """Collects the boxes of a cell, from the results of a step back to its inputs."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.tape = cell.tape
        self.boxes: list[_Box] = []
        self.known: dict[object, int] = {}
        self.names = latex.names(cell)
        self.fields = {place: name for name, place in cell.gates.items()}
        self.users: dict[Place, set[Place]] = defaultdict(set)
        for place, node in enumerate(cell.tape.nodes):
            for argument in node.arguments:
                self.users[argument].add(place)
        after: dict[Place, list[str]] = defaultdict(list)
        if not cell.output_is_hidden:
            after[cell.output].append("y")
        for state in cell.states:
            after[state.after].append(state.name)
        for place, results in after.items():
            symbol = ", ".join(_at(name, "t") for name in results)
            last = self.box(place)
            role = self.role_of_state(results[-1])
            self.boxes.append(_Box(symbol, "name", [last], role))

    def role_of_state(self, name: str) -> Role:
        return "hidden" if name == self.cell.states[0].name else "cell"

    def new(self, key: object, box: _Box) -> int:
        if key not in self.known:
            self.known[key] = len(self.boxes)
            self.boxes.append(box)
        return self.known[key]

    def box(self, place: Place) -> int:
        """Return the index of the box of a node's value; add the box if there is none yet."""
        if place in self.known:
            return self.known[place]
        node = self.tape[place]
        operation = node.operation
        if not node.arguments:
            if operation == "state":
                name = self.cell.states[node.about].name
                return self.new(
                    place, _Box(_at(name, "{t-1}"), "name", [], self.role_of_state(name))
                )
            # A constant has a box of its own at each use.
            key = object() if operation == "constant" else place
            return self.new(key, _Box(self.leaf(place), "name", [], "input"))
        products, others = self.gathered(place)
        if products:
            return self.layer(place, products, others)
        given = latex.operands(self.cell, place)
        one = operation == "sub" and self.tape.is_constant(given[0], 1)
        sources = [self.box(of) for of in (given[1:] if one else given)]
        role: Role = "plain"
        for state in self.cell.states:
            if state.after == place:
                role = self.role_of_state(state.name)
        if operation in SIGNS:
            box = _Box("1 −" if one else SIGNS[operation], "operation", sources, role)
        else:
            box = _Box(FUNCTIONS.get(operation, operation), "function", sources, role)
        return self.new(place, box)

    def leaf(self, place: Place) -> str:
        node = self.tape[place]
        if node.operation == "input":
            return "x_t"
        if node.operation == "constant":
            return f"{node.about:.6g}".replace("-", "−")
        if node.operation == "parameter":
            name, gate = node.about
            return _at(name, gate) if gate not in ("", "1") else name
        if node.operation == "per_step":
            return _at(node.about, "t")
        if node.operation == "draw":
            return _at("k", self.cell.states[node.about].name)
        return "H" if node.operation == "size" else str(node.about)

    def gathered(self, place: Place) -> tuple[list[Place], list[Place]]:
        """Return the products and the other terms of the sum at `place`.

        Where there is an activation at `place`, the sum is that of its argument.
        """
        node = self.tape[place]
        inside = place
        if node.operation in ACTIVATIONS:
            inside = node.arguments[0]
            if self.users[inside] != {place} or inside in self.names:
                return [], []
        products: list[Place] = []
        others: list[Place] = []

        def gather(of: Place) -> None:
            inner = self.tape[of]
            free = of == inside or (len(self.users[of]) == 1 and of not in self.names)
            if inner.operation == "add" and free:
                for argument in inner.arguments:
                    gather(argument)
            elif inner.operation == "product" and free:
                products.append(of)
            else:
                others.append(of)

        gather(inside)
        return products, others

    def layer(self, place: Place, products: list[Place], others: list[Place]) -> int:
        operation = self.tape[place].operation
        sources = [self.box(self.tape[of].arguments[0]) for of in products]
        sources += [self.box(of) for of in others]
        about = self.tape[products[0]].about
        gate = about.gate.strip("_") or about.matrix.removeprefix("weight_").removeprefix("linear")
        field_name = self.fields.get(place, "")
        weights = ", ".join(_at(letter, gate) for letter in "Wb")
        box = _Box(
            FUNCTIONS.get(operation, operation) if operation in ACTIVATIONS else "",
            "layer",
            self.joined(sources),
            ROLES.get(field_name, "plain"),
            weights,
            field_name.replace("_", " ") if len(field_name) > 1 else "",
        )
        return self.new(place, box)

    def joined(self, sources: list[int]) -> list[int]:
        """Replace the input and a hidden state among the sources by one box that joins them."""
        sources = list(dict.fromkeys(sources))
        shapes = [self.boxes[of] for of in sources]
        inputs = [of for of in sources if self.boxes[of].symbol == "x_t"]
        states = [
            of
            for of, box in zip(sources, shapes, strict=True)
            if box.shape == "name" and box.symbol.endswith("{t-1}") and box.role == "hidden"
        ]
        if not inputs or not states:
            return sources
        pair = [states[0], inputs[0]]
        join = self.new(("join", *pair), _Box("", "join", pair, "hidden"))
        return [join, *(of for of in sources if of not in pair)]


def _at(name: str, index: str) -> str:
    """Return a name with an index, in the notation of the diagrams."""
    name = name.replace("_", " ")
    return f"{name}_{index}" if len(index) == 1 or index.startswith("{") else f"{name}_{{{index}}}"


def _into_columns(boxes: list[_Box]) -> None:
    """Number the columns, and add a box wherever a line passes through a column."""
    order = _order(boxes)
    for of in order:
        box = boxes[of]
        box.column = max((boxes[source].column + 1 for source in box.sources), default=0)
    used = {source for box in boxes for source in box.sources}
    last = max(box.column for box in boxes)
    for number, box in enumerate(boxes):
        if number not in used:
            box.column = last
    for number, box in enumerate(boxes):
        if not box.sources and box.role == "input" and box.symbol != "x_t":
            box.column = min(user.column for user in boxes if number in user.sources) - 1
    passing: dict[tuple[int, int], int] = {}

    def passed(source: int, column: int) -> int:
        """Return the box that carries the value of `source` in a column."""
        if boxes[source].column == column:
            return source
        if (source, column) not in passing:
            before = passed(source, column - 1)
            passing[source, column] = len(boxes)
            boxes.append(_Box(sources=[before], role=boxes[source].role, column=column))
        return passing[source, column]

    for number in order:
        box = boxes[number]
        box.sources = [passed(source, box.column - 1) for source in box.sources]


def _order(boxes: list[_Box]) -> list[int]:
    done: dict[int, None] = {}

    def visit(number: int) -> None:
        if number not in done:
            for source in boxes[number].sources:
                visit(source)
            done[number] = None

    for number in range(len(boxes)):
        visit(number)
    return list(done)


def _laid_out(boxes: list[_Box]) -> None:
    """Set the positions: rows by the layered method of Sugiyama, columns as wide as their boxes."""
    vertices = [Vertex(number) for number in range(len(boxes))]
    for vertex, box in zip(vertices, boxes, strict=True):
        vertex.view = VertexViewer(w=box.height, h=10)
    edges = [
        Edge(vertices[source], vertices[number])
        for number, box in enumerate(boxes)
        for source in dict.fromkeys(box.sources)
    ]
    for component in Graph(vertices, edges).C:
        layout = SugiyamaLayout(component)
        layout.xspace = ROW
        layout.init_all(roots=[v for v in component.sV if not boxes[v.data].sources])
        layout.draw(8)
    columns: dict[int, list[_Box]] = defaultdict(list)
    for vertex, box in zip(vertices, boxes, strict=True):
        box.y = vertex.view.xy[0]
        columns[box.column].append(box)
    _input_last(columns[0])
    for column in columns.values():
        column.sort(key=lambda box: box.y)
        for above, below in pairwise(column):
            below.y = max(below.y, above.y + (above.height + below.height) / 2 + 10)
    top = min(box.y - box.height / 2 for box in boxes)
    for box in boxes:
        box.y += MARGIN - top
    x = MARGIN
    for number in range(len(columns)):
        half = max(box.half for box in columns[number])
        for box in columns[number]:
            box.x = x + half
        turning = {source for box in columns.get(number + 1, []) for source in box.sources}
        x += 2 * half + TRACK * (len(turning) + 1) + 12


def _input_last(column: list[_Box]) -> None:
    """Place the input below the states, as in all diagrams."""
    rows = sorted(box.y for box in column)
    column.sort(key=lambda box: (box.symbol == "x_t", box.y))
    for box, y in zip(column, rows, strict=True):
        box.y = y


def _diagram(cell: Cell, boxes: list[_Box]) -> Diagram:
    wires = []
    columns = max(box.column for box in boxes) + 1
    for column in range(columns):
        wires += _wires(boxes, column)
    nodes, captions = [], []
    for box in boxes:
        if box.shape in ("pass", "join"):
            continue
        nodes.append(Node(box.symbol, (box.x, box.y), box.shape, box.role, box.weights))  # type: ignore[arg-type]
        if box.caption:
            below = box.y + LAYER_HEIGHT / 2 + 16
            words = NAMES.get(box.caption, Words(box.caption, box.caption))
            captions.append(Caption(words, (box.x, below)))
    width = max(box.x + box.half for box in boxes) + MARGIN
    height = max(box.y + box.height / 2 for box in boxes) + MARGIN
    description = f"{cell.name}: " + ", ".join(name.replace("_", " ") for name in cell.gates)
    return Diagram(
        name=f"cell-{cell.name}",
        size=(width, height),
        title=Words(cell.name, cell.name),
        description=Words(description, description),
        equations=(),
        nodes=tuple(nodes),
        wires=tuple(wires),
        captions=tuple(captions),
    )


def _wires(boxes: list[_Box], column: int) -> list[Wire]:
    """Return the lines from a column to the next; those of one value turn in a track of its own."""
    targets = [box for box in boxes if box.column == column + 1]
    right = max(box.x + box.half for box in boxes if box.column == column)
    ways = [
        (source, box, box.y + _port(box, port, boxes))
        for box in targets
        for port, source in enumerate(box.sources)
    ]
    wires = []
    for track, source in enumerate(_by_track(boxes, ways)):
        begin = boxes[source]
        turn = right + TRACK * (track + 1)
        for of, box, y in ways:
            if of != source:
                continue
            corners = ((turn, begin.y), (turn, y)) if abs(y - begin.y) > 0.5 else ()
            path: Path = ((begin.x + begin.edge, begin.y), *corners, (box.x - box.edge, y))
            through = box.shape in ("pass", "join")
            wires.append(Wire(begin.symbol, (path,), begin.role, heads=not through))
    return wires


def _by_track(boxes: list[_Box], ways: list[tuple[int, _Box, float]]) -> list[int]:
    """Order sources by track, from the left, so that lines of one direction do not cross."""
    sources = dict.fromkeys(source for source, _, _ in ways)
    drop = {s: sum(y - boxes[s].y for source, _, y in ways if source == s) for s in sources}
    up = sorted((s for s in sources if drop[s] < 0), key=lambda s: boxes[s].y)
    down = sorted((s for s in sources if drop[s] >= 0), key=lambda s: -boxes[s].y)
    return up + down


def _port(box: _Box, port: int, boxes: list[_Box]) -> float:
    """Return the vertical distance from a box's middle to the end of a line.

    Lines end in the order of their rows.
    """
    count = len(box.sources)
    if box.shape in ("pass", "join", "name") or count == 1:
        return 0.0
    ordered = box.symbol in ("−", "/", "<", "≤", "where")  # the upper line is the first operand
    ranks = sorted(range(count), key=lambda k: (0 if ordered else boxes[box.sources[k]].y, k))
    step = {"layer": 16.0, "function": 9.0}.get(box.shape, 11.0)
    return (ranks.index(port) - (count - 1) / 2) * step
