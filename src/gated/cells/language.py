"""The language in which a cell is written: names of gates, arithmetic, and a few functions.

    @cell
    def lstm(x, h, c):
        i, f = sigmoid(x.i + h.i), sigmoid(x.f + h.f)
        c = f * c + i * tanh(x.g + h.g)
        return sigmoid(x.o + h.o) * tanh(c), c

`x.i` is W x + b of gate i and `h.i` is U h + b; a state by itself is its value, unit by unit. The
definition is traced: it runs once, on symbols, which record a tape that all backends compute from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from threading import RLock
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NoReturn, overload

from gated.cells.cell import Cell, Matrix, Parameter, State
from gated.cells.tape import Block, Place, Tape, Width
from gated.errors import CellError


class PerUnit:
    """Annotates one learned vector (H): `p` itself, or one for each gate read from it, as `p.i`."""

    if TYPE_CHECKING:

        def __getattr__(self, gate: str) -> Any: ...


class Scalar:
    """Annotates one learned number for the whole layer."""


class Delayed:
    """Annotates a state that is returned at one step and given back `delay` steps later.

    `delay` is a constant of the cell. The cell gets a chain of `delay` states in its place, which
    move on by one at each step; each is kept for the backward pass like any other state.
    """

    if TYPE_CHECKING:

        def __getattr__(self, gate: str) -> Any: ...


_WIDTHS = {"H": "the hidden units", "I": "the input features", "P": "the projected units"}


class Value:
    """A value in a definition: a node of the tape."""

    __slots__ = ("_place", "_trace")
    __array_ufunc__ = None  # NumPy leaves its operators to us

    def __init__(self, trace: _Trace, place: Place) -> None:
        self._trace = trace
        self._place = place

    @property
    def place(self) -> Place:
        """The index of its node on the tape."""
        return self._place

    def __add__(self, other: Operand) -> Value:
        return apply("add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return apply("add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return apply("sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return apply("sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return apply("mul", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return apply("mul", other, self)

    def __truediv__(self, other: Operand) -> Value:
        return apply("div", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return apply("div", other, self)

    def __neg__(self) -> Value:
        return apply("neg", self)

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        return apply("abs", self)

    def __pow__(self, power: int) -> Value:
        if not isinstance(power, int) or power < 1:
            self._trace.refuse(f"a power must be a whole number from 1 on, got {power!r}")
        result = self
        for _ in range(power - 1):
            result = result * self
        return result

    def __lt__(self, other: Operand) -> Value:
        return apply("less", self, other)

    def __gt__(self, other: Operand) -> Value:
        return apply("less", other, self)

    def __le__(self, other: Operand) -> Value:
        return apply("less_equal", self, other)

    def __ge__(self, other: Operand) -> Value:
        return apply("less_equal", other, self)

    def __bool__(self) -> NoReturn:
        self._trace.refuse(
            "a value decides an `if`, `and`, `or` or `while`, but a cell does the same for every "
            "unit and step: write where(condition, this, that)"
        )

    def __float__(self) -> NoReturn:
        self._trace.refuse(
            "a function of another library was given a value: use the functions of gated.cells"
        )

    __int__ = __index__ = __float__

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: Any = None
    ) -> NoReturn:
        name = getattr(function, "__name__", "a function")
        value = next(of for of in arguments if isinstance(of, Value))
        value._trace.refuse(f"torch's {name} is not known here: use the functions of gated.cells")

    def __iter__(self) -> NoReturn:
        self._trace.refuse("a value has no parts that a definition can walk through")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._trace.refuse(
            f".{name} is asked of a value that the step has computed: only x, states and "
            f"parameters have gates; a product with a computed value is linear(value).{name}"
        )


class PerStep(Value):
    """Annotates an input of one number for each step and sequence, such as elapsed time."""


class PerStepFeature(Value):
    """Annotates an input of one number for each step and input feature, as wide as x: a mask."""


class PerStepUnit(Value):
    """Annotates an input of one number for each step and hidden unit."""


_PER_STEP: Mapping[str, Width] = {"PerStep": "1", "PerStepFeature": "I", "PerStepUnit": "H"}


Operand = Value | float


class Source(Value):
    """The input or a state; each gate read from it is the product with that gate's weights."""

    __slots__ = ("_letter",)

    def __init__(self, trace: _Trace, place: Place, letter: str) -> None:
        super().__init__(trace, place)
        self._letter = letter

    def __getattr__(self, gate: str) -> Value:
        if gate.startswith("__"):
            raise AttributeError(gate)
        return self._trace.product(self._place, f"weight_{self._letter}h", gate)


class Parameters(Value):
    """A parameter of each unit: a single one, or one for each gate read from it."""

    __slots__ = ("_name",)

    def __init__(self, trace: _Trace, name: str) -> None:
        self._trace = trace
        self._name = name

    @property
    def place(self) -> Place:
        """The node of the bare parameter."""
        return self._trace.parameter(self._name, "")

    def __getattr__(self, gate: str) -> Value:
        if gate.startswith("__"):
            raise AttributeError(gate)
        return Value(self._trace, self._trace.parameter(self._name, gate))


class Linear(Value):
    """A product with a computed vector: as a whole, or one block for each gate read from it."""

    __slots__ = ("_like", "_name", "_source")

    def __init__(self, trace: _Trace, source: Place, like: Width, name: str | None) -> None:
        self._trace = trace
        self._source = source
        self._like = like
        self._name = name

    @property
    def place(self) -> Place:
        """The node of the product as a whole."""
        if self._name is None:
            self._name = f"linear{len(self._trace.own) + 1}"
        return self._trace.own_product(self._source, self._name, self._like)

    def __getattr__(self, gate: str) -> Value:
        if gate.startswith("__"):
            raise AttributeError(gate)
        trace = self._trace
        if self._name is not None or self._like != "H":
            trace.refuse(f"linear(…).{gate}: a product with a name or a width has no gates")
        if trace.tape[self._source].width == "I":
            return trace.product(self._source, "weight_ih", gate)
        return trace.product(self._source, "", gate)


class _Trace:
    """The tracing of a definition."""

    def __init__(self, function: Callable[..., Any], gate_names: Mapping[str, str]) -> None:
        self.function = function
        self.gate_names = gate_names
        self.tape = Tape()
        self.gates: dict[str, list[str]] = {}  # of each matrix, in the order of their first use
        self.own: dict[str, tuple[Width, Width]] = {}  # rows and columns of matrices of their own
        self.parameters: dict[str, list[str]] = {}

    def refuse(self, what: str) -> NoReturn:
        raise CellError(f"{_where(self.function)}: {what}")

    def product(self, source: Place, matrix: str, gate: str) -> Value:
        if self.gate_names and gate not in self.gate_names and not gate.startswith("_"):
            import difflib

            close = difflib.get_close_matches(gate, self.gate_names, n=1, cutoff=0.0)
            self.refuse(
                f"gate {gate} was not declared: gates has {', '.join(self.gate_names)}; did you "
                f"mean {close[0]}?"
            )
        known = self.gates.setdefault(matrix, [])
        if gate not in known:
            known.append(gate)
        return Value(self, self.tape.product(source, Block(matrix, gate), "H"))

    def own_product(self, source: Place, name: str, rows: Width) -> Place:
        shape = rows, self.tape[source].width
        if self.own.setdefault(name, shape) != shape:
            self.refuse(f"linear(…, name={name!r}) was given vectors of two widths")
        return self.tape.product(source, Block(f"weight_{name}", "_"), rows)

    def parameter(self, name: str, gate: str) -> Place:
        known = self.parameters[name]
        if gate not in known:
            known.append(gate)
        if "" in known and len(known) > 1:
            self.refuse(f"{name} is used by itself and as {name}.{max(known)}: use one of both")
        return self.tape.leaf("parameter", "H", Block(name, gate))

    def place(self, value: Any) -> Place:
        if isinstance(value, Value):
            if value._trace is not self:
                self.refuse("a value comes from another definition")
            return value.place
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(
                f"a cell computes with its arguments and with numbers, got {type(value).__name__}"
            )
        return self.tape.constant(float(value))


def _where(function: Callable[..., Any]) -> str:
    """The line of a definition that is being run, or the definition's own."""
    code: CodeType = function.__code__
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    line = code.co_firstlineno if frame is None else frame.f_lineno
    return f"{code.co_filename}, line {line}, in {function.__name__}"


def apply(operation: str, *operands: Operand) -> Value:
    """Return the value of an elementwise operation.

    Raises:
        CellError: an operand is not a value, or the widths of two do not fit.
    """
    trace = next((of._trace for of in operands if isinstance(of, Value)), None)
    if trace is None:
        raise CellError(
            f"{operation} takes values of a cell's definition, got "
            f"{', '.join(type(of).__name__ for of in operands)}"
        )
    places = [trace.place(of) for of in operands]
    try:
        return Value(trace, trace.tape.apply(operation, *places))
    except ValueError as error:
        widths = [_WIDTHS[width] for width in str(error).split(" and ")]
        trace.refuse(
            f"{operation} takes values of one width, got one as wide as {widths[0]} and one as "
            f"wide as {widths[1]}: use x.gate, or linear(value, like=…)"
        )
    except ZeroDivisionError:
        trace.refuse("a number is divided by zero")


def _function(operation: str, doc: str) -> Callable[..., Value]:
    def function(*operands: Operand) -> Value:
        return apply(operation, *operands)

    function.__name__ = function.__qualname__ = operation
    function.__doc__ = doc
    return function


sigmoid = _function("sigmoid", "σ(v) = 1 / (1 + exp(-v)).")
tanh = _function("tanh", "The hyperbolic tangent.")
relu = _function("relu", "max(v, 0).")
softplus = _function("softplus", "log(1 + exp(v)).")
exp = _function("exp", "The exponential.")
log = _function("log", "The natural logarithm.")
sqrt = _function("sqrt", "The square root.")
absolute = _function("abs", "The absolute value; also `abs(v)`.")
maximum = _function("maximum", "The larger of two values.")
minimum = _function("minimum", "The smaller of two values.")
equal = _function("equal", "1 where two values are equal, else 0.")
where = _function("where", "The second value where the first is not 0, else the third.")


def linear(value: Value, like: Value | None = None, name: str | None = None) -> Linear:
    """A product with a vector that the step has computed.

    `linear(v).n` uses gate n's rows of `weight_hh` and their bias, or a weight of its own where the
    definition also reads `h.n`; where v is as wide as x, gate n's rows of `weight_ih`. `linear(v)`
    without a gate uses a weight of its own.

    Args:
        value: (H) or (I).
        like: a value that has the width of the result; by default H.
        name: names its own weight `weight_name`.
    """
    trace = value._trace
    wide = "H" if like is None else trace.tape[trace.place(like)].width
    return Linear(trace, trace.place(value), wide, name)


def total(value: Value) -> Value:
    """The sum over all units: one number."""
    return Value(value._trace, value._trace.tape.sum(value.place))


def mean(value: Value) -> Value:
    """The mean over all units: one number."""
    tape = value._trace.tape
    return Value(
        value._trace,
        tape.apply("div", tape.sum(value.place), tape.size(tape[value.place].width)),
    )


def norm(value: Value, epsilon: float = 1e-5) -> Value:
    """(v - mean) / √(variance + ε) over all units (Ba, Kiros and Hinton 2016)."""
    tape = value._trace.tape
    return Value(value._trace, normalised(tape, (value.place,), epsilon)[0])


def normalised(tape: Tape, values: tuple[Place, ...], epsilon: float = 1e-5) -> tuple[Place, ...]:
    """Normalise values of one width by the mean and the variance over all of them together."""
    count = tape.apply("mul", tape.constant(len(values)), tape.size(tape[values[0]].width))
    center = tape.apply("div", tape.sum(tape.added(values)), count)
    off = [tape.apply("sub", value, center) for value in values]
    squares = tape.sum(tape.added([tape.apply("mul", of, of) for of in off]))
    variance = tape.apply("div", squares, count)
    deviation = tape.apply("sqrt", tape.apply("add", variance, tape.constant(epsilon)))
    scale = tape.apply("div", tape.constant(1), deviation)
    return tuple(tape.apply("normalise", value, center, scale) for value in values)


@overload
def cell(function: Callable[..., Any], /) -> Cell: ...
@overload
def cell(
    *, gates: Mapping[str, str] | None = None, name: str | None = None
) -> Callable[[Callable[..., Any]], Cell]: ...
def cell(
    function: Callable[..., Any] | None = None,
    /,
    *,
    gates: Mapping[str, str] | None = None,
    name: str | None = None,
) -> Cell | Callable[[Callable[..., Any]], Cell]:
    """Make a cell from its definition.

    The first parameter is the input, further positional ones are states; keywords are annotated
    `PerUnit`, `PerStep`, `PerStepFeature`, `PerStepUnit` or `Scalar`, or are constants with a
    default. It returns the states in their order, the first of which is the output, or one extra
    leading value, the output.

    Args:
        function: the definition.
        gates: the full name of each gate; others are then refused.
        name: of the cell; the definition's where not given.

    Raises:
        CellError: the definition cannot be a cell; the message has its line.

    >>> @cell
    ... def leaky(x, h, *, rate=0.1):
    ...     return (1 - rate) * h + rate * tanh(x.n + h.n)
    >>> leaky
    <cell leaky: states h; gates n>
    """
    if function is None:
        return lambda function: traced(function, gates or {}, name, {})
    return traced(function, gates or {}, name, {})


class _Later(Cell):
    """A cell whose definition is traced when something is first asked of it."""

    def __init__(self, made: Callable[[], Cell]) -> None:
        object.__getattribute__(self, "__dict__")["made"] = made

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, "__dict__")
        if "made" in own:  # else another thread has been quicker
            with _LATER:
                if "made" in own:
                    own.update(vars(own["made"]()))
                    object.__setattr__(self, "__class__", Cell)
                    del own["made"]
        return object.__getattribute__(self, name)


_LATER = RLock()
"""For tracing what was put off."""


@overload
def cell_when_asked(function: Callable[..., Any], /) -> Cell: ...
@overload
def cell_when_asked(
    *, gates: Mapping[str, str] | None = None
) -> Callable[[Callable[..., Any]], Cell]: ...
def cell_when_asked(
    function: Callable[..., Any] | None = None, /, *, gates: Mapping[str, str] | None = None
) -> Cell | Callable[[Callable[..., Any]], Cell]:
    """Make a cell as `cell` does, and trace it when something is first asked of it.

    For definitions that are known to be right: mistakes are found as late.
    """
    if function is None:
        return lambda function: _Later(lambda: traced(function, gates or {}, None, {}))
    return _Later(lambda: traced(function, {}, None, {}))


def traced(
    function: Callable[..., Any],
    gate_names: Mapping[str, str],
    name: str | None,
    constants: Mapping[str, float],
) -> Cell:
    """Trace a definition, with these values of its constants."""
    trace = _Trace(function, gate_names)
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        trace.refuse("a cell's arguments are written out: no *args, no **kwargs")
    if len(positional) < 2:
        trace.refuse("a cell takes its input and one state at least")
    given: list[Value] = [Source(trace, trace.tape.leaf("input", "I"), "i")]
    letters = ["h", *positional[2:]]
    lines: list[list[Place]] = []  # for each state its chain of states: one, or `delay` of them
    for letter, parameter in zip(letters, parameters[1:], strict=False):
        first = sum(map(len, lines))
        steps = 1
        if _annotation(parameter.annotation) == "Delayed":
            steps = _delay(trace, parameters, constants)
        lines.append([trace.tape.leaf("state", "H", first + step) for step in range(steps)])
        given.append(Source(trace, lines[-1][-1], letter))
    keywords: dict[str, Any] = {}
    found = dict(constants)
    per_step = []
    for parameter in parameters:
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        kind = _annotation(parameter.annotation)
        if kind == "PerUnit":
            trace.parameters[parameter.name] = []
            keywords[parameter.name] = Parameters(trace, parameter.name)
        elif kind == "Scalar":
            keywords[parameter.name] = Value(
                trace, trace.tape.leaf("parameter", "1", Block(parameter.name, "1"))
            )
            trace.parameters[parameter.name] = ["1"]
        elif kind in _PER_STEP:
            per_step.append(parameter.name)
            keywords[parameter.name] = Value(
                trace, trace.tape.leaf("per_step", _PER_STEP[kind], parameter.name)
            )
        elif parameter.default is not parameter.empty:
            keywords[parameter.name] = found.setdefault(parameter.name, parameter.default)
        else:
            trace.refuse(
                f"{parameter.name} must be annotated PerUnit, {', '.join(_PER_STEP)} or Scalar, or "
                "be a constant with a default"
            )
    for unknown in constants.keys() - keywords.keys():
        trace.refuse(f"there is no constant {unknown}")
    results = function(*given, **keywords)
    values = list(results) if isinstance(results, tuple) else [results]
    count = len(letters)
    if len(values) not in (count, count + 1):
        trace.refuse(
            f"must return its {count} state{'s' * (count > 1)} ({', '.join(positional[1:])}), and "
            f"at most one output before them, got {len(values)} values"
        )
    places = [trace.place(value) for value in values]
    for place in places:
        width = trace.tape[place].width
        if width not in ("H", "1"):
            trace.refuse(f"returns a value as wide as {_WIDTHS[width]}, not the hidden units")
    states = tuple(
        State(f"{name}{step}" if len(line) > 1 else name, "H", after)
        for name, line, place in zip(positional[1:], lines, places[-count:], strict=True)
        for step, after in enumerate((place, *line[:-1]), start=1)
    )
    tape, matrices = _with_matrices(trace, letters)
    return Cell(
        name or function.__name__,
        tape,
        states,
        places[0],
        matrices,
        tuple(
            Parameter(name, tuple(gate for gate in gates if gate))
            for name, gates in trace.parameters.items()
        ),
        tuple(per_step),
        gate_names=dict(gate_names),
        paper=inspect.getdoc(function) or "",
        constants=found,
        defined=lambda constants: traced(function, gate_names, name, constants),
    )


def _delay(
    trace: _Trace, parameters: list[inspect.Parameter], constants: Mapping[str, float]
) -> int:
    """Return the number of steps by which a state is delayed."""
    default = next((of.default for of in parameters if of.name == "delay"), None)
    delay = constants.get("delay", default)
    if not isinstance(delay, (int, float)) or delay != int(delay) or delay < 1:
        trace.refuse(
            f"a Delayed state needs the constant delay, a whole number of steps from 1 on, got "
            f"{delay!r}"
        )
    return int(delay)


def _annotation(annotation: Any) -> str:
    """The name of an annotation, written as itself or as a string."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return text.rpartition(".")[2]


def _with_matrices(trace: _Trace, letters: list[str]) -> tuple[Tape, tuple[Matrix, ...]]:
    """The tape with each product's matrix settled, and the matrices in the order of a state dict.

    A product with a computed vector uses its gate's rows of `weight_hh` unless the hidden state
    itself is multiplied by these.
    """
    read = set(trace.gates.get("weight_hh", ()))
    later = trace.gates.pop("", [])
    hidden = trace.gates.setdefault("weight_hh", [])
    places = dict(trace.gates)
    own: dict[str, tuple[str, Width, Width]] = {
        f"weight_{name}": ("_", *shape) for name, shape in trace.own.items()
    }
    moved: dict[Block, Block] = {}
    for gate in later:
        if gate in read:
            own[f"weight_{gate}"] = (gate, "H", "H")
            moved[Block("", gate)] = Block(f"weight_{gate}", gate)
        else:
            hidden.append(gate)
            moved[Block("", gate)] = Block("weight_hh", gate)
    nodes = [
        node._replace(about=moved[node.about]) if node.about in moved else node
        for node in trace.tape.nodes
    ]
    matrices = []
    for name in ("weight_ih", *(f"weight_{letter}h" for letter in letters)):
        if places.get(name):
            columns: Width = "I" if name == "weight_ih" else "H"
            matrices.append(Matrix(name, tuple(_in_order(nodes, name)), "H", columns))
    matrices += [
        Matrix(name, (gate,), rows, columns) for name, (gate, rows, columns) in own.items()
    ]
    return Tape(nodes), tuple(matrices)


def _in_order(nodes: list[Any], matrix: str) -> dict[str, None]:
    """The gates of a matrix, in the order in which the definition first names them anywhere."""
    named = dict.fromkeys(n.about.gate for n in nodes if n.operation == "product")
    there = {n.about.gate for n in nodes if n.operation == "product" and n.about.matrix == matrix}
    return {gate: None for gate in named if gate in there}
